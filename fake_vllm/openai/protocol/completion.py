"""Body of `POST /v1/completions`: vllm/entrypoints/openai/completion/protocol.py."""

from typing import Annotated, Any

from pydantic import Field, ValidationInfo, model_validator

from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.protocol import checks
from fake_vllm.openai.protocol.base import (
    CacheSalt,
    ExtraArgs,
    Int64,
    Interval,
    Json,
    MMPayload,
    OpenAIBaseModel,
    Seed,
    Side,
    Start,
    StopParam,
    StreamOptions,
    ThinkingTokenBudget,
    Truncation,
)
from fake_vllm.openai.protocol.formats import (
    AnyResponseFormat,
    RepetitionDetectionParams,
    StructuredOutputsParams,
    check_response_format,
)
from fake_vllm.openai.releases import api_of

_MAX_PROMPTS = 1024  # vLLM, vllm/envs.py: VLLM_MAX_COMPLETION_PROMPTS
_DEFAULT_MAX_TOKENS = 16

TokenIds = list[Annotated[int, Field(ge=0)]]


class CompletionRequest(OpenAIBaseModel):
    """Body of `POST /v1/completions`."""

    model: str | None = None
    prompt: TokenIds | list[TokenIds] | str | list[str] | None = None
    echo: bool | None = False
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: int | None = None
    max_tokens: int | None = _DEFAULT_MAX_TOKENS
    n: int = 1
    presence_penalty: float | None = None
    seed: Seed = None
    stop: StopParam = []
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    suffix: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = None
    use_beam_search: bool = False
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    watermarking: bool | None = None
    length_penalty: float = 1.0
    stop_token_ids: list[int] | None = []
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    truncate_prompt_tokens: Truncation = None
    truncation_side: Side = None
    allowed_token_ids: list[int] | None = None
    prompt_logprobs: int | None = None
    logprob_token_ids: list[int] | None = None
    bad_words: list[str] = Field(default_factory=list)
    prompt_embeds: bytes | list[bytes] | None = None
    add_special_tokens: bool = True
    response_format: AnyResponseFormat | None = None
    structured_outputs: StructuredOutputsParams | None = None
    priority: Int64 = 0
    request_id: str = ""
    session_id: str | None = None
    return_tokens_as_token_ids: bool | None = None
    return_token_ids: bool | None = None
    routed_experts_prompt_start: Start = 0
    return_token_offsets: bool | None = False
    mm_payload: MMPayload = "tensors"
    return_mm_kwargs: bool | None = None
    cache_salt: CacheSalt = None
    kv_transfer_params: Json | None = None
    ec_transfer_params: Json | None = None
    vllm_xargs: ExtraArgs = None
    repetition_detection: RepetitionDetectionParams | None = None
    thinking_token_budget: ThinkingTokenBudget = None
    stream_interval: Interval = None

    @model_validator(mode="before")
    @classmethod
    def check_body(cls, data: Any, info: ValidationInfo) -> Any:
        """Check the raw body in vLLM's order, the reverse of that in which its validators are written."""
        release = api_of(info.context)
        fields = release.raw_fields(data, cls.__name__)
        if fields is None:
            return data
        data = fields
        _check_prompt(data)
        checks.check_stream_options(data)
        _check_logprobs(data, all_tokens=release.all_logprobs)
        checks.check_structured_outputs(data, parameter="structured_outputs")
        check_response_format(data.get("response_format"))
        if release.null_limit_is_default and "max_tokens" in data and data["max_tokens"] is None:
            data = {**data, "max_tokens": _DEFAULT_MAX_TOKENS}
        checks.check_cache_salt(data.get("cache_salt"), release)
        return data


def _check_prompt(data: dict[str, Any]) -> None:
    prompt, embeds = data.get("prompt"), data.get("prompt_embeds")
    for name, items in (("prompt", prompt), ("prompt_embeds", embeds)):
        tokens = name == "prompt" and isinstance(items, list) and all(isinstance(item, int) for item in items)
        if isinstance(items, list) and not tokens and len(items) > _MAX_PROMPTS:
            raise VLLMValidationError(
                f"{name} list length {len(items)} exceeds the maximum allowed count of {_MAX_PROMPTS}. To increase"
                " this limit, set the VLLM_MAX_COMPLETION_PROMPTS environment variable.",
                parameter=name,
            )
    if (prompt is None or prompt == "") and (embeds is None or embeds == []):
        raise VLLMValidationError("Either prompt or prompt_embeds must be provided and non-empty.", parameter="prompt")


def _check_logprobs(data: dict[str, Any], *, all_tokens: bool) -> None:
    if data.get("use_beam_search") and data.get("echo") and data.get("logprobs") is not None:
        raise VLLMValidationError(
            "`echo` with `logprobs` is not supported with beam search because beam search does not compute prompt"
            " logprobs.",
            parameter="echo",
        )
    if data.get("logprob_token_ids") and data.get("echo") and data.get("max_tokens") == 0:
        raise VLLMValidationError(
            "`logprob_token_ids` is not supported when `echo=True` and `max_tokens=0` because no output tokens are"
            " generated.",
            parameter="logprob_token_ids",
        )
    checks.check_logprob_token_ids(data, needs="`logprobs` must be set", missing=data.get("logprobs") is None)
    checks.check_logprob_fields(data, "logprobs", all_tokens=all_tokens)
