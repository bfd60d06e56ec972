"""Request bodies of SGLang's routes: entrypoints/openai/protocol.py and managers/io_struct.py."""

from typing import Any

from pydantic import BaseModel

from fake_vllm.sglang.openai_protocol import ChatCompletionRequest, CompletionRequest, TokenIds


class AdapterFields(BaseModel):
    """Fields that every request for text has."""

    lora_path: str | None = None
    rid: str | None = None
    """Id of the response."""


class SglangCompletionRequest(CompletionRequest, AdapterFields):
    """Body of `POST /v1/completions`."""


class SglangChatCompletionRequest(ChatCompletionRequest, AdapterFields):
    """Body of `POST /v1/chat/completions`."""


class SamplingParams(BaseModel):
    """Sampling parameters of `/generate` (sampling/sampling_params.py)."""

    max_new_tokens: int | None = 128
    min_new_tokens: int | None = 0
    n: int | None = 1
    stop: str | list[str] | None = None
    ignore_eos: bool | None = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


class GenerateReqInput(AdapterFields):
    """Body of `POST /generate`."""

    text: str | list[str] | None = None
    input_ids: TokenIds | list[TokenIds] | None = None
    sampling_params: SamplingParams | None = None
    stream: bool | None = False
    return_logprob: bool | None = None
    logprob_start_len: int | None = None
    """First token of the prompt with a log-probability; -1 for none but the last."""
    top_logprobs_num: int | None = None
    return_text_in_logprobs: bool = False
    token_ids_logprob: None = None
    """Log-probabilities of chosen tokens, which the fake refuses."""


class LoadLoRAAdapterReqInput(BaseModel):
    """Body of `POST /load_lora_adapter`."""

    lora_name: str
    lora_path: str
    pinned: bool | None = False


class UnloadLoRAAdapterReqInput(BaseModel):
    """Body of `POST /unload_lora_adapter`."""

    lora_name: str


class EmbeddingRequest(BaseModel):
    """Body of `POST /v1/embeddings`, which this server answers with an error."""

    model: str | None = None
    input: Any = None
