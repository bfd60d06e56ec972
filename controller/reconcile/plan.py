"""Observe → list of actions: every decision about an adapter is taken here, and here nothing else happens. Pure.

`plan` takes what was observed at one instant and returns actions in the order in which they are to be carried out,
so that a crash between any two of them is harmless:

- what no longer serves leaves `status.instances` and the slices before its engine is told to unload;
- an attempt is announced on the object (one patch) before its request is sent;
- a placement is forgotten only when the engine is known not to hold the adapter any more, or is gone.

Waiting is never done by anybody: the plan says when to look again.
"""

from collections.abc import Mapping
from dataclasses import replace
from random import Random

import msgspec

from controller.api.annotations import FINALIZER, PLACEMENTS, Attempt, PersistedState, Placement, pod_key
from controller.api.spec import artifact_of, lora_path
from controller.api.types import ModelAdapterStatus
from controller.cache.pod_view import PodView
from controller.engine.errors import Scope
from controller.policies import Policy
from controller.reconcile import endpoints
from controller.reconcile.actions import (
    Action,
    AddFinalizer,
    EmitEvent,
    ListAdapters,
    Load,
    Plan,
    PublishEndpoints,
    RemoveFinalizer,
    Unload,
    WriteAnnotations,
    WriteStatus,
)
from controller.reconcile.conditions import ConditionBuilder
from controller.reconcile.replica_state import AdapterPresence, ReplicaState, replica_state
from controller.reconcile.selection import Selection, select
from controller.reconcile.snapshot import Snapshot
from controller.reconcile.status import Phase, Progress, StatusInput, status_of
from controller.settings import Settings


def plan(snapshot: Snapshot, now: float, settings: Settings, policy: Policy, rng: Random) -> Plan:
    """What to do for one adapter. `now` in seconds since 1970."""
    snapshot = _afresh(snapshot)
    meta = snapshot.adapter.metadata
    if meta.deletion_timestamp is not None:
        return _plan_deletion(snapshot, now, settings) if FINALIZER in meta.finalizers else Plan(())
    states = {name: replica_state(snapshot, name, now, settings) for name in _relevant(snapshot)}
    if snapshot.problem is None:
        selection = select(snapshot, states, now, settings, policy, rng)
    else:
        selection = Selection(pods=snapshot.persisted.selected, desired=snapshot.adapter.spec.replicas or 0)
    for name in selection.pods:
        if name not in states:
            states[name] = replica_state(snapshot, name, now, settings)
    return _PlanBuilder(snapshot, now, settings, states, selection).finish()


def _afresh(snapshot: Snapshot) -> Snapshot:
    """Where the placements could not be read, they are taken from what serves and from what engines list."""
    persisted = snapshot.persisted
    if PLACEMENTS not in persisted.unreadable:
        return snapshot
    name, path = snapshot.adapter.metadata.name, lora_path(snapshot.adapter.spec.artifact_url)
    matches = {}
    for pod, view in sorted(snapshot.pods.items()):
        known = snapshot.inventory(view)
        listed = view in snapshot.matching and known is not None and known.models.get(name) == path
        if listed or pod in snapshot.adapter.status.instances:
            matches[pod] = Placement(uid=view.uid, engine=view.engine, artifact=artifact_of(path))
    return replace(snapshot, persisted=replace(persisted, placements=matches))


def _relevant(snapshot: Snapshot) -> list[str]:
    """Pods that matter whatever is selected: where it was, and those of which something was heard."""
    persisted = snapshot.persisted
    return sorted({*persisted.placements, *persisted.selected, *snapshot.outcomes, *snapshot.busy})


class _PlanBuilder:
    """A plan in the making: collects requests, what to remember, and when to look again."""

    def __init__(
        self,
        snapshot: Snapshot,
        now: float,
        settings: Settings,
        states: Mapping[str, ReplicaState],
        selection: Selection,
    ) -> None:
        self.snapshot = snapshot
        self.now = now
        self.settings = settings
        self.states = states
        self.selection = selection
        self.placements = dict(snapshot.persisted.placements)
        self.attempts = dict(snapshot.persisted.attempts)
        self.loads: list[Load] = []
        self.others: list[Unload | ListAdapters] = []
        self.events: list[EmitEvent] = []
        self.moments: list[float] = [selection.wake] if selection.wake else []
        self.waiting: list[str] = []

    def finish(self) -> Plan:
        for name in sorted(self.placements):
            state = self.states[name]
            if state.maybe_on_new_incarnation:
                self.find(state)
            elif state.presence is AdapterPresence.GONE:
                self._forget(name)
            elif name not in self.selection.pods:
                self.clear(self.states[name])
        self._load_selected()
        self._look_again()
        used = {pod_key(name) for name in (*self.selection.pods, *self.placements)}
        self.attempts = {key: attempt for key, attempt in self.attempts.items() if key in used}
        self._switched()
        if self.selection.fault:
            self.events.append(EmitEvent("Warning", "PolicyFailed", self.selection.fault))
        actions = self._actions()
        return Plan(
            actions=tuple(actions),
            wake=min((moment for moment in self.moments if moment > 0), default=0.0),
            waiting_for_slot=tuple(self.waiting),
            unsettled=self.selection.missing > 0
            or self.snapshot.adapter.spec.replicas is None
            or any(not self._serves(name) for name in self.selection.pods),
            refused=self.snapshot.problem is not None or any(map(_is_refused, self.states.values())),
        )

    # -- pods that are not to hold it

    def _forget(self, name: str) -> None:
        self.placements.pop(name, None)
        self.attempts.pop(pod_key(name), None)

    def find(self, state: ReplicaState) -> None:
        """Asks the present incarnation whether a load that was meant for a former one reached it; if so, it counts."""
        assert state.view is not None
        if self.snapshot.inventory(state.view) is None:
            self.others.append(ListAdapters(state.view))
        else:
            self.placements[state.pod] = msgspec.structs.replace(self.placements[state.pod], engine=state.view.engine)

    def clear(self, state: ReplicaState) -> None:
        """Unloads from a pod that is not selected, until its engine is known to be clean."""
        if state.busy:
            return
        if not state.confirmed_absent:
            self._unload(state)
        elif state.attempts_expire_at > self.now:
            # Chosen again within the aside time, the pod must not get a fresh series of attempts.
            self.moments.append(state.attempts_expire_at)
        else:
            self._forget(state.pod)

    def _unload(self, state: ReplicaState) -> None:
        failed = state.outcome if state.outcome is not None and state.outcome.verb == "unload" else None
        if failed is not None and failed.error is not None:
            due = failed.finished_at + self.settings.backoff.wait(failed.failures)
            if due > self.now:
                self.moments.append(due)
                return
        assert state.view is not None
        if self.snapshot.has_slot(state.pod):
            self.others.append(Unload(state.view))
        else:
            self.waiting.append(state.pod)

    # -- pods that are

    def _load_selected(self) -> None:
        blocked = self._adapters_own_fault() or self.snapshot.problem is not None
        rolling = False
        for name in self.selection.pods:
            state = self.states[name]
            if state.maybe_on_new_incarnation:
                continue
            if state.presence is AdapterPresence.GONE:
                state = replica_state(self._without_placement(name), name, self.now, self.settings)
            if state.presence is AdapterPresence.WANTED and not state.busy:
                self._settled(state)
                continue
            if state.view is None or not state.view.ready or state.view.terminating:
                continue
            if state.busy:
                rolling = True
                continue
            if state.presence is AdapterPresence.OTHER:
                # Pod by pod: one that still serves the former artifact waits until the others have the new one.
                if not rolling and not self._somebody_else_is_down(name):
                    self._unload(state)
                    rolling = True
                continue
            if blocked:
                continue
            if state.presence is AdapterPresence.UNKNOWN and not self.snapshot.did_not_answer(state.view):
                self.others.append(ListAdapters(state.view))
                continue
            if state.presence is AdapterPresence.UNKNOWN and name in self.snapshot.adapter.status.instances:
                continue  # it did serve, and the next audit will say whether it still does
            self._attempt(state)

    def _settled(self, state: ReplicaState) -> None:
        """The engine has what is wanted, whoever loaded it: there is nothing to send, and it is ours to unload."""
        assert state.view is not None
        if state.pod not in self.placements:
            self.placements[state.pod] = self._placement(state.view)
        self.attempts.pop(pod_key(state.pod), None)

    def _placement(self, view: PodView) -> Placement:
        path = lora_path(self.snapshot.adapter.spec.artifact_url)
        return Placement(uid=view.uid, engine=view.engine, artifact=artifact_of(path))

    def _without_placement(self, name: str) -> Snapshot:
        """As if the pod had never been used, which is true of its present incarnation."""
        kept = {pod: placement for pod, placement in self.snapshot.persisted.placements.items() if pod != name}
        return replace(self.snapshot, persisted=replace(self.snapshot.persisted, placements=kept))

    def _somebody_else_is_down(self, name: str) -> bool:
        """Whether another selected pod is on its way back, so that this one should go on serving."""
        return any(
            other != name and not self._serves(other) and not state.in_cooldown(self.now) and state.view is not None
            for other, state in ((pod, self.states[pod]) for pod in self.selection.pods)
        )

    def _attempt(self, state: ReplicaState) -> None:
        """Announces and sends the next attempt on a pod if its time has come."""
        view = state.view
        assert view is not None
        if not view.stable(self.now, self.settings.stable_for):
            self.moments.append(view.changed + self.settings.stable_for)
            return
        if not state.retry_due(self.now):
            self.moments.append(state.next_try)
            return
        if not self.snapshot.has_slot(state.pod):
            self.waiting.append(state.pod)
            return
        unsent = state.outcome is not None and state.outcome.verb in ("unsent", "withdrawn")
        retries = 0 if state.attempt is None else state.attempt.retries + (0 if unsent else 1)
        self.placements[state.pod] = self._placement(view)
        self.attempts[pod_key(state.pod)] = Attempt(retries=retries, announced=self.now)
        self.loads.append(Load(view, self.now))

    def _adapters_own_fault(self) -> bool:
        """Whether the adapter itself was refused and it is not yet time to look again."""
        until = self._refused_until()
        if until > self.now:
            self.moments.append(until)
            return True
        return False

    def _look_again(self) -> None:
        """What another object may mend at any moment is looked at again, although no change of it wakes anybody."""
        problem = self.snapshot.problem
        if problem is not None and problem.recheck:
            self.moments.append(self.now + problem.recheck)
        refused = (
            state.outcome.error.reason for state in self.states.values() if state.outcome and state.outcome.error
        )
        if self.snapshot.adapter.spec.api_key_secret_ref is not None and "Unauthorized" in refused:
            self.moments.append(self.now + self.settings.audit_interval)
        lacking = [state for state in self.states.values() if state.in_cooldown(self.now)]
        if lacking:
            self.moments.append(min(state.cooldown_until for state in lacking))

    def _refused_until(self) -> float:
        return max(
            (
                state.outcome.finished_at + self.settings.pod_cooldown
                for state in self.states.values()
                if state.outcome is not None and _is_final(state, Scope.ADAPTER)
            ),
            default=0.0,
        )

    # -- what the world is told

    def _serves(self, name: str) -> bool:
        """Whether the pod may be published: ready, and its engine is known (or was known) to hold the adapter."""
        state = self.states[name]
        view = state.view
        if view is None or not view.available or state.presence is AdapterPresence.GONE or state.placement is None:
            return False
        if state.busy == "unload":
            return False
        if state.presence is AdapterPresence.UNKNOWN:
            return name in self.snapshot.adapter.status.instances
        return state.presence in (AdapterPresence.WANTED, AdapterPresence.OTHER)

    def _switched(self) -> None:
        for old, new in self.selection.switched:
            outcome = self.states[old].outcome
            why = outcome.error.message if outcome is not None and outcome.error is not None else "unknown error"
            self.events.append(EmitEvent("Normal", "Switched", f"Switched from pod {old} to pod {new}: {why}"))

    def _actions(self) -> list[Action]:
        snapshot = self.snapshot
        adapter, status = snapshot.adapter, snapshot.adapter.status
        leaving = {action.pod.name for action in self.others if isinstance(action, Unload)}
        serving = [name for name in self.selection.pods if name not in leaving and self._serves(name)]
        after = PersistedState(selected=self.selection.pods, placements=self.placements, attempts=self.attempts)
        conditions = ConditionBuilder(
            snapshot, self.now, self.settings, self.states, self.selection, self._refused_until()
        )
        self.events += conditions.warnings()
        actions: list[Action] = []
        if FINALIZER not in adapter.metadata.finalizers:
            actions.append(AddFinalizer())
        if not status.phase:
            actions.append(WriteStatus(self._status(StatusInput("Pending"))))
        publish = _publication(snapshot, [self.states[name].view for name in serving])
        if tuple(serving) != status.instances or publish is not None:
            if serving:
                phase: Phase = "Running" if status.phase == "Running" else "Bound"
                actions.append(WriteStatus(self._status(conditions.serving(phase, serving))))
            else:
                actions.append(WriteStatus(self._status(conditions.not_serving())))
        if publish is not None:
            actions.append(publish)
        if after != snapshot.persisted:
            actions.append(WriteAnnotations(snapshot.persisted, after))
        if self.selection.pods != snapshot.persisted.selected and self.selection.pods:
            pods = " ".join(self.selection.pods)
            note = f"ModelAdapter {adapter.key} has selected {len(self.selection.pods)} pods for scheduling: [{pods}]"
            self.events.insert(0, EmitEvent("Normal", "Scheduled", note))
        selected_now = status.phase in ("", "Pending") and self.selection.pods and snapshot.problem is None
        if not serving and (selected_now or (self.loads and status.phase == "Failed")):
            actions.append(WriteStatus(self._status(conditions.serving("Scheduled", serving))))
        if self.loads and not serving:
            actions.append(WriteStatus(self._status(conditions.serving("Loading", serving))))
        actions += [*self.loads, *self.others]
        if serving:
            actions.append(WriteStatus(self._status(conditions.serving("Running", serving))))
        else:
            actions.append(WriteStatus(self._status(conditions.not_serving())))
        return actions + list(self.events)

    def _status(self, situation: StatusInput) -> ModelAdapterStatus:
        return status_of(self.snapshot.adapter, situation, self.now)


def _is_refused(state: ReplicaState) -> bool:
    return state.outcome is not None and state.outcome.error is not None and not state.outcome.error.retriable


def _is_final(state: ReplicaState, scope: Scope) -> bool:
    error = state.outcome.error if state.outcome is not None and state.outcome.verb == "load" else None
    return error is not None and not error.retriable and error.scope is scope


def _publication(snapshot: Snapshot, views: list[PodView | None]) -> PublishEndpoints | None:
    """What has to be written for service discovery, if anything."""
    pods = [view for view in views if view is not None]
    if not pods and snapshot.service is None and not snapshot.slices:
        return None
    port = pods[0].port if pods else (snapshot.service.spec.ports[0].port if snapshot.service else 8000)
    service = endpoints.service_for(snapshot.adapter, port)
    wanted = endpoints.slices_for(snapshot.adapter, pods, port)
    present = {item.metadata.name: item for item in snapshot.slices}
    stale = tuple(item for item in wanted if not endpoints.same_slice(item, present.get(item.metadata.name)))
    obsolete = tuple(sorted(set(present) - {item.metadata.name for item in wanted}))
    missing = None if endpoints.same_service(service, snapshot.service) else service
    return PublishEndpoints(missing, stale, obsolete) if missing or stale or obsolete else None


def _plan_deletion(snapshot: Snapshot, now: float, settings: Settings) -> Plan:
    """Withdraws, unloads wherever it may be loaded, then lets the object go.

    An engine that cannot be reached holds the deletion for as many tries as a load gets, and no longer.
    """
    states = {name: replica_state(snapshot, name, now, settings) for name in _relevant(snapshot)}
    draft = _PlanBuilder(snapshot, now, settings, states, Selection(pods=()))
    for name in sorted(draft.placements):
        state = states[name]
        unload = state.outcome if state.outcome is not None and state.outcome.verb == "unload" else None
        if state.maybe_on_new_incarnation:
            draft.find(state)
        elif state.confirmed_absent:
            draft.placements.pop(name)
        elif unload and unload.error and settings.backoff.exhausted(unload.failures) and not state.busy:
            draft.placements.pop(name)
            note = f"Gave up unloading from pod {name}: {unload.error.message}"
            draft.events.append(EmitEvent("Warning", "UnloadAbandoned", note))
        else:
            draft.clear(state)
    actions: list[Action] = []
    said = "unloading wherever it was loaded"
    situation = StatusInput("Pending", reason="Deleting", message=said, progress=Progress(True, "Deleting", said))
    actions.append(WriteStatus(status_of(snapshot.adapter, situation, now)))
    publish = _publication(snapshot, [])
    if publish is not None:
        actions.append(publish)
    before = snapshot.persisted.placements
    matches = {name: place for name, place in draft.placements.items() if place != before[name]}
    if matches:
        actions.append(
            WriteAnnotations(snapshot.persisted, replace(snapshot.persisted, placements={**before, **matches}))
        )
    actions += draft.others
    actions += draft.events
    if not draft.placements and not any(state.busy for state in states.values()):
        actions.append(RemoveFinalizer())
    wake = min((moment for moment in draft.moments if moment > 0), default=0.0)
    return Plan(tuple(actions), wake=wake, waiting_for_slot=tuple(draft.waiting))
