"""The Kubernetes API server, as the controller meets it."""

from collections.abc import Callable

from twin.faults.context import ActiveFault, Process, Undo
from twin.scenario.faults import (
    ApiConflict,
    ApiError,
    ApiFault,
    ApiSlow,
    ApiThrottle,
    StaleReads,
    WatchDrop,
    WatchExpired,
)
from twin.world.api_faults import ApiRule


def answers(active: ActiveFault, fault: ApiFault) -> Process:
    """Requests are answered with an error."""
    rule = _rule(active, fault)
    return _lasting(active, fault, lambda: active.stage.api_faults.add(active.number, rule), rule.retry_after or 0.0)


def _rule(active: ActiveFault, fault: ApiFault) -> ApiRule:
    rng = active.stage.streams.get(f"fault/{active.number}/{fault.kind}")
    verbs, resources = fault.affected_verbs(), frozenset(fault.resources)
    match fault:
        case ApiConflict():
            return ApiRule(409, fault.probability, rng, verbs, resources)
        case ApiThrottle():
            return ApiRule(429, fault.probability, rng, verbs, resources, retry_after=fault.retry_after)
        case ApiError():
            return ApiRule(fault.status, fault.probability, rng, verbs, resources, after=fault.after)
    raise TypeError(f"no rule for {type(fault).__name__}")


def slow(active: ActiveFault, fault: ApiSlow) -> Process:
    """Requests take longer."""
    faults = active.stage.api_faults
    longer = active.stage.api_latency * (fault.factor - 1)
    return _lasting(active, fault, lambda: faults.slow_down(active.number, fault.factor), longer)


def watch_drop(active: ActiveFault, fault: WatchDrop) -> Process:
    """Watches break off and none can be opened."""
    return _lasting(active, fault, lambda: active.stage.api_faults.break_watches(active.number))


def watch_expired(active: ActiveFault, fault: WatchExpired) -> Process:
    """Watches end with 410, each time."""
    times = active.stage.streams.get(f"fault/{active.number}/{fault.kind}/times")
    for moment in fault.strikes(active.stage.duration, times):
        yield active.until(moment)
        active.stage.api_faults.expire_watches()
        active.tell("strike")


def stale_reads(active: ActiveFault, fault: StaleReads) -> Process:
    """Lists and watches are behind."""
    faults = active.stage.api_faults
    faults.keep_history()
    until = active.stage.duration if fault.until is None else fault.until
    return _lasting(active, fault, lambda: faults.lag(active.number, fault.lag, until), fault.lag)


def _lasting(
    active: ActiveFault,
    fault: ApiFault | ApiSlow | WatchDrop | StaleReads,
    begin: Callable[[], Undo],
    seconds: float = 0.0,
) -> Process:
    return active.lasting(fault, lambda: ((), begin()), seconds=seconds)
