"""What a client asks to be generated, read from the body of a completion or a chat.

Fields and their order of checking are those of vLLM's `completion/protocol.py` and `chat_completion/protocol.py`.
First comes what pydantic would refuse (`Invalid`), then, once the model is known to be there, what would not fit its
context and what sampling has against it (`sampling.py`; `EngineFault`).
"""

from dataclasses import dataclass
from typing import Any

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import EngineError
from fake_vllm.http.validation import (
    Invalid,
    boolean,
    integer,
    invalid,
    listing,
    mapping,
    optional,
    parameter,
    required,
    wholes,
)
from fake_vllm.http.validation import string as text
from fake_vllm.openai import sampling_params as sampling
from fake_vllm.openai import tokenizer as tokens

_MOST_PROMPTS = 1024  # a fake's own bound, as VLLM_MAX_COMPLETION_PROMPTS is vLLM's
_MOST_TOKENS = 1 << 22  # that one request may ask for; what a real server spends hours on must not fill memory here


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is to be gone on from; the length in tokens.

    Of a prompt that came as tokens the text is made when it is asked for: one that is too long is refused before.
    """

    said: str | list[int]
    length: int

    @property
    def text(self) -> str:
        return self.said if isinstance(self.said, str) else tokens.decode(self.said)


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One request for answers: `n` to every prompt."""

    chat: bool
    model: str
    """Empty: the base model."""
    prompts: tuple[Prompt, ...]
    shown: str = ""
    """What the answer calls the model; empty: its own name."""
    n: int = 1
    max_tokens: int | None = None
    """None: as many as the context has room for."""
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    keep_stop: bool = False
    endless: bool = False
    seed: int | None = None
    echo: bool = False
    logprobs: int | None = None
    """How many alternatives to each token are wanted."""
    token_ids: bool = False
    stream: bool = False
    usage: bool = False
    running_usage: bool = False
    complaint: sampling.SamplingError | None = None
    """What sampling has against it: message, parameter, value."""


def completion(body: dict[str, Any]) -> GenerateRequest:
    """What the body of `/v1/completions` asks for.

    Raises:
        Invalid: if it is not of the form.
    """
    logprobs = _logprobs(body)
    usage, running = _stream_options(body)
    prompts = _prompts(body)
    if body.get("suffix") is not None:
        text("suffix", body["suffix"])
    limit = optional(body, "max_tokens", integer, 16)
    return GenerateRequest(
        chat=False,
        prompts=prompts,
        max_tokens=limit,
        echo=optional(body, "echo", boolean, False),
        logprobs=logprobs,
        usage=usage,
        running_usage=running,
        complaint=sampling.complaint(body, limit) or _suffix(body),
        **_common(body),
    )


def chat(body: dict[str, Any]) -> GenerateRequest:
    """What the body of `/v1/chat/completions` asks for.

    Raises:
        Invalid: if it is not of the form.
    """
    usage, running = _stream_options(body)
    logprobs = _top_logprobs(body)
    _tools(body)
    prompt = conversation(listing("messages", required(body, "messages")))
    limit = optional(body, "max_completion_tokens", integer, None) or optional(body, "max_tokens", integer, None)
    return GenerateRequest(
        chat=True,
        prompts=(prompt,),
        max_tokens=limit,
        logprobs=logprobs,
        usage=usage,
        running_usage=running,
        complaint=sampling.complaint(body, limit),
        **_common(body),
    )


def conversation(messages: list[Any]) -> Prompt:
    """The prompt that a plain template makes of a conversation."""
    if not messages:
        raise invalid("too_short", "messages", "List should have at least 1 item after validation, not 0", messages)
    lines = []
    for message in messages:
        turn = mapping("messages", message)
        role = text("messages.role", required(turn, "role"))
        lines.append(f"<|{role}|>\n{_content(turn.get('content'))}\n")
    whole = "".join(lines) + "<|assistant|>\n"
    return Prompt(whole, tokens.count(whole))


def checked(ask: GenerateRequest, config: EngineConfig) -> None:
    """Refuse what would not fit the model's context, or what sampling does not take.

    Raises:
        EngineFault: in vLLM's words.
    """
    longest = config.max_model_len
    wanted = ask.max_tokens or 0
    if wanted > longest:
        said = (
            f"max_tokens={wanted} cannot be greater than max_model_len={longest}. Please request fewer output tokens."
        )
        raise _refused(said, "max_tokens", wanted)
    for prompt in ask.prompts:
        if prompt.length + max(wanted, 1) > longest:
            raise _too_long(config, prompt.length, wanted)
    if ask.complaint is not None:
        raise _refused(*ask.complaint)
    check_size(ask, config)


def check_size(ask: GenerateRequest, config: EngineConfig) -> None:
    """Refuse, as if there were too many choices, what would fill this machine's memory: a bound of the fake's own.

    Raises:
        EngineFault: in vLLM's words.
    """
    longest = config.max_model_len
    each = min(ask.max_tokens or longest, longest)
    if ask.n * len(ask.prompts) * each > _MOST_TOKENS and ask.n * len(ask.prompts) > 1:
        raise _refused(
            f"n must be at most {max(1, _MOST_TOKENS // (each * len(ask.prompts)))}, got {ask.n}.", "n", ask.n
        )


def _refused(message: str, param: str | None, value: object) -> EngineError:
    said = f"{message} (parameter={param}, value={value})" if param else message
    return EngineError(400, "BadRequestError", said, param=param)


def _too_long(config: EngineConfig, length: int, wanted: int) -> EngineError:
    longest = config.max_model_len
    if not config.quirks.at_least_tokens:
        detail = f"({length} in the messages, {wanted} in the completion)"
        said = (
            f"This model's maximum context length is {longest} tokens. However, you requested {length + wanted} tokens"
            f" {detail}. Please reduce the length of the messages or completion."
        )
        return EngineError(400, "BadRequestError", said)
    least = min(length, longest - wanted + 1)
    said = (
        f"This model's maximum context length is {longest} tokens. However, you requested {wanted} output tokens and"
        f" your prompt contains at least {least} input tokens, for a total of at least {least + wanted} tokens. Please"
        " reduce the length of the input prompt or the number of requested output tokens."
    )
    return _refused(said, "input_tokens", least)


def _common(body: dict[str, Any]) -> dict[str, Any]:
    """What both kinds of body have."""
    for field in ("user", "request_id"):
        if body.get(field) is not None:
            text(field, body[field])
    return {
        "model": optional(body, "model", text, ""),
        "n": optional(body, "n", integer, 1),
        "min_tokens": optional(body, "min_tokens", integer, 0),
        "stop": sampling.stops(body),
        "keep_stop": optional(body, "include_stop_str_in_output", boolean, False),
        "endless": optional(body, "ignore_eos", boolean, False),
        "seed": optional(body, "seed", _long, None),
        "token_ids": optional(body, "return_token_ids", boolean, False),
        "stream": optional(body, "stream", boolean, False),
    }


def _prompts(body: dict[str, Any]) -> tuple[Prompt, ...]:
    prompt = body.get("prompt")
    if prompt is None or prompt == "":
        raise parameter("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    if isinstance(prompt, str):
        return (Prompt(prompt, tokens.count(prompt)),)
    if not isinstance(prompt, list) or not prompt:
        raise invalid("string_type", "prompt", "Input should be a valid string", prompt)
    if isinstance(prompt[0], int):
        return (_from_ids(prompt),)
    if len(prompt) > _MOST_PROMPTS:
        said = f"prompt list length {len(prompt)} exceeds the maximum allowed count of {_MOST_PROMPTS}."
        raise parameter(said, "prompt")
    return tuple(
        _from_ids(each) if isinstance(each, list) else Prompt(text("prompt", each), tokens.count(each))
        for each in prompt
    )


def _from_ids(ids: list[Any]) -> Prompt:
    if not ids:
        raise parameter("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    numbers = wholes("prompt", ids)
    if min(numbers) < 0:
        raise invalid("greater_than_equal", "prompt", "Input should be greater than or equal to 0", min(numbers))
    return Prompt(numbers, len(numbers))


def _content(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = []
    for part in listing("messages.content", content):
        if isinstance(part, str):
            parts.append(part)
            continue
        kind = text("messages.content.type", mapping("messages.content", part).get("type", "text"))
        if kind not in ("text", "input_text", "output_text", "refusal", "thinking"):
            raise parameter("the model is not a multimodal model", "messages")
        parts.append(text("messages.content.text", part.get("text") or part.get(kind) or ""))
    return "\n".join(parts)


def _stream_options(body: dict[str, Any]) -> tuple[bool, bool]:
    options = body.get("stream_options")
    if not options:
        return False, False
    if not body.get("stream"):
        raise parameter("Stream options can only be defined when `stream=True`.", "stream_options")
    given = mapping("stream_options", options)
    usage = optional(given, "include_usage", boolean, True)
    return usage, usage and optional(given, "continuous_usage_stats", boolean, False)


def _logprobs(body: dict[str, Any]) -> int | None:
    wanted = body.get("logprobs")
    if wanted is None:
        return None
    if not isinstance(wanted, int | float):
        raise parameter("`logprobs` must be an integer.", "logprobs")
    if wanted < 0 and wanted != -1:
        raise parameter("`logprobs` must be a positive value or -1.", "logprobs")
    return integer("logprobs", wanted)


def _top_logprobs(body: dict[str, Any]) -> int | None:
    """The chat's way: a truth value and a number."""
    wanted = optional(body, "logprobs", boolean, False)
    top = body.get("top_logprobs")
    if top is not None:
        if not isinstance(top, int | float):
            raise parameter("`top_logprobs` must be an integer.", "top_logprobs")
        if top < 0 and top != -1:
            raise parameter("`top_logprobs` must be a positive value or -1.", "top_logprobs")
        if top != 0 and not wanted:
            raise parameter("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
    return integer("top_logprobs", top or 0) if wanted else None


def _tools(body: dict[str, Any]) -> None:
    choice, tools = body.get("tool_choice"), body.get("tools")
    if tools == []:
        said = "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely."
        raise parameter(said, "tools")
    if tools is not None:
        listing("tools", tools)
    if choice in (None, "none"):
        return
    if tools is None:
        raise parameter("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if choice not in ("auto", "required") and not isinstance(choice, dict):
        said = (
            f'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or "required" are supported.'
        )
        raise parameter(said, "tool_choice")


def _long(field: str, value: object) -> int:
    number = integer(field, value)
    if not -(2**63) <= number < 2**63:
        raise invalid("less_than_equal", field, "Input should be less than or equal to 9223372036854775807", value)
    return number


def _suffix(body: dict[str, Any]) -> sampling.SamplingError | None:
    return ("suffix is not currently supported", None, None) if body.get("suffix") is not None else None


__all__ = ["GenerateRequest", "Invalid", "Prompt", "chat", "checked", "completion", "conversation"]
