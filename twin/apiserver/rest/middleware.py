"""What was asked of the server, by whom, how it fares and how it ended: for faults, counts, and tests of roles."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from twin.apiserver.rest.auth.authentication import User
from twin.apiserver.rest.auth.rbac import Attributes
from twin.apiserver.storage.watch import Change, Watch


@dataclass(frozen=True, slots=True)
class Used:
    """One request that was answered; of a watch, when it began."""

    user: User
    asked: Attributes
    code: int
    agent: str = ""
    """The client's own name for itself."""
    name: str = ""
    """The object's; of one that is created, as the body has it."""
    implied: bool = False
    """Whether it is no request, but a right that another one needs besides its own."""


Observer = Callable[[Used], None]


def nobody(used: Used) -> None:
    """An observer that does not look."""
    del used


class Sight(Protocol):
    """How a client sees the store, where it does not see it as it is."""

    def shown_revision(self) -> int | None:
        """The revision that lists show; None for the latest."""
        ...

    def hold(self, change: Change) -> float:
        """Seconds for which a change is not shown yet."""
        ...

    def opened(self, watch: Watch) -> None:
        """A watch of this client has begun; it may be failed from now on."""
        ...

    def closed(self, watch: Watch) -> None:
        """It has ended."""
        ...


def _nothing() -> None:
    """What follows a request that nobody disturbs."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """How a request fares that is let through."""

    sight: Sight | None = None
    afterwards: Callable[[], None] = _nothing
    """Called when it has been carried out; may raise the ApiError that is answered all the same."""


Interference = Callable[[Used], Awaitable[Meeting]]
"""Before a request is carried out: may wait, or raise the ApiError that it meets."""


async def undisturbed(used: Used) -> Meeting:
    """Interference that lets everything through."""
    del used
    return Meeting()
