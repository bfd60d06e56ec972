"""A request for generated text, as a value without HTTP or JSON.

It is built from a request body (`protocol.py`) and checked against the model's limits once the model is known to exist.
"""

from dataclasses import dataclass

import msgspec

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import EngineError
from fake_vllm.openai import tokenizer
from fake_vllm.openai.protocol import ChatCompletionRequest, ChatMessage, CompletionRequest, SamplingFields
from fake_vllm.openai.sampling_params import SamplingError, sampling_error

_MAX_TOKENS = 1 << 22  # of one request, a limit of the fake: what takes a real server hours must not fill memory here


@dataclass(frozen=True, slots=True)
class Prompt:
    """Text to continue; the length in tokens.

    The text of a prompt that was sent as tokens is decoded on first use: one that is too long is refused before.
    """

    content: str | list[int]
    length: int

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else tokenizer.decode(self.content)


class GenerateRequest(msgspec.Struct, frozen=True):
    """One request for text: `n` choices for each prompt.

    Not a dataclass, because a frozen one with this many fields takes 15 microseconds to build.
    """

    chat: bool
    model: str
    """Empty for the base model."""
    prompts: tuple[Prompt, ...]
    reported_model: str = ""
    """Name of the model in the response; empty: the model's own."""
    n: int = 1
    max_tokens: int | None = None
    """None: what is left of the context."""
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    include_stop: bool = False
    ignore_eos: bool = False
    seed: int | None = None
    echo: bool = False
    logprobs: int | None = None
    """Number of alternatives to each token."""
    return_token_ids: bool = False
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    sampling_error: SamplingError | None = None
    """First error of the sampling parameters."""


def completion_request(body: CompletionRequest) -> GenerateRequest:
    """Return the request of a completion."""
    limit = body.max_tokens
    error = sampling_error(body, limit, echo=bool(body.echo))
    if error is None and body.suffix is not None:
        error = SamplingError("suffix is not currently supported")
    usage, continuous = _usage_options(body)
    return GenerateRequest(
        chat=False,
        model=body.model or "",
        prompts=_prompts(body.prompt),
        n=body.n,
        max_tokens=limit,
        min_tokens=body.min_tokens,
        stop=body.stop_strings,
        include_stop=body.include_stop_str_in_output,
        ignore_eos=body.ignore_eos,
        seed=body.seed,
        echo=bool(body.echo),
        logprobs=body.logprobs,
        return_token_ids=bool(body.return_token_ids),
        stream=bool(body.stream),
        include_usage=usage,
        continuous_usage=continuous,
        sampling_error=error,
    )


def chat_request(body: ChatCompletionRequest) -> GenerateRequest:
    """Return the request of a chat completion."""
    limit = body.max_completion_tokens or body.max_tokens
    usage, continuous = _usage_options(body)
    return GenerateRequest(
        chat=True,
        model=body.model or "",
        prompts=(apply_chat_template(body.messages),),
        n=body.n,
        max_tokens=limit,
        min_tokens=body.min_tokens,
        stop=body.stop_strings,
        include_stop=body.include_stop_str_in_output,
        ignore_eos=body.ignore_eos,
        seed=body.seed,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        return_token_ids=bool(body.return_token_ids),
        stream=bool(body.stream),
        include_usage=usage,
        continuous_usage=continuous,
        sampling_error=sampling_error(body, limit),
    )


def apply_chat_template(messages: list[ChatMessage]) -> Prompt:
    """Return the prompt that a plain template makes of a conversation."""
    turns = "".join(f"<|{message.role}|>\n{message.text}\n" for message in messages)
    text = turns + "<|assistant|>\n"
    return Prompt(text, tokenizer.count(text))


def validate(request: GenerateRequest, config: EngineConfig) -> None:
    """Check that a request fits the model's context, and its sampling parameters.

    Raises:
        EngineError: with vLLM's text.
    """
    context = config.max_model_len
    requested = request.max_tokens or 0
    if requested > context:
        raise _bad_request(
            f"max_tokens={requested} cannot be greater than max_model_len={context}."
            " Please request fewer output tokens.",
            "max_tokens",
            requested,
        )
    for prompt in request.prompts:
        if prompt.length + max(requested, 1) > context:
            raise _too_long(config, prompt.length, requested)
    if request.sampling_error is not None:
        raise _bad_request(
            request.sampling_error.message, request.sampling_error.parameter, request.sampling_error.value
        )
    check_size(request, config)


def check_size(request: GenerateRequest, config: EngineConfig) -> None:
    """Check that a request does not exhaust this machine's memory, a limit of the fake; reported as too many choices.

    Raises:
        EngineError: with vLLM's text.
    """
    tokens = min(request.max_tokens or config.max_model_len, config.max_model_len) * len(request.prompts)
    if request.n * tokens > _MAX_TOKENS and request.n * len(request.prompts) > 1:
        raise _bad_request(f"n must be at most {max(1, _MAX_TOKENS // tokens)}, got {request.n}.", "n", request.n)


def _bad_request(message: str, param: str | None, value: object) -> EngineError:
    detail = f" (parameter={param}, value={value})" if param else ""
    return EngineError(400, "BadRequestError", message + detail, param=param)


def _too_long(config: EngineConfig, length: int, requested: int) -> EngineError:
    context = config.max_model_len
    prefix = f"This model's maximum context length is {context} tokens. However, you requested"
    if not config.quirks.at_least_tokens:
        return EngineError(
            400,
            "BadRequestError",
            f"{prefix} {length + requested} tokens ({length} in the messages, {requested} in the completion)."
            " Please reduce the length of the messages or completion.",
        )
    least = min(length, context - requested + 1)
    message = (
        f"{prefix} {requested} output tokens and your prompt contains at least {least} input tokens, for a total of at"
        f" least {least + requested} tokens. Please reduce the length of the input prompt or the number of requested"
        " output tokens."
    )
    return _bad_request(message, "input_tokens", least)


def _prompts(prompt: str | list[str] | list[int] | list[list[int]] | None) -> tuple[Prompt, ...]:
    if isinstance(prompt, str):
        return (_prompt(prompt),)
    if not prompt:
        return (_prompt(""),)
    if isinstance(prompt[0], int):
        return (Prompt(prompt, len(prompt)),)
    return tuple(_prompt(item) for item in prompt)


def _prompt(content: str | list[int]) -> Prompt:
    return Prompt(content, tokenizer.count(content) if isinstance(content, str) else len(content))


def _usage_options(body: SamplingFields) -> tuple[bool, bool]:
    """Return whether usage is sent at the end of a stream, and in each of its events."""
    options = body.stream_options
    if options is None:
        return False, False
    return bool(options.include_usage), bool(options.include_usage and options.continuous_usage_stats)
