"""Body of `POST /v1/chat/completions/batch`: vllm/entrypoints/openai/chat_completion/protocol.py."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.protocol.base import Int64, Json, OpenAIBaseModel, Seed, StopParam
from fake_vllm.openai.protocol.chat_completion import ChatCompletionRequest
from fake_vllm.openai.protocol.checks import check_logprob_token_ids
from fake_vllm.openai.protocol.formats import StructuredOutputsParams, check_response_format
from fake_vllm.openai.protocol.messages import ChatCompletionMessageParam
from fake_vllm.openai.releases import Api

_Conversation = Annotated[list[ChatCompletionMessageParam], Field(min_length=1)]


class BatchChatCompletionRequest(OpenAIBaseModel):
    """Body of a request for the answers to several conversations."""

    messages: list[_Conversation] = Field(..., min_length=1)
    model: str | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)] = 0
    logprob_token_ids: list[int] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = 1
    presence_penalty: float | None = None
    response_format: Any | None = None
    seed: Seed = None
    stop: StopParam = Field(default_factory=list)
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = None
    tool_choice: Literal["none"] | None = "none"
    include_reasoning: bool = True
    use_beam_search: bool = False
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    watermarking: bool | None = None
    length_penalty: float | None = 1.0
    structured_outputs: StructuredOutputsParams | None = None
    request_id: str | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template: str | None = None
    chat_template_kwargs: Json | None = None
    media_io_kwargs: dict[str, Json] | None = None
    mm_processor_kwargs: Json | None = None
    priority: Int64 = 0
    cache_salt: str | None = None
    include_stop_str_in_output: bool = False
    echo: bool = False
    return_tokens_as_token_ids: bool | None = None
    return_token_ids: bool = False

    @model_validator(mode="before")
    @classmethod
    def check_body(cls, data: Any) -> Any:
        """Check what a batch cannot do."""
        if not isinstance(data, dict):
            return data
        if data.get("use_beam_search"):
            raise VLLMValidationError(
                "Batch chat completions do not support beam search. Please set `use_beam_search` to False.",
                parameter="use_beam_search",
            )
        check_logprob_token_ids(data, needs="`logprobs` must be set to true", missing=not data.get("logprobs"))
        check_response_format(data.get("response_format"))
        n = data.get("n", 1)
        if n is not None and n != 1:
            raise VLLMValidationError(
                "Batch chat completions do not support `n > 1`. Please set `n` to 1.", parameter="n", value=n
            )
        return data

    def chats(self, release: Api) -> list[ChatCompletionRequest]:
        """Return a request for each conversation; a batch is never streamed.

        Raises:
            ValidationError, VLLMValidationError: if one does not fit the model of a chat.
        """
        fields = {**self.model_dump(exclude={"messages"}, exclude_none=True), "stream": False}
        return [
            ChatCompletionRequest.model_validate({**fields, "messages": messages}, context=release)
            for messages in self.messages
        ]
