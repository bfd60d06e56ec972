"""Routes that exist, routes that do not, methods, CORS and prefixes."""

from tests.conformance.exchange import Case, Request, completion, get, post

_UNKNOWN = ("/", "/v1", "/v1/", "/nothing", "/v1/nothing", "/V1/models", "//v1/models", "/v1/lora_adapter/load")
_METHODS = (
    ("POST", "/v1/models"),
    ("PUT", "/v1/completions"),
    ("GET", "/v1/completions"),
    ("DELETE", "/v1/chat/completions"),
    ("PATCH", "/v1/load_lora_adapter"),
    ("POST", "/health"),
    ("POST", "/version"),
    ("GET", "/tokenize"),
    ("DELETE", "/metrics"),
    ("GET", "/adapters"),
)
_ORIGIN = {"origin": "https://example.com"}
_OTHER_ORIGIN = {"origin": "https://example.org"}
_PREFLIGHT = {**_ORIGIN, "access-control-request-method": "POST"}
_KEY = {"authorization": "Bearer sesame"}
_REDIRECTED = (
    ("GET", "/health/"),
    ("GET", "/v1/models/?a=1&b=%20"),
    ("POST", "/v1/completions/"),
    ("GET", "/v1/completions/"),
    ("HEAD", "/v1/models/"),
    ("OPTIONS", "/v1/models/"),
    ("GET", "/nothing/"),
    ("GET", "/v1/models//"),
    ("GET", "/docs/"),
    ("POST", "/adapters/"),
)
_PATHS = ("/v1/models?x=1", "/v1/%6dodels", "/v1/models%2F", "/v1/../v1/models", "/v1/models;x", "/health?probe=1")
_CORS: dict[str, tuple[str, str, dict[str, str]]] = {
    "simple": ("GET", "/health", _ORIGIN),
    "other-origin": ("GET", "/health", _OTHER_ORIGIN),
    "null-origin": ("GET", "/health", {"origin": "null"}),
    "no-origin": ("GET", "/health", {}),
    "with-cookie": ("GET", "/health", {**_ORIGIN, "cookie": "a=b"}),
    "error": ("GET", "/nothing", _ORIGIN),
    "method-not-allowed": ("DELETE", "/health", _ORIGIN),
    "preflight": ("OPTIONS", "/v1/completions", _PREFLIGHT),
    "preflight-of-nothing": ("OPTIONS", "/nothing", _PREFLIGHT),
    "preflight-other-origin": ("OPTIONS", "/v1/completions", {**_PREFLIGHT, **_OTHER_ORIGIN}),
    "preflight-other-method": ("OPTIONS", "/v1/completions", {**_ORIGIN, "access-control-request-method": "DELETE"}),
    "preflight-header": ("OPTIONS", "/v1/completions", {**_PREFLIGHT, "access-control-request-headers": "X-Token"}),
    "preflight-other-header": (
        *("OPTIONS", "/v1/completions"),
        {**_PREFLIGHT, "access-control-request-headers": "x-token, x-other"},
    ),
    "preflight-other-everything": (
        *("OPTIONS", "/v1/completions"),
        {**_OTHER_ORIGIN, "access-control-request-method": "PUT", "access-control-request-headers": "x-other"},
    ),
    "options-without-method": ("OPTIONS", "/v1/completions", _ORIGIN),
    "unauthorized": ("GET", "/v1/models", _ORIGIN),
    "authorized": ("GET", "/v1/models", {**_ORIGIN, **_KEY}),
    "request-id": ("GET", "/v1/models", {**_KEY, "x-request-id": "mine"}),
    "request-id-of-refused": ("GET", "/v1/models", {"x-request-id": "mine"}),
    "second-key": ("GET", "/v1/models", {"authorization": "Bearer open"}),
    "both-keys": ("GET", "/v1/models", {"authorization": "Bearer sesame open"}),
}

CASES = (
    *(Case(f"routing/unknown/{index}", (get(path), Request("POST", path))) for index, path in enumerate(_UNKNOWN)),
    *(
        Case(f"routing/method/{method.lower()}{path.replace('/', '-')}", (Request(method, path),))
        for method, path in _METHODS
    ),
    *(Case(f"routing/redirect/{index}", (Request(*request),)) for index, request in enumerate(_REDIRECTED)),
    *(Case(f"routing/path/{index}", (get(path),)) for index, path in enumerate(_PATHS)),
    *(
        Case(f"routing/{profile}/{name}", (Request(method, path, headers=headers),), profile)
        for profile in ("lora", "front", "any-origin")
        for name, (method, path, headers) in _CORS.items()
    ),
    Case(
        "routing/front/completion", (post("/v1/completions", completion().json, headers={**_ORIGIN, **_KEY}),), "front"
    ),
    Case(
        "routing/front/completion-id",
        (post("/v1/completions", completion().json, headers={**_KEY, "x-request-id": "mine"}),),
        "front",
    ),
    Case(
        "routing/front/stream",
        (post("/v1/completions", completion(stream=True).json, headers={**_ORIGIN, **_KEY}),),
        "front",
    ),
    Case("routing/no-docs", (get("/docs"), get("/redoc"), get("/openapi.json"), get("/version")), "any-origin"),
    Case("routing/request-id", (Request("GET", "/v1/models", headers={"x-request-id": "mine"}),)),
    Case(
        "routing/root-path", (get("/pre/v1/models"), get("/v1/models"), get("/pre/health"), get("/health")), "root-path"
    ),
    Case(
        "routing/root-path-others",
        (
            *(get("/pre"), get("/pre/"), get("/pre/nothing"), get("/pre/docs"), get("/pre/metrics")),
            *(get("/pre/v1/models/"), get("/v1/models/"), get("/pre/pre/health"), get("/prefix/health")),
            *(Request("POST", "/pre/health"), Request("OPTIONS", "/pre/v1/models")),
        ),
        "root-path",
    ),
    Case("routing/root-path-completion", (Request("POST", "/pre/v1/completions", completion().json),), "root-path"),
)
