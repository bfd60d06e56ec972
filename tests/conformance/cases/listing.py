"""The list of models, and what a server says of itself."""

from tests.conformance.exchange import Case, Request, get, load

CASES = (
    Case("listing/base-alone", (get("/v1/models"),)),
    Case("listing/one-adapter", (load(), get("/v1/models"))),
    Case("listing/order", (load("b", "<loras>/l1"), load("a", "<loras>/l0"), get("/v1/models"))),
    Case("listing/two-names", (get("/v1/models"), load(), get("/v1/models")), "two-names"),
    Case("listing/trailing-slash", (get("/v1/models/"),)),
    Case("listing/query", (get("/v1/models?limit=1"),)),
    Case("listing/one-model", (get("/v1/models/base"),)),
    Case("listing/head", (Request("HEAD", "/v1/models"),)),
    Case("listing/options", (Request("OPTIONS", "/v1/models"),)),
    Case("listing/lora-disabled", (get("/v1/models"),), "no-lora"),
    Case("listing/health", (get("/health"), get("/ping"), Request("POST", "/ping"))),
    Case("listing/health-head", (Request("HEAD", "/health"),)),
    Case("listing/load", (get("/load"),)),
    Case("listing/version", (get("/version"), Request("HEAD", "/version"))),
    Case("listing/ping-others", (Request("HEAD", "/ping"), Request("PUT", "/ping"), get("/ping/"))),
    Case(
        "listing/docs-others",
        (Request("POST", "/docs"), get("/docs/oauth2-redirect"), Request("HEAD", "/openapi.json")),
    ),
    Case("listing/openapi-lora-disabled", (get("/openapi.json"),), "no-lora"),
    Case("listing/openapi-no-updating", (get("/openapi.json"),), "no-updating"),
    Case("listing/server-info", (get("/server_info"),)),
    Case("listing/openapi", (get("/openapi.json"),)),
    Case("listing/docs", (get("/docs"), get("/redoc"))),
)
