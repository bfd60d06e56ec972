"""What SGLang's clients ask for: the same as vLLM's, but for which adapter, and for `/generate`.

SGLang looks at no model's name: a base model answers to any. Which adapter is meant says `lora_path`, or what stands
behind a colon in `model` (entrypoints/openai/serving_base.py).
"""

from dataclasses import replace
from typing import Any

from fake_vllm.engine.config import EngineConfig
from fake_vllm.http.validation import Invalid, boolean, integer, mapping, optional, string
from fake_vllm.openai import requests as asks
from fake_vllm.openai.requests import GenerateRequest
from fake_vllm.sglang.errors import refused

DEFAULT_MODEL = "default"  # entrypoints/openai/protocol.py
_MOST_TOKENS = 128  # sampling/sampling_params.py: max_new_tokens
_SAMPLING = ("n", "stop", "ignore_eos", "temperature", "top_p", "top_k")


def completion(body: dict[str, Any]) -> GenerateRequest:
    """What the body of `/v1/completions` asks for. Raises `Invalid` if it is not of the form."""
    return _addressed(asks.completion(body), body)


def chat(body: dict[str, Any]) -> GenerateRequest:
    """What the body of `/v1/chat/completions` asks for. Raises `Invalid` if it is not of the form."""
    return _addressed(asks.chat(body), body)


def native(body: dict[str, Any]) -> GenerateRequest:
    """What the body of `/generate` asks for. Raises `Invalid` if it is not of the form."""
    prompt = body.get("text") if body.get("text") is not None else body.get("input_ids")
    if prompt is None:
        raise Invalid("Either text, input_ids or input_embeds should be provided.")
    said = mapping("sampling_params", body.get("sampling_params") or {})
    told: dict[str, Any] = {
        "prompt": prompt,
        "max_tokens": optional(said, "max_new_tokens", integer, _MOST_TOKENS),
        "min_tokens": said.get("min_new_tokens"),
        "stream": optional(body, "stream", boolean, False),
    }
    told.update((name, said[name]) for name in _SAMPLING if name in said)
    return replace(_addressed(asks.completion(told), body), shown="")


def checked(ask: GenerateRequest, config: EngineConfig) -> None:
    """Refuse what would not fit the model's context, or what sampling does not take.

    Raises:
        EngineFault: in the words of managers/tokenizer_manager.py.
    """
    longest, wanted = config.max_model_len, ask.max_tokens or 0
    for prompt in ask.prompts:
        if prompt.length >= longest:
            raise refused(
                f"The input ({prompt.length} tokens) is longer than the model's context length ({longest} tokens)."
            )
        if prompt.length + wanted > longest:
            raise refused(
                f"Requested token count exceeds the model's maximum context length of {longest} tokens. You requested a"
                f" total of {prompt.length + wanted} tokens: {prompt.length} tokens from the input messages and"
                f" {wanted} tokens for the completion. Please reduce the number of tokens in the input messages or the"
                " completion to fit within the limit."
            )
    if ask.complaint is not None:
        raise refused(ask.complaint[0])
    asks.check_size(ask, config)


def _addressed(ask: GenerateRequest, body: dict[str, Any]) -> GenerateRequest:
    """The same for an adapter, if one is named; the answer calls the model what the client called it."""
    named = ask.model.partition(":")[2] or optional(body, "lora_path", string, "")
    return replace(ask, model=named, shown=ask.model or DEFAULT_MODEL)
