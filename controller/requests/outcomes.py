"""Results of requests to engines: inventories, and outcomes of loads and unloads."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.engine.errors import EngineError

SEND_WITHIN = 1.0
"""Seconds from the confirmation of an announcement in which its request is sent; a later one is announced again.

Nothing is waited for in between, so only a process that was suspended is late: another replica may lead by then. A
restarted controller, which does not know when an attempt was sent, assumes this time after its announcement.
"""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Adapters that one incarnation of an engine listed last."""

    engine: str
    """The incarnation: its container id."""
    models: Mapping[str, str]
    """`root` of each adapter, by name."""
    bases: frozenset[str] = frozenset()
    """Names and roots of the base models that the engine serves."""
    unclear: frozenset[str] = frozenset()
    """Names for which a request has since ended without a clear answer."""


@dataclass(frozen=True, slots=True)
class InventoryChange:
    """Change of one name by a load or unload that has ended."""

    number: int
    """Place among the changes of its pod."""
    engine: str
    """Incarnation to which the request was sent."""
    root: str | None
    """`root` of the loaded adapter; None if it was unloaded, or if nothing is known."""
    unclear: bool = False
    """True if the request ended without a clear answer."""


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """Results of the requests to the engine of one pod."""

    inventory: Inventory | None = None
    unanswered: str = ""
    """Incarnation that did not answer the last request for its inventory; empty if it did."""
    failed_at: float = 0.0
    """Time of its last error of its own, in seconds since 1970; 0 if a request has succeeded since."""
    failed_engine: str = ""
    """Incarnation that failed."""
    changes: int = 0
    """Number of loads and unloads that have ended, with a confirmation or without a clear answer."""
    listed_after: int = 0
    """Number of changes when the list was requested that is the inventory."""
    recent: Mapping[str, InventoryChange] = field(default_factory=dict)
    """By name: the last change that this list may not show."""
    served: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Adapter's name to (incarnation, artifact) of the last load, also after its unload."""


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """Outcome of the last request for one adapter to one pod's engine."""

    verb: str
    """`load` or `unload`."""
    finished_at: float
    """Seconds since 1970."""
    engine: str
    """Incarnation to which the request was sent."""
    generation: int = 0
    """Generation of the adapter's spec at that time."""
    error: EngineError | None = None
    failures: int = 0
    """Consecutive failures of this verb since the controller started."""
    secret: str = ""
    """Versions of the Secrets that its keys came from."""
    doubtful: bool = False
    """True if one of these failures was ambiguous, so that the engine may still be executing it."""

    @property
    def is_final(self) -> bool:
        """True if it failed with an error that no retry can resolve."""
        return self.error is not None and not self.error.retriable
