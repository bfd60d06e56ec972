"""What comes of judging a record."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must hold did not."""

    t: float
    """Seconds since the start of the run."""
    invariant: int | str
    """1 to 9, or `liveness`."""
    object: str
    message: str
    context: tuple[int, ...] = ()
    """Places in the record, for a reader who asks why."""


@dataclass(frozen=True, slots=True)
class InvariantReport:
    """All of them, by time."""

    checked: int
    """How many single checks were made; none found wrong means little if there were none."""
    violations: tuple[Violation, ...]
    liveness_judged: bool
    """Whether the run went on long enough after its last fault to say what comes true in the end."""
