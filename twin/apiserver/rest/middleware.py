"""Audit events of requests, and the effects that a caller may impose on them: latency, faults, stale reads."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from twin.apiserver.rest.auth.authentication import User
from twin.apiserver.rest.auth.rbac import Attributes
from twin.apiserver.storage.watch import Change, Watch


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One answered request (a watch is reported when it starts).

    Attributes:
        user: the authenticated user.
        attributes: verb and resource.
        code: HTTP status.
        user_agent: User-Agent header of the client.
        name: name of the object; for a create, the name in the body.
        implied: the event stands for a permission that another request needs as well, not for a request.
    """

    user: User
    attributes: Attributes
    code: int
    user_agent: str = ""
    name: str = ""
    implied: bool = False


Observer = Callable[[AuditEvent], None]


def no_observer(event: AuditEvent) -> None:
    """Ignore an audit event."""
    del event


class ReadView(Protocol):
    """Restrictions of what a client reads from the store."""

    def list_revision(self) -> int | None:
        """Return the revision that lists show; None for the latest."""
        ...

    def delay(self, change: Change) -> float:
        """Return the seconds by which a change is delayed."""
        ...

    def watch_opened(self, watch: Watch) -> None:
        """Register a watch of this client; it may be failed from now on."""
        ...

    def watch_closed(self, watch: Watch) -> None:
        """Unregister a watch."""
        ...


def _no_effect() -> None:
    """Do nothing after a request."""


@dataclass(frozen=True, slots=True)
class RequestEffects:
    """Effects on a request that is let through.

    Attributes:
        read_view: restrictions of what the client reads.
        after: called after the request was executed; may raise the ApiError to answer nevertheless.
    """

    read_view: ReadView | None = None
    after: Callable[[], None] = _no_effect


Interference = Callable[[AuditEvent], Awaitable[RequestEffects]]
"""Called before a request is executed: may wait, or raise the ApiError to answer."""


async def no_interference(event: AuditEvent) -> RequestEffects:
    """Let every request through."""
    del event
    return RequestEffects()
