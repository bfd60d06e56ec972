"""Section `adapters`: templates of ModelAdapters, with their arrivals and departures."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from controller.api.types import MODEL_ADAPTERS
from twin.scenario.errors import choices
from twin.scenario.sections.base_model import Count, ScenarioModel
from twin.scenario.sections.distributions import Distribution
from twin.scenario.sections.traces import Arrivals
from twin.scenario.sections.traffic import Popularity, weight
from twin.scenario.units import Duration, Rate, value_error

if TYPE_CHECKING:
    import numpy as np

_PLACE = re.compile(r"\{i(?::(0\d+)d?)?\}")


class At(ScenarioModel):
    """All at the same time."""

    at: Duration
    """Time of arrival."""

    def times(self, count: int, rng: "np.random.Generator") -> list[float]:  # noqa: ARG002
        """Return the time of each arrival, in seconds."""
        return [self.at] * count


class Every(ScenarioModel):
    """One after another, at fixed or random intervals."""

    every: Distribution
    """Interval between arrivals."""
    start: Duration = Field(default=0.0, alias="from")
    """Time of the first arrival."""

    def times(self, count: int, rng: "np.random.Generator") -> list[float]:
        """Return the time of each arrival, in seconds."""
        times = [self.start]
        while len(times) < count:
            times.append(times[-1] + self.every.draw(rng))
        return times


class Poisson(ScenarioModel):
    """At random times, as a Poisson process."""

    poisson: Rate
    """Mean rate."""
    start: Duration = Field(default=0.0, alias="from")
    """Start of the process."""

    def times(self, count: int, rng: "np.random.Generator") -> list[float]:
        """Return the time of each arrival, in seconds."""
        return [float(time) for time in self.start + rng.exponential(1 / self.poisson, count).cumsum()]


class FromTrace(ScenarioModel):
    """At the times in a file."""

    trace: Arrivals
    """A CSV or Parquet file with a column `time`, or a list of times since the start of the run; see docs/traces.md."""

    def times(self, count: int, rng: "np.random.Generator") -> list[float]:  # noqa: ARG002
        """Return the time of each arrival, in seconds; at most as many as the trace has."""
        return list(self.trace[:count])


def _one_key(value: Any, names: tuple[str, ...], example: str) -> str:
    """Return the key that selects the form of a mapping."""
    if not isinstance(value, dict):
        raise value_error("is not a mapping", f"allowed: one of {', '.join(names)}, such as {example}")
    present = [name for name in names if value.get(name) is not None]
    if len(present) != 1:
        other = next((key for key in value if key not in names), "")
        message = (
            f"has both {' and '.join(present)}" if present else f'unknown field "{other}"' if other else "is empty"
        )
        misspelled = (other,) if other and not present else ()
        raise value_error(message, choices(other, names), misspelled, key=bool(misspelled))
    return present[0]


def _arrival_form(value: Any) -> Any:
    if not isinstance(value, ScenarioModel):
        _one_key(value, ("at", "every", "poisson", "trace"), "{every: 15s}")
    return value


def _arrival_tag(value: Any) -> str:
    fields = value if isinstance(value, dict) else type(value).model_fields
    return next(name for name in ("at", "every", "poisson", "trace") if name in fields)


Arrival = Annotated[
    Annotated[At, Tag("at")]
    | Annotated[Every, Tag("every")]
    | Annotated[Poisson, Tag("poisson")]
    | Annotated[FromTrace, Tag("trace")],
    Discriminator(_arrival_tag),
    BeforeValidator(_arrival_form),
]


class Departure(ScenarioModel):
    """Time at which an adapter is deleted: after its arrival, or at a fixed time."""

    after: Distribution | None = None
    """Time from arrival to deletion."""
    at: Duration | None = None
    """Time of deletion, for all adapters."""

    @model_validator(mode="before")
    @classmethod
    def _form(cls, value: Any) -> Any:
        if not isinstance(value, Departure):
            _one_key(value, ("after", "at"), "never or {after: {exponential: 2h}}")
        return value

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> Any:
        return {name: value for name, value in handler(self).items() if value is not None}

    def time(self, arrived: float, rng: "np.random.Generator") -> float:
        """Return the time of deletion, in seconds, of an adapter that arrived at `arrived`; never before it."""
        stay = self.after.draw(rng) if self.after is not None else 0.0
        return arrived + stay if self.at is None else max(self.at, arrived)


def _leave_tag(value: Any) -> str:
    return "never" if isinstance(value, str) else "leave"


DepartureOrNever = Annotated[
    Annotated[Literal["never"], Tag("never")] | Annotated[Departure, Tag("leave")], Discriminator(_leave_tag)
]


class AdapterTemplate(ScenarioModel):
    """Template of one or more ModelAdapters."""

    name: Annotated[str, Field(min_length=1)]
    """Name; `{i}` is replaced by 0, 1, 2, … (`{i:03}` by 000, 001, …)."""
    count: Count = 1
    """Number of adapters."""
    namespace: Annotated[str, Field(min_length=1)] = "default"
    """Namespace."""
    labels: dict[str, str] = {}
    """Labels of the ModelAdapters."""
    spec: dict[str, Any]
    """Spec of the ModelAdapters; `{i}` is replaced here too."""
    arrive: Arrival = At(at=0.0)
    """Times of creation."""
    leave: DepartureOrNever = "never"
    """Times of deletion."""
    popularity: Popularity = 1.0
    """Relative frequency of requests for each adapter: a number, or `{zipf: 1.1}` over the template."""

    @field_validator("name")
    @classmethod
    def _braces(cls, name: str) -> str:
        if re.search(r"[{}]", _PLACE.sub("", name)):
            raise value_error(f'"{name}" has unknown braces', "allowed: {i}, or {i:03} for leading zeros")
        return name

    @model_validator(mode="after")
    def _distinct(self, info: ValidationInfo) -> "AdapterTemplate":  # noqa: ARG002
        if self.count > 1 and not _PLACE.search(self.name):
            raise value_error(
                f'{self.count} adapters cannot all have the name "{self.name}"', "allowed: {i} in it", ("name",)
            )
        return self

    def manifest(self, index: int) -> dict[str, Any]:
        """Return the ModelAdapter with number `index`, from 0."""
        metadata: dict[str, Any] = {"name": _filled(self.name, index), "namespace": self.namespace}
        if self.labels:
            metadata["labels"] = _filled(self.labels, index)
        kind = MODEL_ADAPTERS
        return {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": metadata,
            "spec": _filled(self.spec, index),
        }

    def weight(self, index: int) -> float:
        """Return the relative frequency of requests for number `index`."""
        return weight(self.popularity, index)

    def visits(self, rng: "np.random.Generator") -> list[tuple[float, float | None]]:
        """Return the times of creation and deletion (None: never) of each adapter, in seconds, by number."""
        arrivals = self.arrive.times(self.count, rng)
        if isinstance(self.leave, str):
            return [(arrived, None) for arrived in arrivals]
        return [(arrived, self.leave.time(arrived, rng)) for arrived in arrivals]


def _filled(value: Any, index: int) -> Any:
    """Return `value` with `{i}` replaced in all texts."""
    match value:
        case str():
            return _PLACE.sub(lambda match: format(index, match[1] or ""), value)
        case dict():
            return {_filled(key, index): _filled(item, index) for key, item in value.items()}
        case list():
            return [_filled(item, index) for item in value]
    return value
