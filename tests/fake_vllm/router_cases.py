"""Responses of a vLLM server, byte by byte: one row per case, each with its source.

Sources are files of the public vLLM repository (2026) unless they say otherwise; `facts` is what this project
was given to start from, read in the same code. Texts that were generated are the fake's own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

SERVING = "vllm/entrypoints/openai/models/serving.py"
COMPLETION = "vllm/entrypoints/openai/completion/protocol.py"
COMPLETION_SERVING = "vllm/entrypoints/openai/completion/serving.py"
CHAT = "vllm/entrypoints/openai/chat_completion/protocol.py"
CHAT_SERVING = "vllm/entrypoints/openai/chat_completion/serving.py"
SAMPLING = "vllm/sampling_params.py"
TOKENIZE = "vllm/entrypoints/serve/tokenize/protocol.py"
VALIDATION = "vllm/entrypoints/serve/exception_handling/handlers/validation.py"
KEYS = "vllm/entrypoints/openai/server_utils.py"
RENDERER = "vllm/renderers/params.py"
METRICS = "vllm/v1/metrics/loggers.py"
ROUTING = "starlette/routing.py, fastapi/exception_handlers.py"
FACTS = "facts"

LOAD, UNLOAD, MODELS = "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/models"
COMPLETE, TALK = "/v1/completions", "/v1/chat/completions"
NOW = 1767225600
JSON = {"content-type": "application/json"}
PLAIN = {**JSON, "x-tokenizer": "fake-vllm/four-bytes-a-token"}
EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
FINGERPRINT = "vllm-0.27.0-63a5d6a1"
TAIL = {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}
KEYED = {"api_keys": ("sk-one", "sk-two")}


@dataclass(frozen=True)
class Case:
    """A request, the engine that gets it, and the response."""

    name: str
    source: str
    method: str
    path: str
    body: object = None
    """Sent as JSON unless it is bytes."""
    status: int = 200
    answer: object = b""
    """Compared as JSON unless it is bytes; events of a stream are a list."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers in addition to the content type."""
    content_type: str = "application/json"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from the usual ones."""
    replied: Mapping[str, str] = field(default_factory=lambda: JSON)
    """Headers of the response."""

    @property
    def raw(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()

    @property
    def sent(self) -> dict[str, str]:
        given = {"content-type": self.content_type} if self.content_type and self.method == "POST" else {}
        return {**given, **self.headers}


def refusal(status: int, kind: str, message: str, param: str | None = None) -> dict[str, Any]:
    """Return an error envelope."""
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def bad(message: str, param: str | None = None, status: int = 400) -> dict[str, Any]:
    return refusal(status, "BadRequestError", message, param)


def wrong(kind: str, where: str, said: str, shown: object) -> dict[str, Any]:
    """Return the response with an error of pydantic."""
    inner = f"{{'type': '{kind}', 'loc': ('body', '{where}'), 'msg': '{said}', 'input': {shown!r}}}"
    return unfit(f"1 validation error:\n  {inner}", f"body.{where}")


def unfit(message: str, param: str | None = None) -> dict[str, Any]:
    """Return the response to a body that does not fit."""
    return refusal(400, "Bad Request", message, param)


def refused(said: str, param: str, more: str = "") -> dict[str, Any]:
    """Return the response with an error of a validator."""
    return bad(f"{said} (parameter={param}{more})", param)


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}


def choice(text: str, index: int = 0, reason: str = "length", stop: str | None = None, **more: Any) -> dict[str, Any]:
    said = {"index": index, "text": text, "logprobs": None, "finish_reason": reason, "stop_reason": stop}
    return {
        **said,
        "token_ids": None,
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "routed_experts": None,
        **more,
    }


def completion(*choices: dict[str, Any], prompt: int, tokens: int, model: str = "base", id: str = "id") -> Any:
    return {
        "id": f"cmpl-{id}",
        "object": "text_completion",
        "created": NOW,
        "model": model,
        "choices": list(choices),
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": {**usage(prompt, tokens), "prompt_tokens_details": None},
        **TAIL,
    }


def event(text: str, reason: str | None = None, stop: str | None = None, index: int = 0, model: str = "base") -> Any:
    said = {"index": index, "text": text, "logprobs": None, "finish_reason": reason, "stop_reason": stop}
    return {
        "id": "cmpl-id",
        "object": "text_completion",
        "created": NOW,
        "model": model,
        "choices": [{**said, "prompt_token_ids": None, "token_ids": None}],
    }


def chunk(delta: dict[str, str], **more: Any) -> Any:
    head = {"id": "chatcmpl-id", "object": "chat.completion.chunk", "created": NOW, "model": "base"}
    said = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **more}
    if "role" in delta:
        return {**head, "choices": [said], "prompt_token_ids": None, "prompt_text": None}
    return {**head, "choices": [{**said, "token_ids": None}]}


ID = {"x-request-id": "id"}
HI = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
CALL = "Call to add_lora method failed: "
HINT = " If you want to load the adapter in place, set 'load_inplace' to True."
UNKNOWN = refusal(404, "NotFoundError", "The model `ghost` does not exist.", "model")
NO_ROUTE = {"detail": "Not Found"}
NOT_ALLOWED = {"detail": "Method Not Allowed"}
NO_KEY = {"error": "Unauthorized"}
MEDIA = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"


def card(id: str, root: str, parent: str | None, longest: int | None) -> dict[str, Any]:
    """Return one entry of the list of models."""
    head = {"id": id, "object": "model", "created": NOW, "owned_by": "vllm", "root": root, "parent": parent}
    permission = {
        "id": f"modelperm-{blake2b(id.encode(), digest_size=16).hexdigest()}",
        "object": "model_permission",
        "created": NOW,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    return {**head, "max_model_len": longest, "permission": [permission]}


CASES = (
    # Adapters
    Case("loaded", SERVING, "POST", LOAD, {"lora_name": "n", "lora_path": "p"},
         answer=b"Success: LoRA adapter 'n' added successfully.", replied={}),
    Case("loaded in place", SERVING, "POST", LOAD, {"lora_name": "held", "lora_path": "p", "load_inplace": True},
         answer=b"Success: LoRA adapter 'held' added successfully.", replied={}),
    Case("unloaded", SERVING, "POST", UNLOAD, {"lora_name": "held"},
         answer=b"Success: LoRA adapter 'held' removed successfully.", replied={}),
    Case("load without a name", SERVING, "POST", LOAD, {"lora_name": "", "lora_path": "p"}, 400,
         refusal(400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.")),
    Case("load without a path", SERVING, "POST", LOAD, {"lora_name": "n", "lora_path": ""}, 400,
         refusal(400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.")),
    Case("loaded already", SERVING, "POST", LOAD, {"lora_name": "held", "lora_path": "p"}, 400,
         refusal(400, "InvalidUserInput", "The lora adapter 'held' has already been loaded." + HINT)),
    Case("loaded already, old", FACTS, "POST", LOAD, {"lora_name": "held", "lora_path": "p"}, 400,
         refusal(400, "InvalidUserInput", "The lora adapter 'held' has already been loaded."),
         settings={"version": "0.10.0"}),
    Case("nothing at the path", SERVING, "POST", LOAD, {"lora_name": "n", "lora_path": "nowhere"}, 404,
         refusal(404, "NotFoundError", "Loading lora n failed: No adapter found for nowhere")),
    Case("rank too high", FACTS, "POST", LOAD, {"lora_name": "n", "lora_path": "acme/huge"}, 500,
         refusal(500, "InternalServerError", CALL + "LoRA rank 64 is greater than max_lora_rank 16.")),
    Case("broken weights", SERVING, "POST", LOAD, {"lora_name": "n", "lora_path": "acme/broken"}, 500,
         refusal(500, "InternalServerError", CALL + "bad header")),
    Case("unload without a name", SERVING, "POST", UNLOAD, {"lora_name": ""}, 400,
         refusal(400, "InvalidUserInput", "'lora_name' needs to be provided to unload a LoRA adapter.")),
    Case("unload of what is not there", SERVING, "POST", UNLOAD, {"lora_name": "n"}, 404,
         refusal(404, "NotFoundError", "The lora adapter 'n' cannot be found.")),
    Case("load when updating is off", FACTS, "POST", LOAD, {"lora_name": "n", "lora_path": "p"}, 404, NO_ROUTE,
         settings={"runtime_updating": False}),
    Case("unload when updating is off", FACTS, "POST", UNLOAD, {"lora_name": "held"}, 404, NO_ROUTE,
         settings={"runtime_updating": False}),
    Case("load without LoRA", FACTS, "POST", LOAD, {"lora_name": "n", "lora_path": "p"}, 500,
         refusal(500, "InternalServerError", CALL + "LoRA is not enabled. Use --enable-lora to enable LoRA."),
         settings={"enable_lora": False, "lora_modules": ()}),
    Case("load of no JSON", VALIDATION, "POST", LOAD, b"{", 400,
         unfit("1 validation error:\n  {'type': 'json_invalid', 'loc': ('body', 1), 'msg': 'JSON decode error',"
             " 'input': {}, 'ctx': {'error': 'Expecting property name enclosed in double quotes'}}", "body.1")),
    Case("load of something else", VALIDATION, "POST", LOAD, b"lora_name=n", 400, unfit(MEDIA),
         content_type="application/x-www-form-urlencoded"),
    Case("load with a field missing", VALIDATION, "POST", LOAD, {"lora_name": "n"}, 400,
         wrong("missing", "lora_path", "Field required", {"lora_name": "n"})),
    Case("load with a wrong type", VALIDATION, "POST", LOAD, {"lora_name": 1, "lora_path": "p"}, 400,
         wrong("string_type", "lora_name", "Input should be a valid string", 1)),
    Case("load with a field missing, old", FACTS, "POST", LOAD, {"lora_name": "n"}, 422,
         {"error": {"message": "1 validation error:\n  {0} [{0}]".format(
             "{'type': 'missing', 'loc': ('body', 'lora_path'), 'msg': 'Field required', 'input': {'lora_name': 'n'}}"),
                    "type": "BadRequestError", "param": None, "code": 422}},
         settings={"version": "0.7.1"}),
    # Models, health and the rest that is asked for without a body
    Case("models", SERVING, "GET", MODELS, answer={"object": "list", "data": [
        card("base", "acme/base", None, 4096), card("alias", "acme/base", None, 4096),
        card("held", "/held", "base", None)]}, settings={"served_model_names": ("base", "alias")}),
    Case("health", FACTS, "GET", "/health", replied={}),
    Case("ping", FACTS, "GET", "/ping", replied={}),
    Case("ping, as SageMaker may", FACTS, "POST", "/ping", replied={}),
    Case("version", FACTS, "GET", "/version", answer={"version": "0.27.0"}),
    Case("load of the server", FACTS, "GET", "/load", answer={"server_load": 0}),
    Case("no such route", ROUTING, "GET", "/nowhere", None, 404, NO_ROUTE),
    Case("no such route under v1", ROUTING, "POST", "/v1/nowhere", {}, 404, NO_ROUTE),
    Case("wrong method", ROUTING, "DELETE", MODELS, None, 405, NOT_ALLOWED, replied={**JSON, "allow": "GET"}),
    Case("wrong method for completions", ROUTING, "GET", COMPLETE, None, 405, NOT_ALLOWED,
         replied={**JSON, "allow": "POST"}),
    # Keys
    Case("no key", KEYS, "GET", MODELS, None, 401, NO_KEY, settings=KEYED),
    Case("wrong key", KEYS, "POST", COMPLETE, {"prompt": "hi"}, 401, NO_KEY, {"authorization": "Bearer sk-on"},
         settings=KEYED),
    Case("key with another scheme", KEYS, "GET", MODELS, None, 401, NO_KEY, {"authorization": "Basic sk-one"},
         settings=KEYED),
    Case("any of the keys, scheme in any case", KEYS, "POST", TALK, {}, 400,
         wrong("missing", "messages", "Field required", {}), {"authorization": "bEARER sk-two"},
         settings=KEYED),
    Case("unknown route under v1, no key", KEYS, "GET", "/v1/nowhere", None, 401, NO_KEY, settings=KEYED),
    Case("health without a key", KEYS, "GET", "/health", replied={}, settings=KEYED),
    Case("tokenize without a key, old", KEYS, "POST", "/tokenize", {"prompt": ""}, replied=PLAIN, settings=KEYED,
         answer={"count": 0, "max_model_len": 4096, "tokens": [], "token_strs": None}),
    Case("generate without a key", KEYS, "POST", "/inference/v1/generate", {}, 401, NO_KEY,
         settings={**KEYED, "version": "0.28.0"}),
    Case("OPTIONS is never asked for a key", KEYS, "OPTIONS", MODELS, None, 405, NOT_ALLOWED, settings=KEYED,
         replied={**JSON, "allow": "GET"}),
    # Completions
    Case("completion", COMPLETION, "POST", COMPLETE, {"model": "base", "prompt": "hello", "max_tokens": 4}, headers=ID,
         answer=completion(choice("[base]   mom his"), prompt=2, tokens=4)),
    Case("completion by an adapter", COMPLETION_SERVING, "POST", COMPLETE, {"model": "held", "prompt": "hello"},
         headers=ID, answer=completion(
            choice("[held]   had too get run now got man and who the she all big our"), prompt=2, tokens=16,
            model="held")),
    Case("completion without a model", COMPLETION, "POST", COMPLETE, {"prompt": "hello", "max_tokens": 1}, headers=ID,
         answer=completion(choice("[bas"), prompt=2, tokens=1)),
    Case("completion before there were token ids", FACTS, "POST", COMPLETE, {"prompt": "hello", "max_tokens": 1},
         headers=ID, settings={"version": "0.10.2"}, answer={
            "id": "cmpl-id", "object": "text_completion", "created": NOW, "model": "base", "choices": [
                {"index": 0, "text": "[bas", "logprobs": None, "finish_reason": "length", "stop_reason": None,
                 "prompt_logprobs": None}],
            "service_tier": None, "system_fingerprint": None,
            "usage": {**usage(2, 1), "prompt_tokens_details": None}, "kv_transfer_params": None}),
    Case("two choices to two prompts", COMPLETION_SERVING, "POST", COMPLETE,
         {"prompt": ["one", "two"], "n": 2, "max_tokens": 2}, headers=ID, answer=completion(
            *(choice("[base]  ", index) for index in range(4)), prompt=2, tokens=8)),
    Case("a prompt of tokens", COMPLETION, "POST", COMPLETE,
         {"prompt": [17179869292, 17179869293], "max_tokens": 1, "echo": True}, headers=ID,
         answer=completion(choice("lm[bas"), prompt=2, tokens=1)),
    Case("token ids", COMPLETION, "POST", COMPLETE, {"prompt": "hi", "max_tokens": 1, "return_token_ids": True},
         headers=ID, answer=completion(
            {**choice("[bas"), "token_ids": [5828141427], "prompt_token_ids": [12884928617]}, prompt=1, tokens=1)),
    Case("logprobs", COMPLETION, "POST", COMPLETE, {"prompt": "hi", "max_tokens": 1, "logprobs": 1}, headers=ID,
         answer=completion({**choice("[bas"), "logprobs": {
            "text_offset": [0], "token_logprobs": [-0.6931471805599453], "tokens": ["[bas"],
            "top_logprobs": [{"[bas": -0.6931471805599453}]}}, prompt=1, tokens=1)),
    Case("a stop string", COMPLETION_SERVING, "POST", COMPLETE, {"prompt": "hi", "max_tokens": 4, "stop": ["e]"]},
         headers=ID, answer=completion(choice("[bas", reason="stop", stop="e]"), prompt=1, tokens=2)),
    Case("a stop string that is kept", COMPLETION, "POST", COMPLETE,
         {"prompt": "hi", "max_tokens": 4, "stop": "e]", "include_stop_str_in_output": True},
         headers=ID, answer=completion(choice("[base]", reason="stop", stop="e]"), prompt=1, tokens=2)),
    Case("completion in events", COMPLETION_SERVING, "POST", COMPLETE,
         {"prompt": "hi", "max_tokens": 2, "stream": True, "stream_options": {"include_usage": True}},
         headers=ID, replied=EVENTS, answer=[
            event("[bas"), event("e]  ", "length"),
            {"id": "cmpl-id", "object": "text_completion", "created": NOW, "model": "base", "choices": [],
             "usage": usage(1, 2), "system_fingerprint": FINGERPRINT}, "[DONE]"]),
    Case("completion in events, usage in each", COMPLETION_SERVING, "POST", COMPLETE,
         {"prompt": "hi", "max_tokens": 1, "stream": True,
          "stream_options": {"include_usage": True, "continuous_usage_stats": True}},
         headers=ID, replied=EVENTS, answer=[
            {**event("[bas", "length"), "usage": usage(1, 1)},
            {"id": "cmpl-id", "object": "text_completion", "created": NOW, "model": "base", "choices": [],
             "usage": usage(1, 1), "system_fingerprint": FINGERPRINT}, "[DONE]"]),
    Case("completion by an unknown model", SERVING, "POST", COMPLETE, {"model": "ghost", "prompt": "hi"}, 404, UNKNOWN),
    Case("events of an unknown model", SERVING, "POST", COMPLETE, {"model": "ghost", "prompt": "hi", "stream": True},
         404, UNKNOWN),
    Case("no prompt", COMPLETION, "POST", COMPLETE, {"model": "base"}, 400,
         refused("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")),
    Case("stream options without a stream", COMPLETION, "POST", COMPLETE,
         {"prompt": "hi", "stream_options": {"include_usage": True}}, 400,
         refused("Stream options can only be defined when `stream=True`.", "stream_options")),
    Case("negative logprobs", COMPLETION, "POST", COMPLETE, {"prompt": "hi", "logprobs": -2}, 400,
         refused("`logprobs` must be a positive value.", "logprobs", ", value=-2")),
    Case("max_tokens of the wrong type", VALIDATION, "POST", COMPLETE, {"prompt": "hi", "max_tokens": "many"}, 400,
         wrong("int_parsing", "max_tokens", "Input should be a valid integer, unable to parse string as an integer",
               "many")),
    Case("no tokens at all", SAMPLING, "POST", COMPLETE, {"prompt": "hi", "max_tokens": 0}, 400,
         bad("max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)", "max_tokens")),
    Case("too hot", SAMPLING, "POST", COMPLETE, {"prompt": "hi", "temperature": -1}, 400,
         bad("temperature must be non-negative, got -1.0. (parameter=temperature, value=-1.0)", "temperature")),
    Case("top_p out of range", SAMPLING, "POST", COMPLETE, {"prompt": "hi", "top_p": 0}, 400,
         bad("top_p must be in (0, 1], got 0.0. (parameter=top_p, value=0.0)", "top_p")),
    Case("greedy and many", SAMPLING, "POST", COMPLETE, {"prompt": "hi", "temperature": 0, "n": 2}, 400,
         bad("n must be 1 when using greedy sampling, got 2.")),
    Case("an empty stop string", SAMPLING, "POST", COMPLETE, {"prompt": "hi", "stop": [""]}, 400,
         bad("stop cannot contain an empty string.")),
    Case("more tokens than the model takes", RENDERER, "POST", COMPLETE, {"prompt": "hi", "max_tokens": 5000}, 400,
         bad("max_tokens=5000 cannot be greater than max_model_len=max_total_tokens=4096. Please request fewer output"
             " tokens. (parameter=max_tokens, value=5000)", "max_tokens")),
    Case("a prompt too long", RENDERER, "POST", COMPLETE, {"prompt": "x" * 16400, "max_tokens": 10}, 400,
         bad("This model's maximum context length is 4096 tokens. However, you requested 10 output tokens and your"
             " prompt contains 16400 characters (more than 16344 characters, which is the upper bound for 4086 input"
             " tokens). Please reduce the length of the input prompt or the number of requested output tokens."
             " (parameter=input_text, value=16400)", "input_text")),
    Case("a prompt of too many tokens", RENDERER, "POST", COMPLETE, {"prompt": [5] * 4100, "max_tokens": 10}, 400,
         bad("This model's maximum context length is 4096 tokens. However, you requested 10 output tokens and your"
             " prompt contains 4100 input tokens, for a total of 4110 tokens. Please reduce the length of the input"
             " prompt or the number of requested output tokens. (parameter=input_tokens, value=4100)", "input_tokens")),
    Case("a prompt of too many tokens, since 0.32", RENDERER, "POST", COMPLETE, {"prompt": [5] * 4100}, 400,
         bad("This model's maximum context length is 4096 tokens. However, your prompt contains 4100 input tokens,"
             " which exceeds this limit even without any output tokens. Please reduce the length of the input prompt."
             " (parameter=input_tokens, value=4100)", "input_tokens"), settings={"version": "0.32.0"}),
    Case("a prompt that leaves room for less than was asked for", RENDERER, "POST", COMPLETE,
         {"prompt": [5] * 4095, "max_tokens": 10}, 400,
         bad("This model's maximum context length is 4096 tokens. However, you requested 10 output tokens and your"
             " prompt contains 4095 input tokens, for a total of 4105 tokens. Please reduce the length of the input"
             " prompt or the number of requested output tokens. (parameter=input_tokens, value=4095)", "input_tokens")),
    Case("a suffix", COMPLETION_SERVING, "POST", COMPLETE, {"prompt": "hi", "suffix": "there"}, 400,
         bad("suffix is not currently supported")),
    Case("a suffix, since 0.32", COMPLETION_SERVING, "POST", COMPLETE, {"prompt": "hi", "suffix": "there"}, 400,
         bad("suffix is only supported for models with FIM completion rendering", "suffix"),
         settings={"version": "0.32.0"}),
    # Chats
    Case("chat", CHAT_SERVING, "POST", TALK, HI, headers=ID, answer={
        "id": "chatcmpl-id", "object": "chat.completion", "created": NOW, "model": "base",
        "choices": [{"index": 0, "message": {
            "role": "assistant", "content": "[base]   all", "refusal": None, "annotations": None, "audio": None,
            "function_call": None, "reasoning": None},
            "logprobs": None, "finish_reason": "length", "stop_reason": None, "token_ids": None,
            "routed_experts": None}],
        "service_tier": None, "system_fingerprint": FINGERPRINT,
        "usage": {**usage(7, 3), "prompt_tokens_details": None}, "prompt_logprobs": None, "prompt_token_ids": None,
        "prompt_text": None, **TAIL}),
    Case("chat in events", CHAT_SERVING, "POST", TALK, {**HI, "max_tokens": 2, "stream": True}, headers=ID,
         replied=EVENTS, answer=[
            chunk({"role": "assistant", "content": ""}), chunk({"content": "[bas"}),
            {**chunk({"content": "e]  "}, finish_reason="length", stop_reason=None), "system_fingerprint": FINGERPRINT},
            "[DONE]"]),
    Case("chat without messages", CHAT, "POST", TALK, {"model": "base"}, 400,
         wrong("missing", "messages", "Field required", {"model": "base"})),
    Case("chat with an unknown model", SERVING, "POST", TALK, {**HI, "model": "ghost"}, 404, UNKNOWN),
    Case("top_logprobs alone", CHAT, "POST", TALK, {**HI, "top_logprobs": 2}, 400,
         refused("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")),
    Case("a tool choice without tools", CHAT, "POST", TALK, {**HI, "tool_choice": "auto"}, 400,
         refused("When using `tool_choice`, `tools` must be set.", "tool_choice")),
    Case("no tools in the list", CHAT, "POST", TALK, {**HI, "tools": []}, 400,
         refused("`tools` must not be an empty array. Either provide at least one tool or omit the field entirely.",
                 "tools")),
    # Tokens, embeddings
    Case("tokenize", TOKENIZE, "POST", "/tokenize", {"model": "base", "prompt": "hello", "return_token_strs": True},
         replied=PLAIN, answer={"count": 2, "max_model_len": 4096, "tokens": [6046444652, 17179869295],
                                "token_strs": ["hell", "o"]}),
    Case("tokenize for an unknown model", SERVING, "POST", "/tokenize", {"model": "ghost", "prompt": "x"}, 404,
         UNKNOWN),
    Case("detokenize", TOKENIZE, "POST", "/detokenize", {"tokens": [6046444652, 17179869295]}, replied=PLAIN,
         answer={"prompt": "hello"}),
    Case("detokenize nothing", TOKENIZE, "POST", "/detokenize", {}, 400,
         wrong("missing", "tokens", "Field required", {})),
    Case("embeddings of a generation model", FACTS, "POST", "/v1/embeddings", {"input": "hi"}, 400,
         bad("The model does not support Embeddings API"), settings={"version": "0.10.0"}),
    Case("embeddings of a generation model, new", FACTS, "POST", "/v1/embeddings", {"input": "hi"}, 404, NO_ROUTE,
         settings={"version": "0.28.0"}),
)  # fmt: skip
