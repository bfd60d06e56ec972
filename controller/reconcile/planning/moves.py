"""Move of one replica to another pod, in steps between which a crash does no harm. Pure.

1. The move is written to the object (`plan_move`).
2. The target is selected in addition, loaded and published.
3. The source is withdrawn; the same write that ends its selection ends the move.
4. The source is unloaded like any pod that is no longer selected.

At each step as many replicas serve as before the move. A move is cancelled where the source no longer serves, or the
target cannot: the adapter then is an ordinary one with a pod too many, or a place that is free.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

from controller.api.annotations import MoveRecord
from controller.cache.pod_index import PodIndex
from controller.cache.routing import pods_able_to_load
from controller.rebalance.fleet import may_move
from controller.reconcile.actions import EmitEvent, Plan, WriteAnnotations
from controller.reconcile.replica_state import AdapterPresence, ReplicaState
from controller.reconcile.snapshot import Snapshot
from controller.settings import Settings


@dataclass(frozen=True, slots=True)
class MoveStep:
    """Next step of a move."""

    record: MoveRecord | None = None
    """Move to persist: the one under way, or the last one."""
    joining: str = ""
    """Pod that is selected in addition."""
    leaving: str = ""
    """Pod that is no longer selected."""


def plan_move(snapshot: Snapshot, now: float, settings: Settings) -> Plan | None:
    """Return the plan that begins a decided move; None without one, or if something has changed meanwhile.

    A decision stays for some seconds, in which its move can have ended or been cancelled.
    """
    move, persisted, adapter = snapshot.move, snapshot.persisted, snapshot.adapter
    if move is None or snapshot.problem is not None or not adapter.spec.replicas or adapter.spec.pinned:
        return None
    if not may_move(persisted.move, now):
        return None
    target = pods_able_to_load(adapter.spec, snapshot.matching, settings).by_name.get(move.target)
    if target is None or not target.stable(now, settings.stable_for) or move.target in persisted.placements:
        return None
    if snapshot.adapters_on(target) >= target.max_cpu_loras or not target.takes_rank(snapshot.artifact.rank):
        return None
    if move.source not in persisted.selected or set(persisted.selected) != set(adapter.status.instances):
        return None
    after = replace(persisted, move=MoveRecord(move.source, move.target, started=now))
    note = f"Moving from pod {move.source} to pod {move.target}: {move.reason}"
    actions = (WriteAnnotations(persisted, after), EmitEvent("Normal", "Moving", note))
    return Plan(actions, selection=snapshot.selected, wake=now)


def move_step(
    snapshot: Snapshot, source: ReplicaState | None, target: ReplicaState | None, able: PodIndex, now: float
) -> MoveStep:
    """Return the next step of the move that is under way, if there is one."""
    record = snapshot.persisted.move
    if record is None or not record.under_way:
        return MoveStep(record)
    if cause := _obstacle(snapshot, record, source, target, able):
        return MoveStep(msgspec.structs.replace(record, finished=now, cancelled=cause))
    if target is not None and target.presence is AdapterPresence.DESIRED and _is_published(snapshot, record.target):
        return MoveStep(msgspec.structs.replace(record, finished=now), leaving=record.source)
    return MoveStep(record, joining=record.target)


def move_events(before: MoveRecord | None, after: MoveRecord | None) -> Iterable[EmitEvent]:
    """Yield the event of a move that has ended."""
    if before is None or after is None or not before.under_way or after.under_way:
        return
    route = f"from pod {after.source} to pod {after.target}"
    if after.cancelled:
        yield EmitEvent("Warning", "MoveCancelled", f"No longer moving {route}: {after.cancelled}")
    else:
        yield EmitEvent("Normal", "Moved", f"Moved {route}")


def _obstacle(
    snapshot: Snapshot, record: MoveRecord, source: ReplicaState | None, target: ReplicaState | None, able: PodIndex
) -> str:
    """Return why the move cannot go on; empty if it can."""
    if not snapshot.adapter.spec.replicas:
        return "replicas has changed"
    if source is None or source.view is None or not source.view.available or record.source not in able.by_name:
        return f"pod {record.source} no longer serves"
    if source.presence not in (AdapterPresence.DESIRED, AdapterPresence.OTHER, AdapterPresence.UNKNOWN):
        return f"pod {record.source} no longer has the adapter"
    view = able.by_name.get(record.target)
    if view is None or not view.available:
        return f"pod {record.target} is not ready"
    if target is not None and (failed := target.failed_load) is not None and failed.finished_at >= record.started:
        assert failed.error is not None
        return f"pod {record.target}: {failed.error.message}"
    return ""


def _is_published(snapshot: Snapshot, pod: str) -> bool:
    """Return whether clients are shown the pod."""
    if pod not in snapshot.adapter.status.instances:
        return False
    endpoints = (endpoint for item in snapshot.slices for endpoint in item.endpoints)
    return any(item.target_ref is not None and item.target_ref.name == pod for item in endpoints)
