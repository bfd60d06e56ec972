"""The faults of a scenario: one class a kind.

A class says what may be asked for; `twin/faults.py` does it. Those that last (`Spell`) run from `start` to `until`;
those of a moment (`Moment`) strike `at` a time, or again and again. A fault's draws come from its own stream.
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
from pydantic import Field, model_validator

from fake_vllm.faults import FaultRule
from twin.scenario.distributions import Distribution
from twin.scenario.quantities import Duration, PositiveDuration, fault, show_duration
from twin.scenario.section import Count, Flag, Probability, Section, Whole
from twin.scenario.targets import ALL_PODS, Nodes, Pods

Caller = Literal["controller", "probes"]
AdapterGlob = Annotated[str, Field(min_length=1)]

LATER = (
    "pod-stuck-terminating", "node-drain", "partition", "latency", "registry-down", "registry-slow",
    "artifact-missing", "artifact-forbidden", "artifact-corrupt", "api-throttle", "api-error", "api-slow",
    "watch-drop", "watch-expired", "stale-reads", "leader-loss", "clock-skew",
)  # fmt: skip
"""Kinds of the full catalogue that this version does not have yet."""


class Spell(Section):
    """A fault that lasts."""

    on: ClassVar[str] = "engines"

    kind: str
    start: Duration = Field(default=0.0, alias="from")
    """When it begins."""
    until: Duration | None = None
    """When it ends; with the run if absent."""

    @model_validator(mode="after")
    def _ordered(self) -> "Spell":
        if self.until is not None and self.until <= self.start:
            raise fault("ends before it begins", f"allowed: later than {show_duration(self.start)}", ("until",))
        return self


class EngineSpell(Spell):
    """A fault of engines, or of the way to them, that lasts."""

    pods: Pods = ALL_PODS
    """Whose engines."""
    probability: Probability = 1.0
    """That a request is hit."""
    hits: Annotated[tuple[Caller, ...], Field(min_length=1)] = ("controller",)
    """Whose requests: the controller's, the kubelet's probes', or both."""

    def rule(self) -> FaultRule:
        """The fault in the words of the engines that meet it."""
        names = ("hits", "probability", "adapters", "factor", "status", "body", "message", "after")
        fields = type(self).model_fields
        return FaultRule(self.kind, **{name: getattr(self, name) for name in names if name in fields})


class RequestSpell(EngineSpell):
    """One that can tell what a request is about."""

    adapters: tuple[AdapterGlob, ...] = ()
    """Only loads and unloads of these adapters; `*` as in a shell. All requests if absent."""


class ConnectionRefused(EngineSpell):
    """Nothing seems to listen: connections are refused."""

    kind: Literal["connection-refused"]


class ConnectionReset(RequestSpell):
    """The connection breaks before an answer has come."""

    kind: Literal["connection-reset"]
    after: Flag = False
    """Whether the engine has done what was asked all the same."""


class Timeout(RequestSpell):
    """Requests are accepted and never answered."""

    kind: Literal["timeout"]


class Slow(RequestSpell):
    """Everything takes longer."""

    kind: Literal["slow"]
    factor: float = Field(default=10.0, strict=True, ge=1, le=10_000, allow_inf_nan=False)
    """How many times as long."""


class HttpError(RequestSpell):
    """Requests are answered with an HTTP error."""

    kind: Literal["http-error"]
    status: Annotated[int, Field(strict=True, ge=400, le=599)] = 500
    """HTTP status."""
    body: str = ""
    """Body of the answer; an error in vLLM's envelope if empty."""
    message: str = ""
    """The envelope's message, where no body is given."""


class Unauthorized(EngineSpell):
    """The key is refused with 401."""

    kind: Literal["unauthorized"]


class InvalidAdapter(RequestSpell):
    """Loads fail as with a broken artifact."""

    kind: Literal["invalid-adapter"]
    message: str = ""
    """The engine's own words, `{adapter}` is the name; those of broken safetensors if empty."""


class ReadinessFlap(Spell):
    """Pods turn unready and ready again, in turns; their engines work on."""

    on: ClassVar[str] = "pods"

    kind: Literal["readiness-flap"]
    pods: Pods
    """Which pods flap."""
    up: PositiveDuration = 8.0
    """How long they are ready."""
    down: PositiveDuration = 4.0
    """How long they are not; each turn begins with this."""


class NodeDown(Spell):
    """Nodes lose power: kubelet and engines are gone, and nobody says so."""

    on: ClassVar[str] = "nodes"

    kind: Literal["node-down"]
    nodes: Nodes
    """Which nodes."""


class ApiConflict(Spell):
    """Writes of the controller are answered with 409 and not done."""

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["api-conflict"]
    probability: Probability = 0.1
    """That a write is hit."""


class Moment(Section):
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
    def _timed(self) -> "Moment":
        if (self.at is None) == (self.every is None):
            both = self.at is not None
            raise fault("has both `at` and `every`" if both else "has no time", "allowed: one of `at` and `every`")
        given = [name for name in ("start", "until") if name in self.model_fields_set and getattr(self, name)]
        if self.at is not None and given:
            raise fault("`from` and `until` go with `every`", "allowed: `at` alone, or `every` with them")
        if self.until is not None and self.until <= self.start:
            raise fault("ends before it begins", f"allowed: later than {show_duration(self.start)}", ("until",))
        if self.every is not None and self.every.upper() <= 0:
            raise fault("takes no time", "allowed: a time above zero", ("every",))
        return self

    def strikes(self, end: float, rng: np.random.Generator) -> Iterator[float]:
        """Seconds at which it strikes, before the run's `end`. Draws only for `every`."""
        if self.every is None:
            if self.at is not None and self.at <= end:
                yield self.at
            return
        last = end if self.until is None else min(self.until, end)
        moment = self.start + self.every.draw(rng)
        while moment <= last:
            yield moment
            moment += self.every.draw(rng)


class EngineRestart(Moment):
    """Engine containers restart in place: the pods stay, their adapters are gone."""

    on: ClassVar[str] = "engines"

    kind: Literal["engine-restart"]
    pods: Pods
    """Whose engines."""


class PodKill(Moment):
    """Pods are gone at once; their Deployment makes others."""

    kind: Literal["pod-kill"]
    pods: Pods
    """Which pods."""


class Rollout(Moment):
    """A Deployment is rolled out anew, as by `kubectl rollout restart`."""

    kind: Literal["rollout"]
    deployment: Annotated[str, Field(min_length=1)]
    """Its name."""


class ControllerCrash(Section):
    """A controller replica dies without a word, at a time or beside one of its writes, and starts again."""

    on: ClassVar[str] = "controller"

    kind: Literal["controller-crash"]
    at: Duration | None = None
    """When."""
    before_write: Count | None = None
    """Or: just before it would send its Nth write to the API server."""
    after_write: Count | None = None
    """Or: when its Nth write is stored and the answer has not come yet."""
    restart_after: Duration = 5.0
    """How long it is gone."""
    replica: Whole | None = None
    """Which one, from 0; the one that leads if absent."""

    @model_validator(mode="after")
    def _timed(self) -> "ControllerCrash":
        given = [n for n in ("at", "before_write", "after_write") if getattr(self, n) is not None]
        if len(given) != 1:
            said = f"has both {' and '.join(given)}" if given else "has no time"
            raise fault(said, "allowed: one of at, before_write, after_write")
        return self


Fault = Annotated[
    ConnectionRefused
    | ConnectionReset
    | Timeout
    | Slow
    | HttpError
    | Unauthorized
    | InvalidAdapter
    | EngineRestart
    | ReadinessFlap
    | PodKill
    | Rollout
    | NodeDown
    | ApiConflict
    | ControllerCrash,
    Field(discriminator="kind"),
]
"""Any of them; told apart by `kind`."""


def _kinds() -> dict[str, type[Any]]:
    union = get_args(get_args(Fault)[0])
    return {get_args(member.model_fields["kind"].annotation)[0]: member for member in union}


FAULTS: dict[str, type[Any]] = _kinds()
"""Every kind and its class, in the order of the catalogue."""
