"""Faults of the controller's replicas: crashes, loss of the lead, clock skew."""

from collections.abc import Callable

import simpy

from controller.runtime.leaderelection import LEASE_NAME
from twin.apiserver import Change
from twin.faults.context import ActiveFault, Process, Undo
from twin.scenario.faults import ClockSkew, ControllerCrash, LeaderLoss
from twin.world.controller_replica import Replica, leader

LEASES = "leases.coordination.k8s.io"
LONGEST_LOSS = 120.0
"""Seconds after which a replica gets responses about Leases again if no other replica takes over."""


def crash(active: ActiveFault, fault: ControllerCrash) -> None:
    """Kill a replica once, at a time or at its Nth write."""
    context = active.context

    def kill(replica: Replica, detail: str) -> None:
        active.record("strike", [replica.name], detail=detail)
        replica.crash()
        context.restart(replica, fault.restart_after)

    if fault.at is not None:
        context.env.process(_crash_at_time(active, fault, kill))
        return
    when = "before" if fault.before_write is not None else "after"
    nth = fault.before_write or fault.after_write
    crashed: list[str] = []

    def on_write(replica: Replica, time: str) -> None:
        if time == when and replica.writes == nth and not crashed:
            crashed.append(replica.name)
            kill(replica, f"{when} write {nth}")

    for index, replica in enumerate(context.replicas):
        if fault.replica is None or fault.replica == index:
            replica.write_watchers.append(on_write)


def _crash_at_time(active: ActiveFault, fault: ControllerCrash, kill: Callable[[Replica, str], None]) -> Process:
    assert fault.at is not None
    replicas = active.context.replicas
    yield active.until(fault.at)
    replica = leader(replicas) if fault.replica is None else replicas[fault.replica]
    if replica is not None and replica.alive:
        kill(replica, "")


def leader_loss(active: ActiveFault, fault: LeaderLoss) -> Process:
    """Drop responses about the Lease for the leader until another replica holds it."""
    context = active.context
    waiting: dict[str, simpy.Event] = {}

    def changed(change: Change) -> None:
        lease = change.object
        holder = lease["spec"].get("holderIdentity", "")
        for loser in [name for name in waiting if lease["metadata"]["name"] == LEASE_NAME and holder not in ("", name)]:
            waiting.pop(loser).succeed()

    context.store.subscribe(changed, LEASES)
    for time in fault.strikes(context.duration, context.streams.get(f"fault/{active.number}/{fault.kind}/times")):
        yield active.until(time)
        replica = leader(context.replicas)
        if replica is None or not replica.leading:
            continue
        end = context.api_faults.drop_lease_responses(replica.name)
        active.record("strike", [replica.name])
        taken_over = waiting[replica.name] = context.env.event()
        yield taken_over | context.env.timeout(LONGEST_LOSS)
        waiting.pop(replica.name, None)
        end()


def clock_skew(active: ActiveFault, fault: ClockSkew) -> Process:
    """Shift the clocks of replicas, and shift them back at the end."""
    replicas = active.context.replicas
    targets = list(replicas) if fault.replica is None else [replicas[fault.replica]]

    def shift(seconds: float) -> None:
        for replica in targets:
            replica.clock.ahead += seconds

    def begin() -> tuple[list[str], Undo]:
        shift(fault.seconds)
        return [replica.name for replica in targets], lambda: shift(-fault.seconds)

    return active.lasting(fault, begin, seconds=abs(fault.seconds))
