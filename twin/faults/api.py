"""The Kubernetes API server, as the controller meets it."""

from collections.abc import Callable

from twin.faults.context import Acting, Process, Undo
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


def answers(acting: Acting, fault: ApiFault) -> Process:
    """Requests are answered with an error."""
    rule = _rule(acting, fault)
    return _lasting(acting, fault, lambda: acting.stage.api_faults.add(acting.number, rule), rule.retry_after or 0.0)


def _rule(acting: Acting, fault: ApiFault) -> ApiRule:
    rng = acting.stage.streams.get(f"fault/{acting.number}/{fault.kind}")
    verbs, resources = fault.asked(), frozenset(fault.resources)
    match fault:
        case ApiConflict():
            return ApiRule(409, fault.probability, rng, verbs, resources)
        case ApiThrottle():
            return ApiRule(429, fault.probability, rng, verbs, resources, retry_after=fault.retry_after)
        case ApiError():
            return ApiRule(fault.status, fault.probability, rng, verbs, resources, after=fault.after)
    raise TypeError(f"no rule for {type(fault).__name__}")


def slow(acting: Acting, fault: ApiSlow) -> Process:
    """Requests take longer."""
    faults = acting.stage.api_faults
    longer = acting.stage.api_latency * (fault.factor - 1)
    return _lasting(acting, fault, lambda: faults.slow_down(acting.number, fault.factor), longer)


def watch_drop(acting: Acting, fault: WatchDrop) -> Process:
    """Watches break off and none can be opened."""
    return _lasting(acting, fault, lambda: acting.stage.api_faults.cut_watches(acting.number))


def watch_expired(acting: Acting, fault: WatchExpired) -> Process:
    """Watches end with 410, each time."""
    times = acting.stage.streams.get(f"fault/{acting.number}/{fault.kind}/times")
    for moment in fault.strikes(acting.stage.duration, times):
        yield acting.until(moment)
        acting.stage.api_faults.expire_watches()
        acting.tell("strike")


def stale_reads(acting: Acting, fault: StaleReads) -> Process:
    """Lists and watches are behind."""
    faults = acting.stage.api_faults
    faults.remember()
    until = acting.stage.duration if fault.until is None else fault.until
    return _lasting(acting, fault, lambda: faults.lag(acting.number, fault.lag, until), fault.lag)


def _lasting(
    acting: Acting,
    fault: ApiFault | ApiSlow | WatchDrop | StaleReads,
    begin: Callable[[], Undo],
    seconds: float = 0.0,
) -> Process:
    return acting.lasting(fault, lambda: ((), begin()), seconds=seconds)
