"""The controller's replicas: they die, lose the lead, have a wrong clock."""

from collections.abc import Callable

import simpy

from controller.runtime.leaderelection import LEASE_NAME
from twin.apiserver import Change
from twin.faults.context import ActiveFault, Process, Undo
from twin.scenario.faults import ClockSkew, ControllerCrash, LeaderLoss
from twin.world.controller_replica import Replica, leader

LEASES = "leases.coordination.k8s.io"
LONGEST_LOSS = 120.0
"""Seconds until a replica gets answers about Leases again if nobody takes over."""


def crash(active: ActiveFault, fault: ControllerCrash) -> None:
    """Kills a replica at a time, or beside its Nth write, once."""
    stage = active.stage

    def kill(replica: Replica, detail: str) -> None:
        active.tell("strike", [replica.name], detail=detail)
        replica.crash()
        stage.restart(replica, fault.restart_after)

    if fault.at is not None:
        stage.env.process(_crash_at(active, fault, kill))
        return
    wanted = "before" if fault.before_write is not None else "after"
    nth = fault.before_write or fault.after_write
    struck: list[str] = []

    def wrote(replica: Replica, moment: str) -> None:
        if moment == wanted and replica.writes == nth and not struck:
            struck.append(replica.name)
            kill(replica, f"{wanted} write {nth}")

    for index, replica in enumerate(stage.replicas):
        if fault.replica is None or fault.replica == index:
            replica.watchers.append(wrote)


def _crash_at(active: ActiveFault, fault: ControllerCrash, kill: Callable[[Replica, str], None]) -> Process:
    assert fault.at is not None
    replicas = active.stage.replicas
    yield active.until(fault.at)
    replica = leader(replicas) if fault.replica is None else replicas[fault.replica]
    if replica is not None and replica.alive:
        kill(replica, "")


def leader_loss(active: ActiveFault, fault: LeaderLoss) -> Process:
    """The leader gets no answers about its Lease until another holds it."""
    stage = active.stage
    waiting: dict[str, simpy.Event] = {}

    def changed(change: Change) -> None:
        lease = change.object
        holder = lease["spec"].get("holderIdentity", "")
        for loser in [name for name in waiting if lease["metadata"]["name"] == LEASE_NAME and holder not in ("", name)]:
            waiting.pop(loser).succeed()

    stage.store.subscribe(changed, LEASES)
    for moment in fault.strikes(stage.duration, stage.streams.get(f"fault/{active.number}/{fault.kind}/times")):
        yield active.until(moment)
        replica = leader(stage.replicas)
        if replica is None or not replica.leading:
            continue
        end = stage.api_faults.drop_lease_responses(replica.name)
        active.tell("strike", [replica.name])
        taken_over = waiting[replica.name] = stage.env.event()
        yield taken_over | stage.env.timeout(LONGEST_LOSS)
        waiting.pop(replica.name, None)
        end()


def clock_skew(active: ActiveFault, fault: ClockSkew) -> Process:
    """Replicas' clocks jump, and jump back."""
    replicas = active.stage.replicas
    hit = list(replicas) if fault.replica is None else [replicas[fault.replica]]

    def turn(seconds: float) -> None:
        for replica in hit:
            replica.clock.ahead += seconds

    def begin() -> tuple[list[str], Undo]:
        turn(fault.seconds)
        return [replica.name for replica in hit], lambda: turn(-fault.seconds)

    return active.lasting(fault, begin, seconds=abs(fault.seconds))
