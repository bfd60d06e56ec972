"""What was asked of the server, by whom, how it fares and how it ended: for faults, counts, and tests of roles."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from twin.apiserver.rest.auth.authentication import User
from twin.apiserver.rest.auth.rbac import Attributes
from twin.apiserver.storage.watch import Change, Watch


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One request that was answered; of a watch, when it began."""

    user: User
    attributes: Attributes
    code: int
    user_agent: str = ""
    """The client's own name for itself."""
    name: str = ""
    """The object's; of one that is created, as the body has it."""
    implied: bool = False
    """Whether it is no request, but a right that another one needs besides its own."""


Observer = Callable[[AuditEvent], None]


def no_observer(event: AuditEvent) -> None:
    """An observer that does not look."""
    del event


class ReadView(Protocol):
    """How a client sees the store, where it does not see it as it is."""

    def list_revision(self) -> int | None:
        """The revision that lists show; None for the latest."""
        ...

    def delay(self, change: Change) -> float:
        """Seconds for which a change is not shown yet."""
        ...

    def watch_opened(self, watch: Watch) -> None:
        """A watch of this client has begun; it may be failed from now on."""
        ...

    def watch_closed(self, watch: Watch) -> None:
        """It has ended."""
        ...


def _no_effect() -> None:
    """What follows a request that no_observer disturbs."""


@dataclass(frozen=True, slots=True)
class RequestEffects:
    """How a request fares that is let through."""

    read_view: ReadView | None = None
    after: Callable[[], None] = _no_effect
    """Called when it has been carried out; may raise the ApiError that is answered all the same."""


Interference = Callable[[AuditEvent], Awaitable[RequestEffects]]
"""Before a request is carried out: may wait, or raise the ApiError that it meets."""


async def no_interference(event: AuditEvent) -> RequestEffects:
    """Interference that lets everything through."""
    del event
    return RequestEffects()
