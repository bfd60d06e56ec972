"""Violations of invariants, and the report of a check."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation of an invariant."""

    t: float
    """Seconds since the start of the run."""
    invariant: int | str
    """Number of the invariant, or `liveness`."""
    object: str
    message: str
    context: tuple[int, ...] = ()
    """Indices of the trace lines around it."""


@dataclass(frozen=True, slots=True)
class InvariantReport:
    """Result of checking all invariants; the violations are sorted by time."""

    checked: int
    """Number of single checks. No violation means little if there were few checks."""
    violations: tuple[Violation, ...]
    liveness_judged: bool
    """True if the run was long enough after its last fault to check liveness."""
