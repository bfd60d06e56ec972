"""Values that enter and leave an engine: artifacts, models, adapter events; and its two kinds of errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

DEFAULT_ARTIFACT_SIZE = 80 << 20  # bytes; rank 16 on an 8B model is some 50 to 150 MB


@dataclass(frozen=True, slots=True)
class Artifact:
    """The files at an adapter's path. Size in bytes."""

    rank: int = 8
    size: int = DEFAULT_ARTIFACT_SIZE
    missing: bool = False
    broken: str | None = None
    """Message of the engine about files that it cannot use; None if they are good."""
    config: Mapping[str, Any] | None = None
    """Content of `adapter_config.json`; None for one without anything special."""
    digest: str = ""
    """Digest of the weights; empty if nothing but the path tells them apart."""


@dataclass(frozen=True, slots=True)
class LoraIdentity:
    """Weights that a request is computed with, as they are when it arrives.

    Attributes:
        digest: digest of the weights.
        cache_key: what tells their blocks in the prefix cache from those of other weights.
    """

    digest: str
    cache_key: str


def weights_digest(source: str) -> str:
    """Return a digest for weights that are known by their path or name alone."""
    return blake2b(source.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class AdapterEvent:
    """An adapter was loaded or unloaded; `root` is the path that it was loaded from."""

    event: Literal["loaded", "unloaded"]
    adapter: str
    root: str


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the engine's model list; `parent` is None for a base model."""

    id: str
    root: str
    parent: str | None
    max_model_len: int | None


ExceptionKind = Literal["validation", "value", "load", "engine", "other"]
"""Exception behind an error: vLLM's own of a value, a `ValueError`, of a load, of the engine core, or any other."""


class EngineError(Exception):
    """The engine answers with an error.

    Attributes:
        status: HTTP status.
        type: vLLM's error type, such as `BadRequestError`.
        message: text of the error.
        param: name of the wrong parameter, if there is one.
        exception: exception that the server makes the response of, None if the route returns the error itself.
    """

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        param: str | None = None,
        *,
        exception: ExceptionKind | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.param = param
        self.exception = exception


class ReloadError(Exception):
    """The files of an adapter cannot be read again. vLLM's engine core ends with this (vllm/v1/worker)."""


class EngineClosed(Exception):
    """The container stopped. Clients that wait for an answer see a connection reset."""
