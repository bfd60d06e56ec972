"""Faults of the Kubernetes API server. Only requests of the controller are affected, not the cluster's own."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from twin.scenario.faults.window import InstantFault, LastingFault
from twin.scenario.sections.base_model import Flag, Probability
from twin.scenario.units import PositiveDuration, value_error

Verb = Literal["get", "list", "watch", "create", "patch", "apply", "delete"]
WRITES: tuple[Verb, ...] = ("create", "patch", "apply", "delete")
ShortText = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
Plural = Annotated[str, Field(pattern=r"^[a-z]+$")]


class ApiFault(LastingFault):
    """Base of the faults that answer some of the controller's requests with an error."""

    on: ClassVar[str] = "Kubernetes API"

    resources: tuple[Plural, ...] = ()
    """Only requests for these resources, by plural name (modeladapters, endpointslices, leases); all if absent."""

    def affected_verbs(self) -> frozenset[str]:
        """Return the affected verbs; an empty set stands for all."""
        return frozenset(getattr(self, "verbs", ()))


class ApiConflict(ApiFault):
    """Writes of the controller fail with 409 Conflict.

    As if another client had changed the object in between: nothing is stored, and the controller has to read the
    object again. Writes of Leases and Events are affected too, unless `resources` restricts the fault.
    """

    kind: Literal["api-conflict"]
    probability: Probability = 0.1
    """Probability that a write is affected."""

    def affected_verbs(self) -> frozenset[str]:
        return frozenset(WRITES)


class ApiThrottle(ApiFault):
    """Requests of the controller fail with 429 and a Retry-After header, as with API priority and fairness.

    The request is not executed. The controller waits at least `retry_after` before it retries that key or lists again.
    With two replicas the Lease is throttled too, and leadership may be lost; set `resources` to exclude it.
    """

    kind: Literal["api-throttle"]
    probability: Probability = 0.5
    """Probability that a request is affected."""
    verbs: tuple[Verb, ...] = ()
    """Only these verbs; all if absent. A watch is affected when it is opened."""
    retry_after: PositiveDuration = 1.0
    """Value of the Retry-After header."""


class ApiError(ApiFault):
    """Requests of the controller fail with a server error.

    Reads fail, and so do watches that are opened; open watches continue. With `after: true` the write is executed and
    only its response is replaced by the error, so the controller must cope with an object that already exists or has
    already changed.
    """

    kind: Literal["api-error"]
    probability: Probability = 0.5
    """Probability that a request is affected."""
    verbs: tuple[Verb, ...] = ()
    """Only these verbs; all if absent. A watch is affected when it is opened."""
    status: Annotated[int, Field(strict=True, ge=500, le=599)] = 503
    """HTTP status of the response."""
    after: Flag = False
    """Execute the write nevertheless, so that only its response is an error."""


class ApiForbidden(ApiFault):
    """Requests of the controller are refused with 403 Forbidden, in the words of a real server.

    `because` selects who refuses: RBAC (a missing rule), a ResourceQuota (only creates are affected unless `verbs` says
    otherwise), or an admission webhook with a message of its own. Nothing is stored. The operator reports the refusal
    and tries again, because an administrator can lift it at any time.
    """

    kind: Literal["api-forbidden"]
    because: Literal["rbac", "quota", "admission"] = "rbac"
    """Part of the API server that refuses the request."""
    message: ShortText = "this change is not allowed by policy"
    """Message of the admission webhook; used with `because: admission`."""
    probability: Probability = 1.0
    """Probability that a request is affected."""
    verbs: tuple[Verb, ...] = ()
    """Only these verbs; if absent, all with `rbac`, creates with `quota`, and writes with `admission`."""

    @model_validator(mode="after")
    def _is_possible(self) -> "ApiForbidden":
        reads = [verb for verb in self.verbs if verb not in WRITES]
        if self.because != "rbac" and reads:
            raise value_error(f"a {self.because} does not refuse reads", f"allowed: {', '.join(WRITES)}", ("verbs",))
        if self.because != "admission" and "message" in self.model_fields_set:
            raise value_error("only a webhook has a message", "allowed: with `because: admission`", ("message",))
        return self

    def affected_verbs(self) -> frozenset[str]:
        default: dict[str, tuple[Verb, ...]] = {"rbac": (), "quota": ("create",), "admission": WRITES}
        return frozenset(self.verbs or default[self.because])


class ApiInvalid(ApiFault):
    """Writes of the controller are refused with 422 Invalid, as by a server with stricter validation.

    Such as a newer CRD of another vendor, or a ValidatingAdmissionPolicy. The same write is refused as long as the
    fault lasts. Nothing is stored.
    """

    kind: Literal["api-invalid"]
    field: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9.\[\]/_-]{0,99}$")] = "spec"
    """Field that the server complains about."""
    message: ShortText = "the value is not allowed"
    """Complaint about the field."""
    probability: Probability = 1.0
    """Probability that a write is affected."""

    def affected_verbs(self) -> frozenset[str]:
        return frozenset(WRITES)


class ConflictStorm(LastingFault):
    """Another client keeps changing the objects that the controller writes.

    An annotation of every object changes again and again, as when two controllers fight: each change is a watch event,
    and a write with the version before it fails with 409. Unlike `api-conflict`, only writes that carry a version are
    refused.
    """

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["conflict-storm"]
    resource: Literal["modeladapters", "pods", "endpointslices"] = "modeladapters"
    """Resource whose objects change."""
    every: PositiveDuration = 0.5
    """Time between two changes of each object."""


class ApiSlow(LastingFault):
    """Requests of the controller and watch events take longer.

    Each request takes `factor` times `cluster.api.latency`, and watch events are delayed by the same factor.
    """

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["api-slow"]
    factor: float = Field(default=20.0, strict=True, ge=1, le=10_000, allow_inf_nan=False)
    """Multiplier of the latency."""


class WatchDrop(LastingFault):
    """The controller's watches are closed, and no watch can be opened; other requests work.

    No change is lost: a watch that is opened afterwards resumes from the last resourceVersion.
    """

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["watch-drop"]


class WatchFreeze(LastingFault):
    """The controller's watches stay open and are silent; lists and all other requests work.

    As with a connection that a proxy or a firewall has dropped without closing it: no error, no event, no bookmark.
    Watches that are opened during the fault are silent too. When the fault ends, the events of that time arrive.
    """

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["watch-freeze"]


class VersionRollback(InstantFault):
    """Versions of all objects go back, as after etcd has been restored into a new cluster.

    The objects are unchanged, but get new and lower resourceVersions; watches break. What the controller has cached is
    newer than everything that the server has, so that it has to forget its versions and list again.
    """

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["version-rollback"]


class WatchExpired(InstantFault):
    """The controller's watches end with 410 Gone (resourceVersion too old), so that it has to list again.

    As after a compaction of etcd: the controller learns what it missed, including deletions, from the new list. A
    watch that was closed before (`watch-drop`) cannot resume either.
    """

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["watch-expired"]


class StaleReads(LastingFault):
    """Lists and watches are served from a cache that lags behind; gets and the responses to writes are current.

    Models the lag of an API server's watch cache behind etcd. A write with an outdated resourceVersion is refused,
    which protects against decisions on old state. When the fault ends, the cache catches up at once.
    """

    on: ClassVar[str] = "Kubernetes API"

    kind: Literal["stale-reads"]
    lag: PositiveDuration = 5.0
    """Lag of the cache."""
