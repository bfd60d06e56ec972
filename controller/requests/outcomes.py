"""Results of requests to engines: the last list of adapters and the end of the last request."""

from collections.abc import Mapping
from dataclasses import dataclass

from controller.engine.errors import EngineError

SEND_WITHIN = 1.0
"""Seconds from an announcement in which its request is sent; a later one is announced again.

It bounds the start of an attempt for a restarted controller, which continues the same backoff."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What an engine listed last."""

    engine: str
    """The incarnation that listed it."""
    models: Mapping[str, str]
    """Adapters by name, and their `root`."""
    bases: frozenset[str] = frozenset()
    """What the engine serves besides: names and roots of base models."""
    unclear: frozenset[str] = frozenset()
    """Names about which a request has ended without a clear answer since."""


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """How the last request about this adapter to this pod's engine ended."""

    verb: str
    """`load`, `unload`; of an announced load `unsent` if it could not be sent, `withdrawn` if it was not tried to."""
    finished_at: float
    """Seconds since 1970."""
    engine: str
    """The incarnation that was asked."""
    generation: int = 0
    """Of the adapter's spec when it was asked."""
    error: EngineError | None = None
    failures: int = 0
    """Failed requests of this verb in a row, since the controller started."""
    secret: str = ""
    """Versions of the Secrets that its keys came from."""
    doubtful: bool = False
    """Whether a failed one in that row ended without a clear answer, so that the engine may still be at it."""
