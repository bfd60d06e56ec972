"""What goes into an engine and comes out of it: artifacts, list entries, changes, and the two ways to fail."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

DEFAULT_ARTIFACT_SIZE = 80 << 20  # bytes; rank 16 on an 8B model is some 50 to 150 MB


@dataclass(frozen=True, slots=True)
class Artifact:
    """What is found under an adapter's path. Size in bytes."""

    rank: int = 8
    size: int = DEFAULT_ARTIFACT_SIZE
    missing: bool = False
    broken: str = ""
    """What the engine says about weights that it cannot use; empty if they are good."""


@dataclass(frozen=True, slots=True)
class AdapterEvent:
    """An adapter came or went; `root` is the path that it was loaded from."""

    event: Literal["loaded", "unloaded"]
    adapter: str
    root: str


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the engine's list; `parent` is None for a base model."""

    id: str
    root: str
    parent: str | None
    max_model_len: int | None


def card(model: Model, created: int) -> dict[str, object]:
    """A model as `GET /v1/models` shows it: vLLM's `ModelCard`."""
    permission = {
        "id": f"modelperm-{blake2b(model.id.encode(), digest_size=16).hexdigest()}",
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    return {
        "id": model.id,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": model.root,
        "parent": model.parent,
        "max_model_len": model.max_model_len,
        "permission": [permission],
    }


class EngineError(Exception):
    """The engine answers, and the answer is no: HTTP status, vLLM's error type, message, the parameter at fault."""

    def __init__(self, status: int, type: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.param = param


class EngineClosed(Exception):
    """The container died; whoever waits for an answer sees the connection reset."""
