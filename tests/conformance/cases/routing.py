"""Routes that exist, routes that do not, methods, CORS and prefixes."""

from tests.conformance.exchange import ABSENT, MESSAGES, PROMPT, Case, Request, completion, get, post

_UNKNOWN = ("/", "/v1", "/v1/", "/nothing", "/v1/nothing", "/V1/models", "//v1/models", "/v1/lora_adapter/load")
_OTHER_ENDPOINTS = {
    "responses": ("/v1/responses", {"model": "base", "input": "hello", "max_output_tokens": 3}),
    "responses-unknown-model": ("/v1/responses", {"model": "none", "input": "hello"}),
    "responses-empty": ("/v1/responses", {}),
    "messages": ("/v1/messages", {"model": "base", "messages": MESSAGES, "max_tokens": 3}),
    "messages-empty": ("/v1/messages", {}),
    "messages-count": ("/v1/messages/count_tokens", {"model": "base", "messages": MESSAGES}),
    "embeddings": ("/v1/embeddings", {"model": "base", "input": "hello"}),
    "pooling": ("/pooling", {"model": "base", "input": "hello"}),
    "classify": ("/classify", {"model": "base", "input": "hello"}),
    "score": ("/score", {"model": "base", "text_1": "a", "text_2": "b"}),
    "score-v1": ("/v1/score", {"model": "base", "text_1": "a", "text_2": "b"}),
    "rerank": ("/rerank", {"model": "base", "query": "a", "documents": ["b"]}),
    "rerank-v1": ("/v1/rerank", {"model": "base", "query": "a", "documents": ["b"]}),
    "rerank-v2": ("/v2/rerank", {"model": "base", "query": "a", "documents": ["b"]}),
    "transcriptions": ("/v1/audio/transcriptions", ABSENT),
    "invocations": ("/invocations", {"model": "base", "prompt": PROMPT, "max_tokens": 1, "ignore_eos": True}),
    "invocations-chat": ("/invocations", {"model": "base", "messages": MESSAGES, "max_tokens": 1, "ignore_eos": True}),
    "invocations-empty": ("/invocations", {}),
    "generate": ("/inference/v1/generate", {"token_ids": PROMPT, "sampling_params": {"max_tokens": 1}}),
    "sleep": ("/sleep", ABSENT),
    "wake-up": ("/wake_up", ABSENT),
    "reset-prefix-cache": ("/reset_prefix_cache", ABSENT),
    "render": ("/v1/chat/completions/render", {"model": "base", "messages": MESSAGES}),
    "scale": ("/scale_elastic_ep", {}),
    "profile": ("/start_profile", ABSENT),
}
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
_PREFLIGHT = {**_ORIGIN, "access-control-request-method": "POST"}

CASES = (
    *(Case(f"routing/unknown/{index}", (get(path), Request("POST", path))) for index, path in enumerate(_UNKNOWN)),
    *(
        Case(f"routing/method/{method.lower()}{path.replace('/', '-')}", (Request(method, path),))
        for method, path in _METHODS
    ),
    *(
        Case(f"routing/other/{name}", (post(path, body, mask_usage=True),))
        for name, (path, body) in _OTHER_ENDPOINTS.items()
    ),
    Case("routing/is-sleeping", (get("/is_sleeping"),)),
    Case("routing/responses-get", (get("/v1/responses/resp_1"),)),
    Case("routing/cors-simple", (Request("GET", "/v1/models", headers=_ORIGIN),)),
    Case("routing/cors-preflight", (Request("OPTIONS", "/v1/completions", headers=_PREFLIGHT),)),
    Case("routing/cors-error", (Request("GET", "/nothing", headers=_ORIGIN),)),
    Case("routing/request-id", (Request("GET", "/v1/models", headers={"x-request-id": "mine"}),)),
    Case(
        "routing/root-path", (get("/pre/v1/models"), get("/v1/models"), get("/pre/health"), get("/health")), "root-path"
    ),
    Case("routing/root-path-completion", (Request("POST", "/pre/v1/completions", completion().json),), "root-path"),
)
