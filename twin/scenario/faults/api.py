"""Faults of the Kubernetes API server, as the controller meets them; the cluster's own parts are spared."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from twin.scenario.faults.window import InstantFault, LastingFault
from twin.scenario.sections.base_model import Flag, Probability
from twin.scenario.units import PositiveDuration

Verb = Literal["get", "list", "watch", "create", "patch", "apply", "delete"]
WRITES: tuple[Verb, ...] = ("create", "patch", "apply", "delete")
Plural = Annotated[str, Field(pattern=r"^[a-z]+$")]


class ApiFault(LastingFault):
    """One that answers some of the controller's requests with an error."""

    on: ClassVar[str] = "Kubernetes API"

    resources: tuple[Plural, ...] = ()
    """Only requests about these, by plural: modeladapters, endpointslices, leases; about all if absent."""

    def asked(self) -> frozenset[str]:
        """The verbs that are hit; none stands for all."""
        return frozenset(getattr(self, "verbs", ()))


class ApiConflict(ApiFault):
    """Writes of the controller are answered with 409 and not done.

    As if somebody else had written in between: nothing is stored, and the writer has to read again. Writes of Leases
    and Events are hit too, unless `resources` says otherwise.
    """

    kind: Literal["api-conflict"]
    probability: Probability = 0.1
    """That a write is hit."""

    def asked(self) -> frozenset[str]:
        return frozenset(WRITES)


class ApiThrottle(ApiFault):
    """Requests of the controller are answered with 429 and a Retry-After, as by priority and fairness.

    Nothing is done. The operator waits at least `retry_after` before it tries that key again, or lists again. With two
    replicas the Lease is throttled too, and the lead may be lost: name `resources` to spare it.
    """

    kind: Literal["api-throttle"]
    probability: Probability = 0.5
    """That a request is hit."""
    verbs: tuple[Verb, ...] = ()
    """Only these; all if absent. A watch is hit when it is opened."""
    retry_after: PositiveDuration = 1.0
    """What the answer asks to wait."""


class ApiError(ApiFault):
    """Requests of the controller are answered with a server's error.

    Reads fail, watches that are opened fail, open ones go on. With `after: true` a write is done and its answer is
    lost: whoever cannot live with an object that is already there, or already changed, is found out.
    """

    kind: Literal["api-error"]
    probability: Probability = 0.5
    """That a request is hit."""
    verbs: tuple[Verb, ...] = ()
    """Only these; all if absent. A watch is hit when it is opened."""
    status: Annotated[int, Field(strict=True, ge=500, le=599)] = 503
    """HTTP status."""
    after: Flag = False
    """Whether a write is done all the same, so that only its answer is lost."""


class ApiSlow(LastingFault):
    """Requests of the controller and their answers, and news of watches, take longer.

    Each request takes `factor` times `cluster.api.latency`, both ways, and so do the news of watches.
    """

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["api-slow"]
    factor: float = Field(default=20.0, strict=True, ge=1, le=10_000, allow_inf_nan=False)
    """How many times as long."""


class WatchDrop(LastingFault):
    """The controller's watches break off, and none can be opened while it lasts; requests are answered as ever.

    What happens meanwhile is not lost: a watch that is opened again goes on from the version that was seen last.
    """

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["watch-drop"]


class WatchExpired(InstantFault):
    """The controller's watches end with 410, their version is too old: it has to list again.

    As after a compaction of etcd: what was missed is learnt from the new list, deletions too. A watch that was broken
    off before (`watch-drop`) cannot go on from where it was either.
    """

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["watch-expired"]


class StaleReads(LastingFault):
    """Lists and watches come from a cache that lags behind; a get shows the present, and so do answers to writes.

    The lag of an API server's watch cache behind etcd. A write with a resourceVersion from the past is refused, which
    is what keeps an operator honest that decides on old news. When it ends, the cache catches up at once.
    """

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["stale-reads"]
    lag: PositiveDuration = 5.0
    """How far behind."""
