"""Recovery of placements that the object does not have, or that another operator made. Pure.

An adapter that AIBrix's controller runs has no placements, and neither has one whose annotation was removed or cannot
be parsed. The adapter is not loaded a second time: engines are listed, and each that has its name becomes a placement.
Pods that serve stay selected; copies elsewhere are then unloaded like those of any former pod. Nothing else is planned
until the placements are persisted, so that a crash loses none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.api.annotations import FINALIZER, PLACEMENTS, PersistedState, Placement
from controller.api.spec import artifact_of, is_aibrix_folder, lora_path
from controller.cache.pod_view import PodView
from controller.reconcile.actions import (
    Action,
    AdoptSlices,
    EmitEvent,
    ListAdapters,
    Plan,
    WriteAnnotations,
    WriteStatus,
)
from controller.reconcile.snapshot import Snapshot
from controller.reconcile.status import is_adoption_refused, with_adoption_error

_OWN_CONDITION = "Progressing"
"""Condition that this operator writes with its first selection, and AIBrix's controller never."""


def plan_recovery(snapshot: Snapshot, now: float) -> Plan | None:
    """Return what to do before anything else is planned; None if no placement has to be recovered."""
    unreadable = PLACEMENTS in snapshot.persisted.unreadable
    if not unreadable and not is_written_by_others(snapshot):
        return None
    pods = _pods(snapshot)
    if unknown := [view for view in pods.values() if _is_unknown(snapshot, view)]:
        return Plan(tuple(ListAdapters(view) for view in unknown), selection=snapshot.selected)
    recovered = _recovered(snapshot, pods)
    if recovered == snapshot.persisted:
        return None
    add_finalizer = bool(recovered.placements) and FINALIZER not in snapshot.adapter.metadata.finalizers
    add_finalizer = add_finalizer and snapshot.adapter.metadata.deletion_timestamp is None
    event = _unreadable() if unreadable else _taken_over(snapshot, recovered)
    actions = (*_adoption(snapshot, now), WriteAnnotations(snapshot.persisted, recovered, add_finalizer), event)
    return Plan(actions, selection=recovered.selected, wake=now)


def _adoption(snapshot: Snapshot, now: float) -> Iterable[Action]:
    """Yield the adoption of slices, and the condition of one that was refused.

    The condition comes before the placements: with these, nothing else would show a restarted operator that slices of
    another one are left.
    """
    error = snapshot.adoption_error
    if error is None or error.retry_at <= now:
        yield AdoptSlices()
    if error is not None:
        yield WriteStatus(with_adoption_error(snapshot.adapter, error, now))
        yield EmitEvent("Warning", error.reason, error.message)


def adopts_slices(snapshot: Snapshot, now: float) -> bool:
    """Return whether to adopt the slices of another operator now; after a refusal at the time of the next attempt."""
    if snapshot.adoption_error is not None:
        return snapshot.adoption_error.retry_at <= now
    return is_written_by_others(snapshot) or is_adoption_refused(snapshot.adapter.status)


def is_written_by_others(snapshot: Snapshot) -> bool:
    """Return whether the object has what this operator never writes: instances that it has not placed.

    AIBrix's controller may also have loaded it without success so far; then the object has a finalizer and a status
    without this operator's condition.
    """
    adapter, placements = snapshot.adapter, snapshot.persisted.placements
    if any(pod not in placements for pod in adapter.status.instances):
        return True
    own = any(condition.type == _OWN_CONDITION for condition in adapter.status.conditions)
    return FINALIZER in adapter.metadata.finalizers and not placements and not own


def _pods(snapshot: Snapshot) -> Mapping[str, PodView]:
    """Return the pods that may have the adapter, by name: those that match, and those that are said to serve it."""
    instances = (snapshot.pods.get(pod) for pod in snapshot.adapter.status.instances)
    views = [*snapshot.matching, *(view for view in instances if view is not None)]
    return {view.name: view for view in sorted(views, key=lambda view: view.name) if view.ip and view.engine}


def _is_unknown(snapshot: Snapshot, view: PodView) -> bool:
    return snapshot.inventory(view) is None and not snapshot.did_not_answer(view)


def _recovered(snapshot: Snapshot, pods: Mapping[str, PodView]) -> PersistedState:
    """Return the state with a placement for each engine that has the adapter.

    That is each engine that lists its name and artifact, and each that is said to serve it: its list may be older than
    that. Other engines may have a model of that name from elsewhere, for example from `--lora-modules`.
    """
    name, status = snapshot.adapter.metadata.name, snapshot.adapter.status
    desired = artifact_of(lora_path(snapshot.adapter.spec.artifact_url))
    placements = {}
    for pod, view in pods.items():
        inventory = snapshot.inventory(view)
        root = inventory.models.get(name) if inventory is not None else None
        artifact = desired if root is None or is_aibrix_folder(root, name) else artifact_of(root)
        if pod in status.instances or (root is not None and artifact == desired):
            placements[pod] = Placement(uid=view.uid, engine=view.engine, artifact=artifact)
    persisted = snapshot.persisted
    return replace(
        persisted,
        selected=tuple(placements) or persisted.selected,
        placements=placements,
        unreadable=tuple(key for key in persisted.unreadable if key != PLACEMENTS),
    )


def _unreadable() -> EmitEvent:
    note = f"{PLACEMENTS}: cannot be parsed and is reset to what engines list"
    return EmitEvent("Warning", "AnnotationsUnreadable", note)


def _taken_over(snapshot: Snapshot, recovered: PersistedState) -> EmitEvent:
    """Return the event: a warning if this operator has written the status before, since both may be running."""
    pods = " ".join(recovered.placements)
    note = f"Another operator ran this ModelAdapter; found it in the engines of [{pods}] and took it over"
    if any(condition.type == _OWN_CONDITION for condition in snapshot.adapter.status.conditions):
        return EmitEvent("Warning", "TakenOver", f"{note}. If this is repeated, stop the other operator")
    return EmitEvent("Normal", "TakenOver", note)
