"""The API key: which routes ask for it, and how it is compared."""

from tests.conformance.exchange import MESSAGES, PROMPT, Case, Request, get, post

_COMPLETION = {"model": "base", "prompt": PROMPT, "max_tokens": 1}
_HEADERS = {
    "right": "Bearer sesame",
    "wrong": "Bearer open",
    "empty": "",
    "scheme-alone": "Bearer",
    "lower-scheme": "bearer sesame",
    "upper-scheme": "BEARER sesame",
    "other-scheme": "Basic sesame",
    "key-alone": "sesame",
    "two-blanks": "Bearer  sesame",
    "trailing-blank": "Bearer sesame ",
    "longer": "Bearer sesamesesame",
}
_ROUTES = (
    ("GET", "/v1/models"),
    ("GET", "/v1/nothing"),
    ("GET", "/nothing"),
    ("GET", "/health"),
    ("GET", "/ping"),
    ("GET", "/version"),
    ("GET", "/metrics"),
    ("GET", "/load"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("OPTIONS", "/v1/models"),
    ("OPTIONS", "/v1/completions"),
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
    ("POST", "/v1/load_lora_adapter"),
    ("POST", "/v1/unload_lora_adapter"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/adapters"),
    ("POST", "/invocations"),
    ("GET", "/is_sleeping"),
    ("GET", "/v1"),
    ("GET", "/v1models"),
    ("GET", "/v2/nothing"),
    ("GET", "/v1/models/"),
    ("HEAD", "/v1/models"),
    ("GET", "//v1/models"),
    ("POST", "/v2/rerank"),
    ("POST", "/score"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/messages"),
    ("POST", "/inference/v1/generate"),
    ("POST", "/generative_scoring"),
    ("POST", "/scale_elastic_ep"),
    ("DELETE", "/adapters/a"),
    ("GET", "/kv_event_sources"),
    ("OPTIONS", "/v1/nothing"),
)

CASES = (
    *(
        Case(f"authentication/header/{name}", (get("/v1/models", authorization=value),), "key")
        for name, value in _HEADERS.items()
    ),
    *(
        Case(f"authentication/without/{method.lower()}{path.replace('/', '-')}", (Request(method, path),), "key")
        for method, path in _ROUTES
    ),
    Case(
        "authentication/completion",
        (post("/v1/completions", _COMPLETION, headers={"authorization": "Bearer sesame"}),),
        "key",
    ),
    Case("authentication/adapters-without", (post("/adapters", {"name": "a", "src": "<loras>/l0"}),), "key"),
    Case("authentication/x-api-key", (get("/v1/models", x_api_key="sesame"),), "key"),
    Case(
        "authentication/tokenize-without",
        (post("/tokenize", {"model": "base", "prompt": "hello"}, mask_usage=True),),
        "key",
    ),
    Case(
        "authentication/unneeded",
        (
            get("/v1/models", authorization="Bearer any"),
            post(
                "/v1/chat/completions",
                {"model": "base", "messages": MESSAGES, "max_tokens": 1, "ignore_eos": True},
                mask_usage=True,
            ),
        ),
    ),
)
