"""What was asked of the server, by whom, and how it ended: for tests of roles, counts and the record."""

from collections.abc import Callable
from dataclasses import dataclass

from twin.apiserver.rest.access import User
from twin.apiserver.rest.rbac import Attributes


@dataclass(frozen=True, slots=True)
class Used:
    """One request that was answered; of a watch, when it began."""

    user: User
    asked: Attributes
    code: int
    agent: str = ""
    """The client's own name for itself."""


Observer = Callable[[Used], None]


def nobody(used: Used) -> None:
    """An observer that does not look."""
    del used
