"""Section `traffic`: requests of users for adapters, and the gateway that routes them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, PlainSerializer, PlainValidator, Tag, WithJsonSchema, model_validator

from fake_vllm.distributions import Constant, Empirical, Latency, LogNormal, Uniform
from formats.durations import format_duration
from twin.scenario.errors import choices
from twin.scenario.sections.base_model import ScenarioModel
from twin.scenario.sections.traces import Requests
from twin.scenario.units import Duration, PositiveDuration, Rate, value_error

if TYPE_CHECKING:
    import numpy as np

_FORMS = ("lognormal", "uniform", "empirical")
_ALLOWED = (
    "allowed: a number such as 256, {lognormal: {median: 256, p95: 1024}}, {uniform: [64, 512]} or {empirical: [...]}"
)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 1e7:
        raise value_error("is not a number of tokens", "allowed: 1 to 10000000")
    return float(value)


def tokens(value: object) -> Latency:
    """Return a distribution of lengths in tokens."""
    if isinstance(value, Constant | LogNormal | Uniform | Empirical):
        return value
    if not isinstance(value, Mapping):
        return Constant(_number(value))
    form = next(iter(value), "")
    if len(value) != 1 or form not in _FORMS:
        raise value_error("is not a distribution of tokens", choices(str(form), _FORMS) if form else _ALLOWED)
    values = value[form]
    match form:
        case "lognormal" if isinstance(values, Mapping) and set(values) == {"median", "p95"}:
            median, p95 = _number(values["median"]), _number(values["p95"])
            if p95 >= median:
                return LogNormal(median, p95)
        case "uniform" if isinstance(values, list | tuple) and len(values) == 2:
            low, high = map(_number, values)
            if high >= low:
                return Uniform(low, high)
        case "empirical" if isinstance(values, list | tuple) and values:
            return Empirical(tuple(map(_number, values)))
    raise value_error("is not a distribution of tokens", _ALLOWED)


def show_tokens(value: Latency) -> Any:
    """Return a distribution as it is written in YAML."""
    match value:
        case LogNormal():
            return {"lognormal": {"median": value.median, "p95": value.p95}}
        case Uniform():
            return {"uniform": [value.low, value.high]}
        case Empirical():
            return {"empirical": list(value.values)}
        case Constant():
            return int(value.value) if value.value.is_integer() else value.value
    raise TypeError(f"no way to write a {type(value).__name__} of tokens")


Tokens = Annotated[
    Latency,
    PlainValidator(tokens),
    PlainSerializer(show_tokens),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 1}, {"type": "object"}], "examples": [256]}),
]


@dataclass(frozen=True, slots=True)
class GeneratedRequest:
    """One request. Without `adapter` it is for the adapter at `popularity_draw`, in [0, 1), by popularity."""

    at: float
    prompt: int
    output: int
    popularity_draw: float
    adapter: str = ""


class FlashCrowd(ScenarioModel):
    """Additional requests for one adapter (Poisson process)."""

    adapter: Annotated[str, Field(min_length=1)]
    """Name of the adapter."""
    rate: Rate
    """Rate of the additional requests."""
    start: Duration = Field(default=0.0, alias="from")
    """Start of the crowd."""
    until: Duration | None = None
    """End of the crowd; the end of the run if absent."""

    @model_validator(mode="after")
    def _ordered(self) -> "FlashCrowd":
        if self.until is not None and self.until <= self.start:
            raise value_error("ends before it starts", f"allowed: later than {format_duration(self.start)}", ("until",))
        return self


class Traffic(ScenarioModel):
    """Requests for adapters that have been Running, through the gateway to the endpoints in EndpointSlices."""

    rate: Rate | None = None
    """Rate of requests (Poisson process) over all adapters, distributed by popularity."""
    trace: Requests | None = None
    """Alternatively: a CSV or Parquet file, such as the public Azure LLM inference traces; see docs/traces.md."""
    prompt_tokens: Tokens = Constant(256.0)
    """Length of prompts."""
    output_tokens: Tokens = Constant(64.0)
    """Length of completions."""
    crowds: tuple[FlashCrowd, ...] = ()
    """Flash crowds: requests for single adapters, in addition to all others."""
    start: Duration = Field(default=0.0, alias="from")
    """Start of the traffic, and of the trace."""
    until: Duration | None = None
    """End of the traffic; the end of the run if absent."""
    timeout: PositiveDuration = 60.0
    """Time for which a user waits for the response."""
    ttft_slo: PositiveDuration | None = None
    """Objective for the time to the first token: `traffic.goodput` is the share of requests that meet it."""
    balance: Literal["least-request", "round-robin", "random"] = "least-request"
    """Endpoint that the gateway selects: of two random ones the one with fewer requests in flight, in turn, or a random
    one."""
    endpoints_lag: Duration = 0.2
    """Time from a change of EndpointSlices until the gateway applies it."""

    @model_validator(mode="after")
    def _one_source(self) -> "Traffic":
        if (self.rate is None) == (self.trace is None):
            both = self.rate is not None
            raise value_error(
                "has both a rate and a trace" if both else "has no rate", "allowed: one of rate and trace"
            )
        for name in ("prompt_tokens", "output_tokens"):
            if self.trace is not None and name in self.model_fields_set and not _is_default(self, name):
                raise value_error(f"{name} is set by the trace", "allowed: omit it", (name,))
        if self.until is not None and self.until <= self.start:
            raise value_error("ends before it starts", f"allowed: later than {format_duration(self.start)}", ("until",))
        return self

    def generate(
        self, end: float, arrivals: "np.random.Generator", lengths: "np.random.Generator"
    ) -> Iterator[GeneratedRequest]:
        """Yield the requests of a run until `end`, in order, with the same number of draws for each."""
        last = end if self.until is None else min(self.until, end)
        for number, at in enumerate(self._times(arrivals)):
            if at > last:
                return
            draw = float(lengths.random())
            if self.trace is not None:
                adapter = self.trace.adapters[number] if self.trace.adapters else ""
                yield GeneratedRequest(at, self.trace.prompts[number], self.trace.outputs[number], draw, adapter)
            else:
                prompt, output = (round(length.draw(lengths)) for length in (self.prompt_tokens, self.output_tokens))
                yield GeneratedRequest(at, max(prompt, 1), max(output, 1), draw)

    def generate_crowd(self, crowd: FlashCrowd, end: float, rng: "np.random.Generator") -> Iterator[GeneratedRequest]:
        """Yield the requests of a flash crowd until `end`, in order."""
        last, at = end if crowd.until is None else min(crowd.until, end), crowd.start
        while (at := at + float(rng.exponential(1 / crowd.rate))) <= last:
            prompt, output = (round(length.draw(rng)) for length in (self.prompt_tokens, self.output_tokens))
            yield GeneratedRequest(at, max(prompt, 1), max(output, 1), 0.0, crowd.adapter)

    def _times(self, rng: "np.random.Generator") -> Iterator[float]:
        if self.trace is not None:
            yield from (self.start + time for time in self.trace.times)
            return
        assert self.rate is not None
        time = self.start
        while True:
            time += float(rng.exponential(1 / self.rate))
            yield time


def _is_default(traffic: Traffic, name: str) -> bool:
    """Return whether a field has its default, which a resolved scenario writes out."""
    return bool(getattr(traffic, name) == Traffic.model_fields[name].default)


class Zipf(ScenarioModel):
    """Zipf distribution: the i-th adapter is requested in proportion to i^-zipf."""

    zipf: float = Field(strict=True, ge=0, le=10, allow_inf_nan=False)
    """Exponent; 0 is uniform."""


def _form(value: Any) -> str:
    return "zipf" if isinstance(value, Mapping | Zipf) else "number"


Popularity = Annotated[
    Annotated[float, Field(strict=True, gt=0, le=1e9, allow_inf_nan=False), Tag("number")]
    | Annotated[Zipf, Tag("zipf")],
    Discriminator(_form),
]


def weight(popularity: float | Zipf, index: int) -> float:
    """Return the relative frequency of requests for adapter number `index`, from 0."""
    return float((index + 1) ** -popularity.zipf) if isinstance(popularity, Zipf) else float(popularity)
