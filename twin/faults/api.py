"""Faults of the Kubernetes API server, as seen by the controller."""

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


def respond(active: ActiveFault, fault: ApiFault) -> Process:
    """Answer requests with an error."""
    rule = _rule(active, fault)
    return _lasting(active, fault, lambda: active.context.api_faults.add(active.number, rule), rule.retry_after or 0.0)


def _rule(active: ActiveFault, fault: ApiFault) -> ApiRule:
    rng = active.context.streams.get(f"fault/{active.number}/{fault.kind}")
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
    fault: ApiFault | ApiSlow | WatchDrop | StaleReads,
    begin: Callable[[], Undo],
    seconds: float = 0.0,
) -> Process:
    return active.lasting(fault, lambda: ((), begin()), seconds=seconds)
