"""Faults of the Kubernetes API server, as the controller meets them; the cluster's own parts are spared."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from twin.scenario.faults.timing import Moment, Spell
from twin.scenario.quantities import PositiveDuration
from twin.scenario.section import Flag, Probability

Verb = Literal["get", "list", "watch", "create", "patch", "apply", "delete"]
WRITES: tuple[Verb, ...] = ("create", "patch", "apply", "delete")
Plural = Annotated[str, Field(pattern=r"^[a-z]+$")]


class ApiSpell(Spell):
    """One that answers some of the controller's requests with an error."""

    on: ClassVar[str] = "Kubernetes API"

    resources: tuple[Plural, ...] = ()
    """Only requests about these, by plural: modeladapters, endpointslices, leases; about all if absent."""

    def asked(self) -> frozenset[str]:
        """The verbs that are hit; none stands for all."""
        return frozenset(getattr(self, "verbs", ()))


class ApiConflict(ApiSpell):
    """Writes of the controller are answered with 409 and not done."""

    kind: Literal["api-conflict"]
    probability: Probability = 0.1
    """That a write is hit."""

    def asked(self) -> frozenset[str]:
        return frozenset(WRITES)


class ApiThrottle(ApiSpell):
    """Requests of the controller are answered with 429 and a Retry-After, as by priority and fairness."""

    kind: Literal["api-throttle"]
    probability: Probability = 0.5
    """That a request is hit."""
    verbs: tuple[Verb, ...] = ()
    """Only these; all if absent. A watch is hit when it is opened."""
    retry_after: PositiveDuration = 1.0
    """What the answer asks to wait."""


class ApiError(ApiSpell):
    """Requests of the controller are answered with a server's error."""

    kind: Literal["api-error"]
    probability: Probability = 0.5
    """That a request is hit."""
    verbs: tuple[Verb, ...] = ()
    """Only these; all if absent. A watch is hit when it is opened."""
    status: Annotated[int, Field(strict=True, ge=500, le=599)] = 503
    """HTTP status."""
    after: Flag = False
    """Whether a write is done all the same, so that only its answer is lost."""


class ApiSlow(Spell):
    """Requests of the controller and their answers, and news of watches, take longer."""

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["api-slow"]
    factor: float = Field(default=20.0, strict=True, ge=1, le=10_000, allow_inf_nan=False)
    """How many times as long."""


class WatchDrop(Spell):
    """The controller's watches break off, and none can be opened while it lasts; requests are answered as ever."""

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["watch-drop"]


class WatchExpired(Moment):
    """The controller's watches end with 410, their version is too old: it has to list again."""

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["watch-expired"]


class StaleReads(Spell):
    """Lists and watches come from a cache that lags behind; a get shows the present, and so do answers to writes."""

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["stale-reads"]
    lag: PositiveDuration = 5.0
    """How far behind."""
