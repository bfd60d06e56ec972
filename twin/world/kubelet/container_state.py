"""What a kubelet knows of a container, whoever runs it: a simulated process here, a real one in `twin.node`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Exit:
    """How a run ended; times in seconds, simulated or since 1970."""

    container_id: str
    started_at: float
    finished_at: float
    code: int
    reason: str
    message: str = ""


@dataclass(eq=False)
class ContainerState(ABC):
    """As `podstatus.py` writes it down; who runs the container changes it."""

    name: str
    image: str = ""
    state: Literal["waiting", "running", "terminated"] = "waiting"
    reason: str = "ContainerCreating"
    message: str = ""
    container_id: str = ""
    restarts: int = 0
    started_at: float = 0.0
    last: Exit | None = None
    finished: bool = False
    """Whether it has ended and its restart policy leaves it at that."""

    @property
    @abstractmethod
    def started(self) -> bool:
        """Whether its process runs and its startup probe, if it has one, has passed."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether it counts as ready; without a probe that is as soon as it runs, whether or not it listens."""
