"""SGLang's requests for text: vLLM's, except for how the adapter is named, and `/generate`.

SGLang ignores the model's name: a base model answers to any. The adapter is `lora_path`, or the part of `model` after a
colon (entrypoints/openai/serving_base.py).
"""

from msgspec.structs import replace

from fake_vllm.engine.config import EngineConfig
from fake_vllm.http.validation import RequestValidationError
from fake_vllm.openai.protocol import CompletionRequest
from fake_vllm.openai.requests import GenerateRequest, chat_request, check_size, completion_request
from fake_vllm.sglang.errors import bad_request
from fake_vllm.sglang.protocol import (
    AdapterFields,
    GenerateReqInput,
    SamplingParams,
    SglangChatCompletionRequest,
    SglangCompletionRequest,
)

DEFAULT_MODEL = "default"  # entrypoints/openai/protocol.py


def from_completion(body: SglangCompletionRequest) -> GenerateRequest:
    """Return the request of a completion."""
    return _with_adapter(completion_request(body), body)


def from_chat(body: SglangChatCompletionRequest) -> GenerateRequest:
    """Return the request of a chat completion."""
    return _with_adapter(chat_request(body), body)


def from_generate(body: GenerateReqInput) -> GenerateRequest:
    """Return the request of `/generate`.

    Raises:
        RequestValidationError: if there is nothing to continue.
    """
    prompt = body.text if body.text is not None else body.input_ids
    if prompt is None or prompt in ("", [], [[]]):
        raise RequestValidationError("Either text, input_ids or input_embeds should be provided.")
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
    return replace(_with_adapter(completion_request(completion), body), reported_model="")


def validate(request: GenerateRequest, config: EngineConfig) -> None:
    """Check that a request fits the model's context, and its sampling parameters.

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
    if request.sampling_error is not None:
        raise bad_request(request.sampling_error.message)
    check_size(request, config)


def _with_adapter(request: GenerateRequest, body: AdapterFields) -> GenerateRequest:
    """Return the request for the adapter that it names; the response repeats the client's name for the model."""
    adapter = request.model.partition(":")[2] or body.lora_path or ""
    return replace(request, model=adapter, reported_model=request.model or DEFAULT_MODEL)
