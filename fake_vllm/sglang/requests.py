"""SGLang's requests for text: vLLM's, except for how the adapter is named, and `/generate`.

SGLang ignores the model's name: a base model answers to any. The adapter is `lora_path`, or the part of `model` after a
colon (entrypoints/openai/serving_base.py).
"""

from msgspec.structs import replace

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import EngineError
from fake_vllm.openai import tokenizer
from fake_vllm.openai.prompts import Prompt
from fake_vllm.openai.requests import GenerateRequest, check_size
from fake_vllm.sglang.errors import bad_request
from fake_vllm.sglang.openai_protocol import ChatCompletionRequest, ChatMessage, CompletionRequest, SamplingFields
from fake_vllm.sglang.protocol import (
    AdapterFields,
    GenerateReqInput,
    SamplingParams,
    SglangChatCompletionRequest,
    SglangCompletionRequest,
)
from fake_vllm.sglang.sampling_params import SamplingError, sampling_error

DEFAULT_MODEL = "default"  # entrypoints/openai/protocol.py


def from_completion(body: SglangCompletionRequest) -> GenerateRequest:
    """Return the request of a completion."""
    return _with_adapter(_completion_request(body), body)


def from_chat(body: SglangChatCompletionRequest) -> GenerateRequest:
    """Return the request of a chat completion."""
    return _with_adapter(_chat_request(body), body)


def from_generate(body: GenerateReqInput) -> GenerateRequest:
    """Return the request of `/generate`.

    Raises:
        EngineError: if there is nothing to continue.
    """
    prompt = body.text if body.text is not None else body.input_ids
    if prompt is None or prompt in ("", [], [[]]):
        raise EngineError(400, "Bad Request", "Either text, input_ids or input_embeds should be provided.")
    params = body.sampling_params or SamplingParams()
    completion = CompletionRequest(
        prompt=prompt,
        max_tokens=128 if params.max_new_tokens is None else params.max_new_tokens,
        min_tokens=params.min_new_tokens or 0,
        n=1 if params.n is None else params.n,
        stop=params.stop,
        ignore_eos=bool(params.ignore_eos),
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        stream=body.stream,
    )
    return replace(_with_adapter(_completion_request(completion), body), reported_model="")


def validated(request: GenerateRequest, config: EngineConfig) -> GenerateRequest:
    """Return the request if it fits the model's context, and its sampling parameters are right.

    Raises:
        EngineError: with the texts of managers/tokenizer_manager.py.
    """
    context, requested = config.max_model_len, request.max_tokens or 0
    for prompt in request.prompts:
        if prompt.length >= context:
            raise bad_request(
                f"The input ({prompt.length} tokens) is longer than the model's context length ({context} tokens)."
            )
        if prompt.length + requested > context:
            raise bad_request(
                f"Requested token count exceeds the model's maximum context length of {context} tokens. You requested a"
                f" total of {prompt.length + requested} tokens: {prompt.length} tokens from the input messages and"
                f" {requested} tokens for the completion. Please reduce the number of tokens in the input messages or"
                " the completion to fit within the limit."
            )
    if request.refusal is not None:
        raise request.refusal
    check_size(request, config)
    return request


def _with_adapter(request: GenerateRequest, body: AdapterFields) -> GenerateRequest:
    """Return the request for the adapter that it names; the response repeats the client's name for the model."""
    adapter = request.model.partition(":")[2] or body.lora_path or ""
    return replace(request, model=adapter, reported_model=request.model or DEFAULT_MODEL)


def _completion_request(body: CompletionRequest) -> GenerateRequest:
    """Return the request of a completion."""
    error = sampling_error(body, body.max_tokens, echo=bool(body.echo))
    if error is None and body.suffix is not None:
        error = SamplingError("suffix is not currently supported")
    request = _request(body, _prompts(body.prompt), body.max_tokens, error)
    return replace(request, echo=bool(body.echo), logprobs=body.logprobs)


def _chat_request(body: ChatCompletionRequest) -> GenerateRequest:
    """Return the request of a chat completion."""
    limit = body.max_completion_tokens or body.max_tokens
    request = _request(body, (_apply_chat_template(body.messages),), limit, sampling_error(body, limit))
    return replace(request, chat=True, logprobs=(body.top_logprobs or 0) if body.logprobs else None)


def _request(
    body: SamplingFields, prompts: tuple[Prompt, ...], limit: int | None, error: SamplingError | None
) -> GenerateRequest:
    """Return a request with the fields that completions and chats share."""
    usage, continuous = _usage_options(body)
    return GenerateRequest(
        chat=False,
        model=body.model or "",
        prompts=prompts,
        n=body.n,
        max_tokens=limit,
        min_tokens=body.min_tokens,
        stop=body.stop_strings,
        include_stop=body.include_stop_str_in_output,
        ignore_eos=body.ignore_eos,
        seed=body.seed,
        return_token_ids=bool(body.return_token_ids),
        stream=bool(body.stream),
        include_usage=usage,
        continuous_usage=continuous,
        refusal=None if error is None else bad_request(error.message),
    )


def _apply_chat_template(messages: list[ChatMessage]) -> Prompt:
    """Return the prompt that a plain template makes of a conversation."""
    turns = "".join(f"<|{message.role}|>\n{message.text}\n" for message in messages)
    text = turns + "<|assistant|>\n"
    return Prompt(text, tokenizer.count(text))


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
