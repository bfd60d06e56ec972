"""The state of a container, for simulated containers and for processes (`twin.process_node`)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a run; times in seconds, simulated or since 1970."""

    container_id: str
    started_at: float
    finished_at: float
    code: int
    reason: str
    message: str = ""


@dataclass(eq=False)
class ContainerState(ABC):
    """State from which `pod_status.py` builds the status; subclasses change it."""

    name: str
    image: str = ""
    state: Literal["waiting", "running", "terminated"] = "waiting"
    reason: str = "ContainerCreating"
    message: str = ""
    container_id: str = ""
    restarts: int = 0
    started_at: float = 0.0
    last: Exit | None = None
    is_init: bool = False
    """True for an init container or a native sidecar; both have their status among those of the init containers."""
    completes: bool = False
    """True for an init container that has to end before the next container starts."""
    finished: bool = False
    """True if the container has ended and its restart policy does not restart it."""

    @property
    def initialized(self) -> bool:
        """True if an init container has succeeded, or a native sidecar has started."""
        if not self.completes:
            return self.started
        return self.finished and self.last is not None and self.last.code == 0

    @property
    @abstractmethod
    def started(self) -> bool:
        """True if the process runs and its startup probe, if any, has passed."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """True if the container is ready; without a readiness probe it is ready as soon as it runs."""
