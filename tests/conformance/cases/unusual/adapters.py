"""Adapters with odd names and paths, and methods, queries and keys that no client sends on purpose."""

from tests.conformance.exchange import PROMPT, Case, Request, chat, completion, get, load, post, unload

_JSON = {"content-type": "application/json"}
_USAGE = {"include_usage": True}
_METHODS = (
    *(("HEAD", path) for path in ("/health", "/version", "/v1/completions", "/v1/load_lora_adapter", "/tokenize")),
    *(("OPTIONS", path) for path in ("/health", "/metrics", "/v1/load_lora_adapter", "/nothing", "/v1/models?x=1")),
    *(("TRACE", "/v1/models"), ("FETCH", "/v1/models"), ("PUT", "/version"), ("PATCH", "/health")),
)
_QUERIES = ("?lora_name=b", "?lora_path=", "?%ff", "?a=1&a=2", "??")
_NAMES = {
    "emoji": "\U0001f600",
    "combining": "e\u0301",
    "right-to-left": "\u202eabc",
    "braces": "{}",
    "template": "{name!r}",
    "percent-s": "%s",
    "backslash": "a\\b",
    "quotes": "a\"b'c",
    "tab": "a\tb",
    "line-end": "a\n",
    "blank-before": " base",
    "upper-base": "BASE",
    "dots": "..",
    "slashes": "//",
    "query": "a?b=c",
    "hash": "a#b",
    "equals": "a=b",
    "comma": "a,b",
    "long": "n" * 10_000,
    "number": "1",
    "none": "None",
    "html": "<b>a</b>",
    "carriage-return": "a\r\nx: y",
    "delete": "\x7f",
}
_PATHS = {
    "up-and-down": "<loras>/none/../l0",
    "dot": "<loras>/./l0/.",
    "two-slashes": "<loras>//l0//",
    "weights-file": "<loras>/l0/adapter_model.safetensors",
    "device": "/dev/null",
    "etc": "/etc",
    "passwd": "/etc/passwd",
    "above-root": "/../../../../../../etc",
    "blank-end": "<loras>/l0 ",
    "encoded": "<loras>/%6c0",
    "variable": "$HOME",
    "backslashes": "C:\\loras\\l0",
    "glob": "<loras>/l*",
}
_LOADS: dict[str, tuple[Request, ...]] = {
    "twice-other-spelling": (load(), load("a", "<loras>/l0/"), get("/v1/models")),
    "twice-in-place-false": (load(), load(load_inplace=False), get("/v1/models")),
    "in-place-twice-then-plain": (load(load_inplace=True), load(load_inplace=True), load(), get("/v1/models")),
    "in-place-other-then-back": (
        *(load(), load("a", "<loras>/l1", load_inplace=True), load("a", "<loras>/l0", load_inplace=True)),
        *(completion("a"), get("/v1/models")),
    ),
    "in-place-of-unloaded": (load(), unload(), load(load_inplace=True), completion("a")),
    "in-place-missing-keeps": (load(), load("a", "<loras>/none", load_inplace=True), completion("a")),
    "in-place-broken-keeps": (load(), load("a", "<loras>/dora", load_inplace=True), completion("a")),
    "unload-with-wrong-id": (load(), unload(lora_int_id=77), get("/v1/models")),
    "unload-base-after-load": (load(), unload("base"), get("/v1/models"), completion()),
    "same-path-three-names": (load("a"), load("b"), load("c"), completion("b"), get("/v1/models")),
    "two-choices": (load(), completion("a", n=2), completion("a", n=2, stream=True, stream_options=_USAGE)),
    "two-prompts": (load(), completion("a", prompt=[PROMPT, PROMPT], n=2, logprobs=1)),
    "chat-two-choices": (load(), chat("a", n=2, logprobs=True)),
    "unloaded-between": (load(), completion("a"), unload(), completion("a"), chat("a"), load(), chat("a")),
    "tokenize": (load(), post("/tokenize", {"model": "a", "prompt": "hello"}, mask_usage=True)),
    "models-query": (load(), get("/v1/models?model=a"), get("/v1/models/a")),
    "repeated-key": (
        post("/v1/load_lora_adapter", content=b'{"lora_name": "x", "lora_name": "y", "lora_path": "/"}', headers=_JSON),
        get("/v1/models"),
    ),
}
_KEYS: dict[str, tuple[tuple[str, str], ...]] = {
    "wrong-then-right": (("authorization", "Bearer wrong"), ("authorization", "Bearer sesame")),
    "right-then-wrong": (("authorization", "Bearer sesame"), ("authorization", "Bearer wrong")),
    "basic": (("authorization", "Basic c2VzYW1l"),),
    "tab": (("authorization", "Bearer\tsesame"),),
    "list": (("authorization", "Bearer sesame, Bearer wrong"),),
    "quoted": (("authorization", 'Bearer "sesame"'),),
    "proxy": (("proxy-authorization", "Bearer sesame"),),
    "cookie": (("cookie", "authorization=Bearer sesame"),),
    "upper-key": (("authorization", "Bearer SESAME"),),
    "three-words": (("authorization", "Bearer sesame x"),),
}

CASES = (
    *(
        Case(f"unusual/method/{index}-{method.lower()}", (Request(method, path),))
        for index, (method, path) in enumerate(_METHODS)
    ),
    *(
        Case(
            f"unusual/query/{index}",
            (
                post(f"/v1/load_lora_adapter{query}", load().json),
                post(f"/v1/completions{query}", completion("a").json),
                get(f"/health{query}"),
            ),
        )
        for index, query in enumerate(_QUERIES)
    ),
    *(
        Case(
            f"unusual/name/{name}",
            (load(text), completion(text), completion(f"{text}x"), get("/v1/models"), unload(text), unload(text)),
        )
        for name, text in _NAMES.items()
    ),
    *(Case(f"unusual/path/{name}", (load("a", path), get("/v1/models"))) for name, path in _PATHS.items()),
    *(Case(f"unusual/load/{name}", steps) for name, steps in _LOADS.items()),
    *(
        Case(f"unusual/key/{name}", (Request("GET", "/v1/models", more_headers=headers),), "key")
        for name, headers in _KEYS.items()
    ),
    Case("unusual/key/query", (get("/v1/models?api_key=sesame"),), "key"),
    Case(
        "unusual/header/two-request-ids",
        (Request("GET", "/v1/models", more_headers=(("x-request-id", "a"), ("x-request-id", "b"))),),
        "front",
    ),
)
