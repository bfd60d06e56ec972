"""Request bodies of vLLM's other routes, shaped as its own protocol classes.

See vllm/entrypoints/serve/lora/protocol.py and vllm/entrypoints/serve/tokenize/protocol.py.
"""

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationInfo, model_validator

from fake_vllm.openai.protocol.base import INT64_MAX, OpenAIBaseModel
from fake_vllm.openai.protocol.chat_completion import check_generation_prompt
from fake_vllm.openai.protocol.messages import ChatCompletionMessageParam
from fake_vllm.openai.protocol.tools import ChatCompletionToolsParam
from fake_vllm.openai.releases import api_of


class LoadLoRAAdapterRequest(BaseModel):
    """Body of `POST /v1/load_lora_adapter`."""

    lora_name: str
    lora_path: str
    load_inplace: bool = False
    is_3d_lora_weight: bool = False

    @model_validator(mode="before")
    @classmethod
    def drop_unknown_fields(cls, data: Any, info: ValidationInfo) -> Any:
        return api_of(info.context).known_fields(data, cls.__name__) if isinstance(data, dict) else data


class UnloadLoRAAdapterRequest(BaseModel):
    """Body of `POST /v1/unload_lora_adapter`."""

    lora_name: str
    lora_int_id: int | None = None


class TokenizeCompletionRequest(OpenAIBaseModel):
    """Body of `POST /tokenize`: a prompt."""

    model: str | None = None
    prompt: str
    add_special_tokens: bool = True
    return_token_strs: bool | None = False


class TokenizeChatRequest(OpenAIBaseModel):
    """Body of `POST /tokenize`: a conversation."""

    model: str | None = None
    messages: list[ChatCompletionMessageParam]
    add_generation_prompt: bool = True
    return_token_strs: bool | None = False
    continue_final_message: bool = False
    add_special_tokens: bool = False
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    media_io_kwargs: dict[str, dict[str, Any]] | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    tools: list[ChatCompletionToolsParam] | None = None

    @model_validator(mode="before")
    @classmethod
    def check_generation_prompt(cls, data: Any, info: ValidationInfo) -> Any:
        fields = api_of(info.context).raw_fields(data, cls.__name__)
        if fields is None:
            return data
        check_generation_prompt(fields)
        return fields


TokenizeRequest: TypeAlias = TokenizeCompletionRequest | TokenizeChatRequest
TOKENIZE_REQUEST: TypeAdapter[TokenizeRequest] = TypeAdapter(TokenizeRequest, config=ConfigDict(defer_build=True))


class DetokenizeRequest(OpenAIBaseModel):
    """Body of `POST /detokenize`."""

    model: str | None = None
    tokens: list[Annotated[int, Field(ge=0, le=INT64_MAX)]]


class EmbeddingRequest(BaseModel):
    """Body of `POST /v1/embeddings`, which this server answers with an error."""

    model: str | None = None
    input: Any = None
