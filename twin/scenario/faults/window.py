"""When a fault is active: a `LastingFault` has a start and an end, an `InstantFault` occurs at points in time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from fake_vllm.faults import windows as schedule
from formats.durations import format_duration
from twin.scenario.sections.base_model import ScenarioModel
from twin.scenario.sections.distributions import Distribution
from twin.scenario.units import Duration, value_error

if TYPE_CHECKING:
    import numpy as np


class LastingFault(ScenarioModel):
    """A fault with a start and an end."""

    on: ClassVar[str] = "engines"

    kind: str
    start: Duration = Field(default=0.0, alias="from")
    """Start."""
    until: Duration | None = None
    """End; the end of the run if absent."""

    @model_validator(mode="after")
    def _ordered(self) -> "LastingFault":
        if self.until is not None and self.until <= self.start:
            raise value_error("ends before it starts", f"allowed: later than {format_duration(self.start)}", ("until",))
        return self

    def window(self, end: float) -> schedule.Window:
        """Return the window in which it is active; `end` is the end of the run, in seconds."""
        return schedule.window(self.start, self.until, end)


class InstantFault(ScenarioModel):
    """A fault that occurs at one point in time, or repeatedly."""

    on: ClassVar[str] = "pods"

    kind: str
    at: Duration | None = None
    """Time at which it occurs."""
    every: Distribution | None = None
    """Interval between occurrences, from `from` until `until`."""
    start: Duration = Field(default=0.0, alias="from")
    """With `every`: the first occurrence comes one interval after this time."""
    until: Duration | None = None
    """With `every`: no occurrence after this time; the end of the run if absent."""

    @model_validator(mode="after")
    def _timed(self) -> "InstantFault":
        if (self.at is None) == (self.every is None):
            both = self.at is not None
            raise value_error(
                "has both `at` and `every`" if both else "has no time", "allowed: one of `at` and `every`"
            )
        bounds = [name for name in ("start", "until") if name in self.model_fields_set and getattr(self, name)]
        if self.at is not None and bounds:
            raise value_error("`from` and `until` go with `every`", "allowed: `at` alone, or `every` with them")
        if self.until is not None and self.until <= self.start:
            raise value_error("ends before it starts", f"allowed: later than {format_duration(self.start)}", ("until",))
        if self.every is not None and self.every.upper() <= 0:
            raise value_error("must be above zero", "allowed: a time above zero", ("every",))
        return self

    def strikes(self, end: float, rng: "np.random.Generator") -> Iterator[float]:
        """Yield the times, in seconds, at which it occurs before the run's `end`. Draws only for `every`."""
        if self.every is None:
            if self.at is not None and self.at <= end:
                yield self.at
            return
        last = end if self.until is None else min(self.until, end)
        yield from schedule.occurrences(schedule.Window(self.start, last), self.every, rng)
