"""Seam 1: the verbs of the Kubernetes API that the controller uses, and their errors.

Implemented by `rest.py` for a live cluster and by the twin's store in virtual time; `tests/contract/` runs the same
suite on both. Errors are classified by what the caller can do about them. Implementations map exceptions of libraries
to these errors; no other code sees them.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from controller.api.types import Kind, Resource

T = TypeVar("T", bound=Resource)

Propagation = Literal["Background", "Foreground", "Orphan"]
Subresource = Literal["", "status", "scale"]

FIELD_MANAGER = "lora-controller"
"""Field manager of everything that the controller writes."""


@dataclass(frozen=True, slots=True)
class ObjectList(Generic[T]):
    """A consistent list and the resourceVersion to start a watch from."""

    items: Sequence[T]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """One change. A `BOOKMARK` has only a resourceVersion, up to which nothing else changed."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: T


class Client(Protocol):
    """Access to an API server. All methods raise `ClientError` or a subclass."""

    async def get(self, kind: Kind[T], namespace: str, name: str) -> T:
        """Return the current object."""
        ...

    async def list(self, kind: Kind[T], *, namespace: str = "", label_selector: str = "") -> ObjectList[T]:
        """Return all objects of a kind in one namespace, or in all namespaces if it is empty; pages are followed."""
        ...

    def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        """Yield changes after `resource_version` until the server ends the stream.

        Without a version the current objects come first. With `name`, only changes of that object are sent.

        Raises:
            Expired: if the version is too old; list again.
            VersionTooLarge: if the server's versions are lower; what the list returns is all that is true.
        """
        ...

    async def create(self, kind: Kind[T], obj: T) -> T:
        """Create an object. Raises `AlreadyExists` if the name is taken."""
        ...

    async def patch(
        self,
        kind: Kind[T],
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        resource_version: str = "",
        subresource: Subresource = "",
    ) -> T:
        """Apply a JSON merge patch (RFC 7386): `None` deletes a key, lists are replaced.

        Raises:
            Conflict: if `resource_version` is set and is not that of the object.
        """
        ...

    async def delete(
        self,
        kind: Kind[T],
        namespace: str,
        name: str,
        *,
        uid: str = "",
        propagation: Propagation = "Background",
    ) -> None:
        """Delete an object. Raises `NotFound` if it does not exist, `Conflict` if its UID is not `uid`."""
        ...


class ClientError(Exception):
    """A request to the API server failed.

    Attributes:
        code: HTTP status; 0 if there was no response.
        retry_after: seconds after which the server allows another attempt; None if it did not say.
    """

    def __init__(self, message: str, *, code: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class NotFound(ClientError):
    """The object or the resource type does not exist."""


class AlreadyExists(ClientError):
    """An object of that name exists already."""


class Conflict(ClientError):
    """The object has changed since it was read; read it again before the next write."""


class Expired(ClientError):
    """The resourceVersion is too old for a watch; list again."""


class VersionTooLarge(Expired):
    """The server has not reached the resourceVersion: it was restored from a backup, and its versions went back."""


class Invalid(ClientError):
    """The server rejected the object; the same request will fail again."""


class Forbidden(ClientError):
    """The controller's account lacks a permission, or its credentials are not valid."""


class Unavailable(ClientError):
    """No response, or 429 or 5xx; retry after `retry_after` or with a backoff."""
