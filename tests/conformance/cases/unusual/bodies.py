"""Bodies at the edges of several fields at once, odd bytes, and odd headers of a body."""

from typing import Any

from tests.conformance.exchange import MESSAGES, PROMPT, Case, Request, chat, completion, post

_JSON = {"content-type": "application/json"}
_USAGE = {"include_usage": True}
_CONTINUOUS = {"include_usage": True, "continuous_usage_stats": True}
_STREAMS: dict[str, Request] = {
    "two-choices": completion(stream=True, n=2, stream_options=_USAGE),
    "two-choices-continuous": completion(stream=True, n=2, stream_options=_CONTINUOUS),
    "two-prompts": completion(stream=True, prompt=[PROMPT, PROMPT], stream_options=_USAGE),
    "echo": completion(stream=True, echo=True, stream_options=_CONTINUOUS),
    "logprobs": completion(stream=True, logprobs=0, stream_options=_USAGE),
    "continuous-alone": completion(stream=True, stream_options={"continuous_usage_stats": True}),
    "options-null": completion(stream=True, stream_options=None),
    "options-list": completion(stream=True, stream_options=[]),
    "options-text": completion(stream=True, stream_options="include_usage"),
    "usage-null": completion(stream=True, stream_options={"include_usage": None}),
    "usage-number": completion(stream=True, stream_options={"include_usage": 1}),
    "usage-two": completion(stream=True, stream_options={"include_usage": 2}),
    "options-empty-without-stream": completion(stream_options={}),
    "options-null-without-stream": completion(stream_options=None),
    "stream-null": completion(stream=None),
    "stream-text": completion(stream="true"),
    "stream-number": completion(stream=1),
    "prompt-logprobs": completion(stream=True, prompt_logprobs=1),
    "max-tokens-one": completion(stream=True, max_tokens=1, stream_options=_CONTINUOUS),
    "two-choices-of-a-chat": chat(stream=True, n=2, stream_options=_CONTINUOUS),
    "chat-logprobs": chat(stream=True, logprobs=True, top_logprobs=1, stream_options=_USAGE),
    "chat-logprobs-none": chat(stream=True, logprobs=True, top_logprobs=0),
    "chat-echo": chat(stream=True, echo=True, stream_options=_USAGE),
    "chat-stream-null": chat(stream=None, stream_options=_USAGE),
}
_COUNTS: dict[str, Request] = {
    "logprobs-boolean": completion(logprobs=True),
    "logprobs-real": completion(logprobs=1.0),
    "logprobs-fraction": completion(logprobs=1.5),
    "logprobs-text": completion(logprobs="1"),
    "logprobs-minus-two": completion(logprobs=-2),
    "logprobs-huge": completion(logprobs=2**40),
    "logprobs-two-choices": completion(logprobs=1, n=2),
    "chat-top-alone": chat(top_logprobs=1),
    "chat-top-null": chat(logprobs=True, top_logprobs=None),
    "chat-top-fraction": chat(logprobs=True, top_logprobs=1.5),
    "chat-top-boolean": chat(logprobs=True, top_logprobs=True),
    "chat-logprobs-number": chat(logprobs=1),
    "chat-logprobs-null": chat(logprobs=None, top_logprobs=1),
    "prompt-logprobs-zero": completion(prompt_logprobs=0),
    "prompt-logprobs-minus-one": completion(prompt_logprobs=-1),
    "prompt-logprobs-minus-two": completion(prompt_logprobs=-2),
    "n-zero": completion(n=0),
    "n-negative": completion(n=-1),
    "n-null": completion(n=None),
    "n-text": completion(n="2"),
    "n-real": completion(n=2.0),
    "n-boolean": completion(n=True),
    "n-huge": completion(n=100_000),
    "n-beyond-64-bits": completion(n=2**70),
    "n-chat-zero": chat(n=0),
    "max-tokens-beyond-64-bits": completion(max_tokens=2**70),
    "seed-beyond-64-bits": completion(seed=2**70),
    "temperature-text": completion(temperature="0"),
}
_STOPS: dict[str, Any] = {
    "empty-text": "",
    "empty-texts": [""],
    "one-empty": ["never", ""],
    "empty-list": [],
    "null": None,
    "null-in-list": [None],
    "number": 1,
    "numbers": [1],
    "nested": [["a"]],
    "object": {"a": "b"},
    "four": ["!1", "!2", "!3", "!4"],
    "five": ["!1", "!2", "!3", "!4", "!5"],
    "unicode": ["\u2603", "\U0001f600"],
    "long": ["!" * 5000],
}
_TOKEN_STOPS: dict[str, Any] = {
    "empty": [],
    "negative": [-1],
    "beyond": [100_000],
    "text": ["1"],
    "word": ["x"],
    "number": 1,
    "real": [1.0],
    "boolean": [True],
    "null": [None],
    "huge": [2**70],
}
_BODIES: dict[str, bytes] = {
    "repeated-key": b'{"model": "none", "prompt": [11], "max_tokens": 1, "model": "base"}',
    "repeated-key-last-wrong": b'{"model": "base", "prompt": [11], "max_tokens": 1, "model": "none"}',
    "byte-order-mark": b'\xef\xbb\xbf{"model": "base", "prompt": [11], "max_tokens": 1}',
    "utf-16": '{"model": "base", "prompt": [11], "max_tokens": 1}'.encode("utf-16"),
    "utf-16-le": '{"model": "base", "prompt": [11], "max_tokens": 1}'.encode("utf-16-le"),
    "overlong": b'{"model": "base", "prompt": "\xc0\xaf", "max_tokens": 1}',
    "surrogate-bytes": b'{"model": "base", "prompt": "\xed\xa0\x80", "max_tokens": 1}',
    "surrogate-escape": b'{"model": "base", "prompt": "\\ud800", "max_tokens": 1}',
    "surrogate-model": b'{"model": "\\ud800", "prompt": [11], "max_tokens": 1}',
    "surrogate-key": b'{"\\ud800": 1, "model": "base", "prompt": [11], "max_tokens": 1}',
    "nul-model": b'{"model": "ba\\u0000se", "prompt": [11], "max_tokens": 1}',
    "comment": b'{"model": "base", /* x */ "prompt": [11], "max_tokens": 1}',
    "trailing-comma": b'{"model": "base", "prompt": [11], "max_tokens": 1,}',
    "trailing-text": b'{"model": "base", "prompt": [11], "max_tokens": 1} x',
    "two-objects": b'{"model": "base", "prompt": [11], "max_tokens": 1}{}',
    "control-character": b'{"model": "ba\nse", "prompt": [11], "max_tokens": 1}',
    "exponent": b'{"model": "base", "prompt": [11], "max_tokens": 1e0}',
    "overflow": b'{"model": "base", "prompt": [11], "max_tokens": 1, "temperature": 1e400}',
    "leading-zero": b'{"model": "base", "prompt": [11], "max_tokens": 01}',
    "minus-zero": b'{"model": "base", "prompt": [11], "max_tokens": 1, "temperature": -0}',
    "blank": b"   ",
    "long-number": b'{"model": "base", "prompt": [11], "max_tokens": ' + b"1" * 5000 + b"}",
    "long-name": b'{"model": "' + b"x" * 100_000 + b'", "prompt": [11], "max_tokens": 1}',
    "prompt-long": b'{"model": "base", "prompt": "' + b"x " * 500_000 + b'", "max_tokens": 1}',
    "many-tokens": b'{"model": "base", "prompt": [' + b"11, " * 100_000 + b'11], "max_tokens": 1}',
    "many-keys": b"{" + b", ".join(b'"k%d": 1' % number for number in range(2000)) + b', "model": "base"}',
}
_CONTENT_TYPES: dict[str, str] = {
    "upper": "APPLICATION/JSON",
    "charset-utf-16": "application/json; charset=utf-16",
    "charset-nonsense": "application/json; charset=nonsense",
    "suffix": "application/vnd.api+json",
    "suffix-upper": "application/vnd.api+JSON",
    "two": "application/json, text/plain",
    "text-json": "text/json",
    "form": "application/x-www-form-urlencoded",
    "multipart": "multipart/form-data; boundary=x",
    "any": "*/*",
    "empty": "",
    "semicolon": "application/json;",
    "no-slash": "json",
    "jsonp": "application/jsonp",
}


def _completion_of(body: bytes, **headers: str) -> Request:
    return post("/v1/completions", content=body, headers={**_JSON, **headers}, mask_usage=True)


_PLAIN = b'{"model": "base", "prompt": [11], "max_tokens": 1, "temperature": 0, "ignore_eos": true}'

CASES = (
    *(Case(f"unusual/stream/{name}", (request,)) for name, request in _STREAMS.items()),
    *(Case(f"unusual/count/{name}", (request,)) for name, request in _COUNTS.items()),
    *(Case(f"unusual/stop/{name}", (completion(stop=stop),)) for name, stop in _STOPS.items()),
    *(Case(f"unusual/stop-token/{name}", (completion(stop_token_ids=ids),)) for name, ids in _TOKEN_STOPS.items()),
    *(Case(f"unusual/body/{name}", (_completion_of(body),)) for name, body in _BODIES.items()),
    *(
        Case(
            f"unusual/content-type/{name}",
            (
                post("/v1/completions", content=_PLAIN, headers={"content-type": kind}),
                post("/v1/unload_lora_adapter", content=b'{"lora_name": "x"}', headers={"content-type": kind}),
            ),
        )
        for name, kind in _CONTENT_TYPES.items()
    ),
    Case(
        "unusual/header/two-content-types",
        (
            Request(
                *("POST", "/v1/completions"),
                content=_PLAIN,
                more_headers=(("content-type", "text/plain"), ("content-type", "application/json")),
            ),
        ),
    ),
    Case("unusual/header/expect", (_completion_of(_PLAIN, expect="100-continue"),)),
    Case("unusual/header/accept-nothing", (_completion_of(_PLAIN, accept="image/png"),)),
    Case("unusual/header/gzip-said", (_completion_of(_PLAIN, **{"content-encoding": "gzip"}),)),
    Case("unusual/messages/two-system", (chat(messages=[{"role": "system", "content": "a"}, *MESSAGES, *MESSAGES]),)),
)
