"""When a fault is: one that lasts (`Spell`) runs `from` a time `until` another, one of a moment (`Moment`) strikes."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from pydantic import Field, model_validator

from fake_vllm.faults import windows as schedule
from formats.durations import format_duration
from twin.scenario.sections.base_model import ScenarioModel
from twin.scenario.sections.distributions import Distribution
from twin.scenario.units import Duration, value_error


class LastingFault(ScenarioModel):
    """A fault that lasts."""

    on: ClassVar[str] = "engines"

    kind: str
    start: Duration = Field(default=0.0, alias="from")
    """When it begins."""
    until: Duration | None = None
    """When it ends; with the run if absent."""

    @model_validator(mode="after")
    def _ordered(self) -> "LastingFault":
        if self.until is not None and self.until <= self.start:
            raise value_error("ends before it begins", f"allowed: later than {format_duration(self.start)}", ("until",))
        return self

    def turn(self, end: float) -> schedule.Window:
        """When it is in force; what would end after the run's `end` does not."""
        return schedule.window(self.start, self.until, end)


class InstantFault(ScenarioModel):
    """A fault that strikes, and is over."""

    on: ClassVar[str] = "pods"

    kind: str
    at: Duration | None = None
    """When it strikes."""
    every: Distribution | None = None
    """Strikes again and again, with this in between, from `from` until `until`."""
    start: Duration = Field(default=0.0, alias="from")
    """With `every`: nothing before; the first strike comes one interval later."""
    until: Duration | None = None
    """With `every`: nothing after; the end of the run if absent."""

    @model_validator(mode="after")
    def _timed(self) -> "InstantFault":
        if (self.at is None) == (self.every is None):
            both = self.at is not None
            raise value_error(
                "has both `at` and `every`" if both else "has no time", "allowed: one of `at` and `every`"
            )
        given = [name for name in ("start", "until") if name in self.model_fields_set and getattr(self, name)]
        if self.at is not None and given:
            raise value_error("`from` and `until` go with `every`", "allowed: `at` alone, or `every` with them")
        if self.until is not None and self.until <= self.start:
            raise value_error("ends before it begins", f"allowed: later than {format_duration(self.start)}", ("until",))
        if self.every is not None and self.every.upper() <= 0:
            raise value_error("takes no time", "allowed: a time above zero", ("every",))
        return self

    def strikes(self, end: float, rng: np.random.Generator) -> Iterator[float]:
        """Seconds at which it strikes, before the run's `end`. Draws only for `every`."""
        if self.every is None:
            if self.at is not None and self.at <= end:
                yield self.at
            return
        last = end if self.until is None else min(self.until, end)
        yield from schedule.occurrences(schedule.Window(self.start, last), self.every, rng)
