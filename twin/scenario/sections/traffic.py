"""The section `traffic`: what users ask of adapters, and the gateway between them. Absent, it costs nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Discriminator, Field, PlainSerializer, PlainValidator, Tag, WithJsonSchema, model_validator

from fake_vllm.distributions import Constant, Empirical, Latency, LogNormal, Uniform
from formats.durations import format_duration
from twin.scenario.errors import choices
from twin.scenario.sections.base_model import ScenarioModel
from twin.scenario.sections.traces import Requests
from twin.scenario.units import Duration, PositiveDuration, Rate, value_error

_FORMS = ("lognormal", "uniform", "empirical")
_ALLOWED = (
    "allowed: a number such as 256, {lognormal: {median: 256, p95: 1024}}, {uniform: [64, 512]} or {empirical: [...]}"
)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 1e7:
        raise value_error("is not a number of tokens", "allowed: 1 to 10000000")
    return float(value)


def tokens(value: object) -> Latency:
    """A distribution of lengths; the same classes as for times, in tokens."""
    if isinstance(value, Constant | LogNormal | Uniform | Empirical):
        return value
    if not isinstance(value, Mapping):
        return Constant(_number(value))
    form = next(iter(value), "")
    if len(value) != 1 or form not in _FORMS:
        raise value_error("is not a distribution of tokens", choices(str(form), _FORMS) if form else _ALLOWED)
    given = value[form]
    match form:
        case "lognormal" if isinstance(given, Mapping) and set(given) == {"median", "p95"}:
            median, p95 = _number(given["median"]), _number(given["p95"])
            if p95 >= median:
                return LogNormal(median, p95)
        case "uniform" if isinstance(given, list | tuple) and len(given) == 2:
            low, high = map(_number, given)
            if high >= low:
                return Uniform(low, high)
        case "empirical" if isinstance(given, list | tuple) and given:
            return Empirical(tuple(map(_number, given)))
    raise value_error("is not a distribution of tokens", _ALLOWED)


def show_tokens(value: Latency) -> Any:
    """What a person would write for it."""
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
    """One request as it comes: when (seconds), how long, and of whom (empty: by `luck`, in [0, 1))."""

    at: float
    prompt: int
    output: int
    luck: float
    adapter: str = ""


class Traffic(ScenarioModel):
    """Requests for adapters that exist and have been Running once, through the gateway, to what EndpointSlices say."""

    rate: Rate | None = None
    """How many come in a time, at random (Poisson), over all adapters by their popularity."""
    trace: Requests | None = None
    """Or: a CSV or Parquet file of requests, shaped as the public Azure LLM inference traces; see docs/traces.md."""
    prompt_tokens: Tokens = Constant(256.0)
    """Length of prompts."""
    output_tokens: Tokens = Constant(64.0)
    """Length of answers."""
    start: Duration = Field(default=0.0, alias="from")
    """When it begins; the trace's second 0."""
    until: Duration | None = None
    """When it ends; with the run if absent."""
    timeout: PositiveDuration = 60.0
    """How long a user waits for an answer."""
    balance: Literal["least-request", "round-robin", "random"] = "least-request"
    """Which of an adapter's endpoints the gateway takes: of two drawn the one with fewer requests under way, in turn,
    or any."""
    endpoints_lag: Duration = 0.2
    """From a change of EndpointSlices until the gateway routes by it."""

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

    def asked(
        self, end: float, arrivals: np.random.Generator, lengths: np.random.Generator
    ) -> Iterator[GeneratedRequest]:
        """The requests of a run that ends then, in order. One draw of each kind for each, whoever is asked."""
        last = end if self.until is None else min(self.until, end)
        for number, at in enumerate(self._times(arrivals)):
            if at > last:
                return
            luck = float(lengths.random())
            if self.trace is not None:
                adapter = self.trace.adapters[number] if self.trace.adapters else ""
                yield GeneratedRequest(at, self.trace.prompts[number], self.trace.outputs[number], luck, adapter)
            else:
                prompt, output = (round(each.draw(lengths)) for each in (self.prompt_tokens, self.output_tokens))
                yield GeneratedRequest(at, max(prompt, 1), max(output, 1), luck)

    def _times(self, rng: np.random.Generator) -> Iterator[float]:
        if self.trace is not None:
            yield from (self.start + moment for moment in self.trace.times)
            return
        assert self.rate is not None
        moment = self.start
        while True:
            moment += float(rng.exponential(1 / self.rate))
            yield moment


def _is_default(traffic: Traffic, name: str) -> bool:
    """A resolved scenario writes defaults out."""
    return bool(getattr(traffic, name) == Traffic.model_fields[name].default)


class Zipf(ScenarioModel):
    """Heavy-tailed, as adapters' popularity is: the i-th is asked for in proportion to i^-zipf."""

    zipf: float = Field(strict=True, ge=0, le=10, allow_inf_nan=False)
    """The exponent; 0 is even."""


def _form(value: Any) -> str:
    return "zipf" if isinstance(value, Mapping | Zipf) else "number"


Popularity = Annotated[
    Annotated[float, Field(strict=True, gt=0, le=1e9, allow_inf_nan=False), Tag("number")]
    | Annotated[Zipf, Tag("zipf")],
    Discriminator(_form),
]


def weight(popularity: float | Zipf, index: int) -> float:
    """How often adapter number `index` (from 0) is asked for, against others."""
    return float((index + 1) ** -popularity.zipf) if isinstance(popularity, Zipf) else float(popularity)
