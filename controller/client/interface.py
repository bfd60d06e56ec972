"""Seam 1: the verbs of a Kubernetes API that the controller needs, and what can go wrong with them.

Behind it stands a real cluster (`kube.py`), or the twin's store in virtual time; the contract suite in
`tests/contract/` says that both behave the same. Errors are sorted by what the caller can do about them.
Foreign exceptions are mapped to these where the seam is implemented and nowhere else.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from controller.api.types import Kind, Resource

T = TypeVar("T", bound=Resource)

Propagation = Literal["Background", "Foreground", "Orphan"]
Subresource = Literal["", "status", "scale"]

FIELD_MANAGER = "lora-controller"
"""Who the API server says owns what the controller has set."""


@dataclass(frozen=True, slots=True)
class ObjectList(Generic[T]):
    """A consistent list, and the resourceVersion from which to watch on."""

    items: Sequence[T]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """One change. A `BOOKMARK` carries only a resourceVersion: nothing changed up to there."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: T


class Client(Protocol):
    """What the controller asks of an API server. Every method raises `ClientError` or a kind of it."""

    async def get(self, kind: Kind[T], namespace: str, name: str) -> T:
        """The object as it is now."""
        ...

    async def list(self, kind: Kind[T], *, namespace: str = "", label_selector: str = "") -> ObjectList[T]:
        """All objects of a kind, in one namespace or (empty) in all; pages are followed."""
        ...

    def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        """Changes after `resource_version` (if empty, what is there comes first), until the server ends the stream.

        With `name`, of the one object that has it.

        Raises:
            Expired: the version is too old; list again.
        """
        ...

    async def create(self, kind: Kind[T], obj: T) -> T:
        """Raises `AlreadyExists` if the name is taken."""
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
        """A JSON merge patch (RFC 7386): `None` deletes a key, lists are replaced.

        With `resource_version`, only if the object still is at it, else `Conflict`.
        """
        ...

    async def apply(self, kind: Kind[T], obj: T, *, force: bool = True) -> T:
        """Server-side apply under the controller's field manager: creates or takes what `obj` sets."""
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
        """Raises `NotFound` if it is gone already, `Conflict` if `uid` is another's."""
        ...


class ClientError(Exception):
    """The API server did not do it. `code` is the HTTP status, 0 if there was no answer."""

    def __init__(self, message: str, *, code: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        """Seconds the server asks to wait, if it said."""


class NotFound(ClientError):
    """There is no such object (or kind)."""


class AlreadyExists(ClientError):
    """Create met an object of that name."""


class Conflict(ClientError):
    """The object has changed since it was read: read again and decide anew."""


class Expired(ClientError):
    """The resourceVersion is too old to watch from: list again."""


class Invalid(ClientError):
    """The server refuses the object as it is: trying again without a change is useless."""


class Forbidden(ClientError):
    """The controller's account may not do this."""


class Unavailable(ClientError):
    """No answer, or one that says to try later (429, 5xx): try again after `retry_after` or a backoff."""
