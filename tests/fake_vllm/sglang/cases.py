"""Responses of an SGLang server, byte by byte: one row per case, each with its source.

Sources are files of the public SGLang repository (python/sglang/srt, 2025 and 2026). Texts that were generated are the
fake's own.
"""

from functools import partial
from typing import Any

from tests.fake_vllm.router_cases import COMPLETE, EVENTS, JSON, MODELS, NO_KEY, NO_ROUTE, NOT_ALLOWED, NOW, TALK
from tests.fake_vllm.router_cases import Case as AnyCase

SERVER = "entrypoints/http_server.py"
CONTROL = "managers/tokenizer_control_mixin.py, managers/io_struct.py"
MANAGER = "managers/tokenizer_manager.py"
LORA = "lora/lora_manager.py"
REGISTRY = "lora/lora_registry.py"
PROTOCOL = "entrypoints/openai/protocol.py"
SERVING = "entrypoints/openai/serving_base.py"
COMPLETIONS = "entrypoints/openai/serving_completions.py"
CHATS = "entrypoints/openai/serving_chat.py"
KEYS = "utils/auth.py"
EMBED = "managers/tokenizer_manager.py"

LOAD, UNLOAD, GENERATE = "/load_lora_adapter", "/unload_lora_adapter", "/generate"
SGLANG: dict[str, Any] = {"dialect": "sglang", "max_cpu_loras": 1 << 30}
KEYED = {**SGLANG, "api_keys": ("sk-one",)}
HELD = {"held": "/held"}
Case = partial(AnyCase, settings=SGLANG)


def updated(adapters: dict[str, str] | None, problem: str | None = None) -> dict[str, Any]:
    head = {"rid": None, "http_worker_ipc": None, "success": problem is None}
    return {**head, "error_message": problem, "loaded_adapters": adapters}


def refusal(message: str, kind: str = "BadRequestError") -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": 400}


def usage(prompt: int, completion: int) -> dict[str, Any]:
    counted = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    return {**counted, "prompt_tokens_details": None, "reasoning_tokens": 0}


def card(id: str, root: str, parent: str | None, longest: int | None) -> dict[str, Any]:
    head = {"id": id, "object": "model", "created": NOW, "owned_by": "sglang", "root": root, "parent": parent}
    return {**head, "max_model_len": longest}


def completion(text: str, prompt: int, tokens: int, model: str = "base", stop: str | None = None) -> dict[str, Any]:
    ending = {"finish_reason": "stop" if stop else "length", "matched_stop": stop}
    return {
        "id": "rid",
        "object": "text_completion",
        "created": NOW,
        "model": model,
        "choices": [{"index": 0, "text": text, "logprobs": None, **ending}],
        "usage": usage(prompt, tokens),
        "metadata": {"weight_version": "default"},
    }


def event(text: str, reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason, "matched_stop": None}
    head = {"id": "rid", "object": "text_completion", "created": NOW, "model": "base"}
    return {**head, "choices": [choice], "usage": None}


def chunk(reason: str | None = None, **delta: str) -> dict[str, Any]:
    said = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None, **delta}
    choice = {"index": 0, "delta": said, "logprobs": None, "finish_reason": reason, "matched_stop": None}
    head = {"id": "rid", "object": "chat.completion.chunk", "created": NOW, "model": "base"}
    return {**head, "choices": [choice], "usage": None}


def native(text: str, tokens: list[int], reason: dict[str, Any] | None, prompt: int = 1) -> dict[str, Any]:
    about = {
        "id": "rid",
        "finish_reason": reason,
        "prompt_tokens": prompt,
        "weight_version": "default",
        "total_retractions": 0,
        "completion_tokens": len(tokens),
        "cached_tokens": 0,
    }
    return {"text": text, "output_ids": tokens, "meta_info": about}


NO_RANK = (
    "LoRA adapter n with rank 64 is incompatible with the current LoRA memory pool configuration. Please ensure that"
    " the LoRA adapter's rank is within the configured `--max-lora-rank` and that the target modules are included in"
    " `--lora-target-modules`."
)
LORA_OFF = (
    "LoRA adapter 'held' was requested, but LoRA is not enabled. Please launch the server with `--enable-lora` flag and"
    " preload adapters using `--lora-paths` or `/load_lora_adapter` endpoint for dynamic loading."
)
HI = {"rid": "rid", "model": "base", "prompt": "hi", "max_tokens": 2}
TALKED = {"rid": "rid", "model": "base", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}

SGLANG_CASES = (
    # Adapters
    Case("sglang: loaded", CONTROL, "POST", LOAD, {"lora_name": "n", "lora_path": "p"},
         answer=updated({**HELD, "n": "p"})),
    Case("sglang: pinned", CONTROL, "POST", LOAD, {"lora_name": "n", "lora_path": "p", "pinned": True},
         answer=updated({**HELD, "n": "p"})),
    Case("sglang: loaded without leave", CONTROL, "POST", LOAD, {"lora_name": "n", "lora_path": "p"},
         answer=updated({**HELD, "n": "p"}), settings={**SGLANG, "runtime_updating": False}),
    Case("sglang: unloaded", CONTROL, "POST", UNLOAD, {"lora_name": "held"}, answer=updated({})),
    Case("sglang: loaded already", LORA, "POST", LOAD, {"lora_name": "held", "lora_path": "p"}, 400,
         updated(HELD, "Failed to load LoRA adapter held because it is already loaded")),
    Case("sglang: rank too high", LORA, "POST", LOAD, {"lora_name": "n", "lora_path": "acme/huge"}, 400,
         updated(HELD, NO_RANK)),
    Case("sglang: broken weights", LORA, "POST", LOAD, {"lora_name": "n", "lora_path": "acme/broken"}, 400,
         updated(HELD, "bad header")),
    Case("sglang: nothing at the path", LORA, "POST", LOAD, {"lora_name": "n", "lora_path": "nowhere"}, 400,
         updated(HELD, "Repository Not Found for url: https://huggingface.co/api/models/nowhere/revision/main.")),
    Case("sglang: load without LoRA", CONTROL, "POST", LOAD, {"lora_name": "n", "lora_path": "p"}, 400,
         updated(None, "LoRA is not enabled. Please set `--enable-lora` to enable LoRA."),
         settings={**SGLANG, "enable_lora": False, "lora_modules": ()}),
    Case("sglang: unload of what is not there", REGISTRY, "POST", UNLOAD, {"lora_name": "n"}, 400,
         updated(None, "LoRA with name n does not exist. Loaded LoRAs: odict_keys(['held'])")),
    Case("sglang: load with a field missing", SERVER, "POST", LOAD, {"lora_name": "n"}, 400,
         refusal("1 validation error:\n  {'type': 'missing', 'loc': ('body', 'lora_path'), 'msg': 'Field required',"
                 " 'input': {'lora_name': 'n'}}", "Bad Request")),
    Case("sglang: vLLM's path does not exist", SERVER, "POST", "/v1/load_lora_adapter",
         {"lora_name": "n", "lora_path": "p"}, 404, NO_ROUTE),
    Case("sglang: load by GET", SERVER, "GET", LOAD, None, 405, NOT_ALLOWED, replied={**JSON, "allow": "POST"}),
    # What is asked for without a body
    Case("sglang: models", SERVER, "GET", MODELS, answer={"object": "list", "data": [
        card("base", "base", None, 4096), card("held", "/held", "base", None)]}),
    Case("sglang: health", SERVER, "GET", "/health", replied={}),
    Case("sglang: health by generating", SERVER, "GET", "/health_generate", replied={}),
    Case("sglang: ping", SERVER, "GET", "/ping", replied={}),
    Case("sglang: ping by POST", SERVER, "POST", "/ping", {}, 405, NOT_ALLOWED, replied={**JSON, "allow": "GET"}),
    Case("sglang: no version", SERVER, "GET", "/version", None, 404, NO_ROUTE),
    Case("sglang: model info", SERVER, "GET", "/get_model_info", answer={
        "model_path": "acme/base", "tokenizer_path": "acme/base", "is_generation": True,
        "preferred_sampling_params": None, "weight_version": "default"}),
    Case("sglang: no metrics unless asked for", SERVER, "GET", "/metrics", None, 404, NO_ROUTE,
         settings={**SGLANG, "metrics": False}),
    Case("sglang: no cache left", SERVER, "POST", "/flush_cache", {}, replied={
         "content-type": "text/plain; charset=utf-8"},
         answer=b"Cache flushed.\nPlease check backend logs for more details. (When there are running or waiting"
                b" requests, the operation will not be performed.)\n"),
    # Keys
    Case("sglang: no key", KEYS, "POST", LOAD, {"lora_name": "n", "lora_path": "p"}, 401, NO_KEY, settings=KEYED),
    Case("sglang: a key", KEYS, "POST", UNLOAD, {"lora_name": "held"}, headers={"authorization": "Bearer sk-one"},
         answer=updated({}), settings=KEYED),
    Case("sglang: health without a key", KEYS, "GET", "/health_generate", replied={}, settings=KEYED),
    Case("sglang: model info without a key", KEYS, "GET", "/model_info", None, 401, NO_KEY, settings=KEYED),
    # Completions and chats
    Case("sglang: completion", PROTOCOL, "POST", COMPLETE, {**HI, "max_tokens": 4},
         answer=completion("[base]   him own", 1, 4)),
    Case("sglang: completion by any model's name", SERVING, "POST", COMPLETE, {**HI, "model": "ghost"},
         answer=completion("[base]  ", 1, 2, model="ghost")),
    Case("sglang: completion by an adapter behind a colon", SERVING, "POST", COMPLETE, {**HI, "model": "base:held"},
         answer=completion("[held]  ", 1, 2, model="base:held")),
    Case("sglang: completion by an adapter beside the model", SERVING, "POST", COMPLETE, {**HI, "lora_path": "held"},
         answer=completion("[held]  ", 1, 2)),
    Case("sglang: an adapter's name alone is a base model's", SERVING, "POST", COMPLETE, {**HI, "model": "held"},
         answer=completion("[base]  ", 1, 2, model="held")),
    Case("sglang: completion by an adapter that is not there", MANAGER, "POST", COMPLETE, {**HI, "lora_path": "ghost"},
         400, refusal("Got LoRA adapter that has never been loaded: ghost\nAll loaded adapters: dict_keys(['held']).")),
    Case("sglang: completion by an adapter without LoRA", MANAGER, "POST", COMPLETE, {**HI, "lora_path": "held"}, 400,
         refusal(LORA_OFF), settings={**SGLANG, "enable_lora": False, "lora_modules": ()}),
    Case("sglang: a stop string", COMPLETIONS, "POST", COMPLETE, {**HI, "max_tokens": 4, "stop": "e]"},
         answer=completion("[bas", 1, 2, stop="e]")),
    Case("sglang: a prompt too long", MANAGER, "POST", COMPLETE, {**HI, "prompt": "x" * 16384}, 400,
         refusal("The input (4096 tokens) is longer than the model's context length (4096 tokens).")),
    Case("sglang: too many tokens", MANAGER, "POST", COMPLETE, {**HI, "max_tokens": 5000}, 400,
         refusal("Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a"
                 " total of 5001 tokens: 1 tokens from the input messages and 5000 tokens for the completion."
                 " Please reduce the number of tokens in the input messages or the completion to fit within the"
                 " limit.")),
    Case("sglang: too hot", "sampling/sampling_params.py", "POST", COMPLETE, {**HI, "temperature": -1}, 400,
         refusal("temperature must be non-negative, got -1.0.")),
    Case("sglang: completion in events", COMPLETIONS, "POST", COMPLETE,
         {**HI, "stream": True, "stream_options": {"include_usage": True}}, replied=EVENTS, answer=[
            event("[bas"), event("e]  ", "length"),
            {**event(""), "choices": [], "usage": usage(1, 2)}, "[DONE]"]),
    Case("sglang: chat", CHATS, "POST", TALK, TALKED, answer={
        "id": "rid", "object": "chat.completion", "created": NOW, "model": "base",
        "choices": [{"index": 0, "message": {
            "role": "assistant", "content": "[base]  ", "reasoning_content": None, "tool_calls": None},
            "logprobs": None, "finish_reason": "length", "matched_stop": None}],
        "usage": usage(7, 2), "metadata": {"weight_version": "default"}}),
    Case("sglang: chat in events", CHATS, "POST", TALK, {**TALKED, "stream": True}, replied=EVENTS, answer=[
        chunk(role="assistant", content=""), chunk(content="[bas"), chunk(content="e]  "), chunk("length"), "[DONE]"]),
    Case("sglang: generate", MANAGER, "POST", GENERATE,
         {"rid": "rid", "text": "hi", "lora_path": "held", "sampling_params": {"max_new_tokens": 2}},
         answer=native("[held]  ", [5828535660, 5978791968], {"type": "length", "length": 2})),
    Case("sglang: generate in events", MANAGER, "POST", GENERATE,
         {"rid": "rid", "text": "hi", "stream": True, "sampling_params": {"max_new_tokens": 2}}, replied=EVENTS,
         answer=[native("[bas", [5828141427], None),
                 native("[base]  ", [5828141427, 5995569184], {"type": "length", "length": 2}), "[DONE]"]),
    Case("sglang: generate from nothing", MANAGER, "POST", GENERATE, {"sampling_params": {}}, 400,
         refusal("Either text, input_ids or input_embeds should be provided.", "Bad Request")),
    Case("sglang: embeddings of a generation model", EMBED, "POST", "/v1/embeddings", {"input": "hi"}, 400,
         refusal("This model does not appear to be an embedding model by default. Please add `--is-embedding`.")),
)  # fmt: skip
