"""Paths, request and response bodies of the sidecar's API for adapters."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from controller.sidecar.artifacts.facts import ArtifactFacts
from controller.sidecar.errors import SidecarError

INSPECT_PATH = "/v1/lora_adapter/inspect"
LOAD_PATH = "/v1/lora_adapter/load"
UNLOAD_PATH = "/v1/lora_adapter/unload"


def _check_text(text: str) -> str:
    """Return `text`. Raises `ValueError` for half a surrogate pair (`\\ud800`), which is no character."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("has half of a surrogate pair")
    return text


Text = Annotated[str, AfterValidator(_check_text)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class LoadRequest(_Request):
    """Body of `POST /v1/lora_adapter/load`.

    Attributes:
        lora_name: name of the adapter on the engine.
        artifact_url: URL of the artifact.
        credentials: data of a Secret, by key.
        additional_config: accepted for callers that send it to engines as well; not used.
    """

    lora_name: Text
    artifact_url: Text
    credentials: dict[Text, Text] | None = None
    additional_config: dict[Text, Text] | None = None


class InspectRequest(_Request):
    """Body of `POST /v1/lora_adapter/inspect`.

    Attributes:
        artifact_url: URL of the artifact.
        credentials: data of a Secret, by key.
    """

    artifact_url: Text
    credentials: dict[Text, Text] | None = None


class UnloadRequest(_Request):
    """Body of `POST /v1/lora_adapter/unload`.

    Attributes:
        lora_name: name of the adapter on the engine.
        cleanup_local: delete the artifact from the disk, unless another adapter uses it.
    """

    lora_name: Text
    cleanup_local: bool = True


class UnloadResponse(BaseModel):
    """An adapter is unloaded."""

    status: Literal["success"] = "success"
    lora_name: str
    message: str


class InspectResponse(BaseModel):
    """Facts about an artifact; null for what is not known."""

    status: Literal["success"] = "success"
    rank: int | None
    size_bytes: int | None
    target_modules: list[str] | None
    base_model: str | None

    @classmethod
    def of(cls, facts: ArtifactFacts) -> "InspectResponse":
        """Return the body for the facts."""
        return cls(
            rank=facts.rank or None,
            size_bytes=facts.size or None,
            target_modules=list(facts.target_modules) or None,
            base_model=facts.base_model or None,
        )


class LoadResponse(BaseModel):
    """An adapter is loaded from `local_path`."""

    status: Literal["success"] = "success"
    lora_name: str
    local_path: str
    message: str


class Status(BaseModel):
    """Result of a probe."""

    status: Literal["ok", "ready", "not ready"]
    message: str = ""


class ErrorDetail(BaseModel):
    """An error in vLLM's envelope; `code` is a word, the HTTP status is in `status`."""

    code: str
    message: str
    type: str
    status: int
    retriable: bool


class ErrorResponse(BaseModel):
    """Body of every error."""

    error: ErrorDetail

    @classmethod
    def of(cls, error: SidecarError) -> "ErrorResponse":
        """Return the body for an error."""
        detail = ErrorDetail(
            code=error.code.word,
            message=error.message,
            type=error.type,
            status=error.status,
            retriable=error.retriable,
        )
        return cls(error=detail)
