"""Faults of the Kubernetes API server, as seen by the controller."""

from collections.abc import Callable, Sequence

from twin.faults.context import ActiveFault, Process, Undo
from twin.scenario.faults import (
    ApiConflict,
    ApiError,
    ApiFault,
    ApiForbidden,
    ApiInvalid,
    ApiSlow,
    ApiThrottle,
    ConflictStorm,
    StaleReads,
    VersionRollback,
    WatchDrop,
    WatchExpired,
    WatchFreeze,
)
from twin.world.api_faults import ApiRule
from twin.world.api_refusals import ByAdmission, ByQuota, ByRbac, ByValidation, Refusal

RESOURCES = {
    "modeladapters": "modeladapters.model.aibrix.ai",
    "pods": "pods",
    "endpointslices": "endpointslices.discovery.k8s.io",
}
STORM_ANNOTATION = "example.com/changed"


def respond(active: ActiveFault, fault: ApiFault) -> Process:
    """Answer requests with an error."""
    rule = _rule(active, fault)

    def begin() -> tuple[Sequence[str], Undo]:
        return fault.resources, active.context.api_faults.add(active.number, rule)

    return active.lasting(fault, begin, seconds=rule.retry_after or 0.0)


def _rule(active: ActiveFault, fault: ApiFault) -> ApiRule:
    rng = active.context.streams.get(f"fault/{active.number}/{fault.kind}")
    verbs, resources = fault.affected_verbs(), frozenset(fault.resources)
    match fault:
        case ApiConflict():
            return ApiRule(409, fault.probability, rng, verbs, resources)
        case ApiThrottle():
            return ApiRule(429, fault.probability, rng, verbs, resources, retry_after=fault.retry_after)
        case ApiForbidden():
            return ApiRule(403, fault.probability, rng, verbs, resources, refusal=_forbids(active, fault))
        case ApiInvalid():
            refusal = ByValidation(fault.field, fault.message)
            return ApiRule(422, fault.probability, rng, verbs, resources, refusal=refusal)
        case ApiError():
            return ApiRule(fault.status, fault.probability, rng, verbs, resources, after=fault.after)
    raise TypeError(f"no rule for {type(fault).__name__}")


def _forbids(active: ActiveFault, fault: ApiForbidden) -> Refusal:
    match fault.because:
        case "rbac":
            return ByRbac()
        case "quota":
            return ByQuota(active.context.store)
    return ByAdmission(fault.message)


def conflict_storm(active: ActiveFault, fault: ConflictStorm) -> Process:
    """Change all objects of a resource again and again."""
    window, store = fault.window(active.context.duration), active.context.store
    resource = RESOURCES[fault.resource]
    yield active.until(window.start)
    active.record("begin", [fault.resource])
    count = 0
    while active.context.env.now < window.end:
        count += 1
        for item in store.list(resource).items:
            meta = item["metadata"]
            body = {"metadata": {"annotations": {STORM_ANNOTATION: str(count)}}}
            store.patch(resource, meta.get("namespace", ""), meta["name"], body, manager="another-controller")
        yield active.until(min(active.context.env.now + fault.every, window.end))
    active.record("end", [fault.resource])


def watch_freeze(active: ActiveFault, fault: WatchFreeze) -> Process:
    """Keep all watches silent."""
    until = fault.window(active.context.duration).end
    return _lasting(active, fault, lambda: active.context.api_faults.freeze_watches(active.number, until))


def version_rollback(active: ActiveFault, fault: VersionRollback) -> Process:
    """Number all objects again, each time."""
    times = active.context.streams.get(f"fault/{active.number}/{fault.kind}/times")
    for time in fault.strikes(active.context.duration, times):
        yield active.until(time)
        active.context.api_faults.roll_back_versions()
        active.record("strike")


def slow(active: ActiveFault, fault: ApiSlow) -> Process:
    """Make requests slower."""
    faults = active.context.api_faults
    added = active.context.api_latency * (fault.factor - 1)
    return _lasting(active, fault, lambda: faults.slow_down(active.number, fault.factor), added)


def watch_drop(active: ActiveFault, fault: WatchDrop) -> Process:
    """Close all watches and refuse new ones."""
    return _lasting(active, fault, lambda: active.context.api_faults.break_watches(active.number))


def watch_expired(active: ActiveFault, fault: WatchExpired) -> Process:
    """End all watches with 410, each time."""
    times = active.context.streams.get(f"fault/{active.number}/{fault.kind}/times")
    for time in fault.strikes(active.context.duration, times):
        yield active.until(time)
        active.context.api_faults.expire_watches()
        active.record("strike")


def stale_reads(active: ActiveFault, fault: StaleReads) -> Process:
    """Make lists and watches lag."""
    faults = active.context.api_faults
    faults.keep_history()
    until = active.context.duration if fault.until is None else fault.until
    return _lasting(active, fault, lambda: faults.lag(active.number, fault.lag, until), fault.lag)


def _lasting(
    active: ActiveFault,
    fault: ApiSlow | WatchDrop | WatchFreeze | StaleReads,
    begin: Callable[[], Undo],
    seconds: float = 0.0,
) -> Process:
    return active.lasting(fault, lambda: ((), begin()), seconds=seconds)
