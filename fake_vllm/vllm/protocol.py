"""Request bodies of vLLM's other routes, shaped as its own protocol classes.

See vllm/entrypoints/serve/lora/protocol.py and vllm/entrypoints/serve/tokenize/protocol.py.
"""

from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from fake_vllm.openai.protocol import ChatMessage, check_text_only

_INT64_MAX = 2**63 - 1


class LoadLoRAAdapterRequest(BaseModel):
    """Body of `POST /v1/load_lora_adapter`."""

    lora_name: str
    lora_path: str
    load_inplace: bool = False


class UnloadLoRAAdapterRequest(BaseModel):
    """Body of `POST /v1/unload_lora_adapter`."""

    lora_name: str
    lora_int_id: int | None = None


class TokenizeRequest(BaseModel):
    """Body of `POST /tokenize`: a prompt or a conversation."""

    model: str | None = None
    prompt: str | None = None
    messages: list[ChatMessage] | None = Field(default=None, min_length=1)
    return_token_strs: bool | None = False

    @model_validator(mode="after")
    def check_content(self) -> "TokenizeRequest":
        check_text_only(self.messages or [])
        return self


class TokenizePromptRequest(TokenizeRequest):
    """A prompt to tokenize: what a body without `messages` has to be."""

    prompt: str


class DetokenizeRequest(BaseModel):
    """Body of `POST /detokenize`."""

    model: str | None = None
    tokens: list[Annotated[int, Field(ge=0, le=_INT64_MAX)]]


class EmbeddingRequest(BaseModel):
    """Body of `POST /v1/embeddings`, which this server answers with an error."""

    model: str | None = None
    input: Any = None
