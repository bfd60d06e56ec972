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

from controller.api.annotations import FINALIZER, PLACEMENTS, Attempt, Placement, Remembered, pod_key
from controller.api.spec import artifact_of, lora_path
from controller.api.types import ModelAdapterStatus
from controller.engine.errors import Scope
from controller.policies import Policy
from controller.reconcile import endpoints as discovery
from controller.reconcile.actions import (
    Action,
    AddFinalizer,
    Load,
    Look,
    Plan,
    Publish,
    Remember,
    RemoveFinalizer,
    Tell,
    Unload,
    WriteStatus,
)
from controller.reconcile.conditions import Account
from controller.reconcile.replica_state import Holding, Standing, standing
from controller.reconcile.selection import Selection, select
from controller.reconcile.snapshot import Observed, PodView
from controller.reconcile.status import Phase, Progress, Situation, status_of
from controller.settings import Settings


def plan(seen: Observed, now: float, settings: Settings, policy: Policy, rng: Random) -> Plan:
    """What to do for one adapter. `now` in seconds since 1970."""
    seen = _afresh(seen)
    meta = seen.adapter.metadata
    if meta.deletion_timestamp is not None:
        return _plan_deletion(seen, now, settings) if FINALIZER in meta.finalizers else Plan(())
    standings = {name: standing(seen, name, now, settings) for name in _relevant(seen)}
    if seen.problem is None:
        selection = select(seen, standings, now, settings, policy, rng)
    else:
        selection = Selection(pods=seen.remembered.selected, desired=seen.adapter.spec.replicas or 0)
    for name in selection.pods:
        if name not in standings:
            standings[name] = standing(seen, name, now, settings)
    return _Draft(seen, now, settings, standings, selection).finish()


def _afresh(seen: Observed) -> Observed:
    """Where the placements could not be read, they are taken from what serves and from what engines list."""
    remembered = seen.remembered
    if PLACEMENTS not in remembered.unreadable:
        return seen
    name, path = seen.adapter.metadata.name, lora_path(seen.adapter.spec.artifact_url)
    found = {}
    for pod, view in sorted(seen.pods.items()):
        known = seen.inventory(view)
        listed = view in seen.matching and known is not None and known.models.get(name) == path
        if listed or pod in seen.adapter.status.instances:
            found[pod] = Placement(uid=view.uid, engine=view.engine, artifact=artifact_of(path))
    return replace(seen, remembered=replace(remembered, placements=found))


def _relevant(seen: Observed) -> list[str]:
    """Pods that matter whatever is selected: where it was, and those of which something was heard."""
    remembered = seen.remembered
    return sorted({*remembered.placements, *remembered.selected, *seen.outcomes, *seen.busy})


class _Draft:
    """A plan in the making: collects requests, what to remember, and when to look again."""

    def __init__(
        self, seen: Observed, now: float, settings: Settings, standings: Mapping[str, Standing], selection: Selection
    ) -> None:
        self.seen = seen
        self.now = now
        self.settings = settings
        self.standings = standings
        self.selection = selection
        self.placements = dict(seen.remembered.placements)
        self.attempts = dict(seen.remembered.attempts)
        self.loads: list[Load] = []
        self.others: list[Unload | Look] = []
        self.events: list[Tell] = []
        self.moments: list[float] = [selection.wake] if selection.wake else []
        self.waiting: list[str] = []

    def finish(self) -> Plan:
        for name in sorted(self.placements):
            at = self.standings[name]
            if at.astray:
                self.find(at)
            elif at.holding is Holding.GONE:
                self._forget(name)
            elif name not in self.selection.pods:
                self.clear(self.standings[name])
        self._load_selected()
        self._look_again()
        used = {pod_key(name) for name in (*self.selection.pods, *self.placements)}
        self.attempts = {key: attempt for key, attempt in self.attempts.items() if key in used}
        self._switched()
        if self.selection.fault:
            self.events.append(Tell("Warning", "PolicyFailed", self.selection.fault))
        actions = self._actions()
        return Plan(
            actions=tuple(actions),
            wake=min((moment for moment in self.moments if moment > 0), default=0.0),
            waiting_for_slot=tuple(self.waiting),
            unsettled=self.selection.missing > 0
            or self.seen.adapter.spec.replicas is None
            or any(not self._serves(name) for name in self.selection.pods),
            refused=self.seen.problem is not None or any(map(_is_refused, self.standings.values())),
        )

    # -- pods that are not to hold it

    def _forget(self, name: str) -> None:
        self.placements.pop(name, None)
        self.attempts.pop(pod_key(name), None)

    def find(self, at: Standing) -> None:
        """Asks the present incarnation whether a load that was meant for a former one reached it; if so, it counts."""
        assert at.view is not None
        if self.seen.inventory(at.view) is None:
            self.others.append(Look(at.view))
        else:
            self.placements[at.pod] = msgspec.structs.replace(self.placements[at.pod], engine=at.view.engine)

    def clear(self, at: Standing) -> None:
        """Unloads from a pod that is not selected, until its engine is known to be clean."""
        if at.busy:
            return
        if not at.clean:
            self._unload(at)
        elif at.counted_until > self.now:
            # Chosen again within the aside time, the pod must not get a fresh series of attempts.
            self.moments.append(at.counted_until)
        else:
            self._forget(at.pod)

    def _unload(self, at: Standing) -> None:
        failed = at.outcome if at.outcome is not None and at.outcome.verb == "unload" else None
        if failed is not None and failed.error is not None:
            due = failed.at + self.settings.backoff.wait(failed.failures)
            if due > self.now:
                self.moments.append(due)
                return
        assert at.view is not None
        if self.seen.has_slot(at.pod):
            self.others.append(Unload(at.view))
        else:
            self.waiting.append(at.pod)

    # -- pods that are

    def _load_selected(self) -> None:
        blocked = self._adapters_own_fault() or self.seen.problem is not None
        rolling = False
        for name in self.selection.pods:
            at = self.standings[name]
            if at.astray:
                continue
            if at.holding is Holding.GONE:
                at = standing(self._without_placement(name), name, self.now, self.settings)
            if at.holding is Holding.WANTED and not at.busy:
                self._settled(at)
                continue
            if at.view is None or not at.view.ready or at.view.terminating:
                continue
            if at.busy:
                rolling = True
                continue
            if at.holding is Holding.OTHER:
                # Pod by pod: one that still serves the former artifact waits until the others have the new one.
                if not rolling and not self._somebody_else_is_down(name):
                    self._unload(at)
                    rolling = True
                continue
            if blocked:
                continue
            if at.holding is Holding.UNKNOWN and not self.seen.silent(at.view):
                self.others.append(Look(at.view))
                continue
            if at.holding is Holding.UNKNOWN and name in self.seen.adapter.status.instances:
                continue  # it did serve, and the next audit will say whether it still does
            self._attempt(at)

    def _settled(self, at: Standing) -> None:
        """The engine has what is wanted, whoever loaded it: there is nothing to send, and it is ours to unload."""
        assert at.view is not None
        if at.pod not in self.placements:
            self.placements[at.pod] = self._placement(at.view)
        self.attempts.pop(pod_key(at.pod), None)

    def _placement(self, view: PodView) -> Placement:
        path = lora_path(self.seen.adapter.spec.artifact_url)
        return Placement(uid=view.uid, engine=view.engine, artifact=artifact_of(path))

    def _without_placement(self, name: str) -> Observed:
        """As if the pod had never been used, which is true of its present incarnation."""
        kept = {pod: placement for pod, placement in self.seen.remembered.placements.items() if pod != name}
        return replace(self.seen, remembered=replace(self.seen.remembered, placements=kept))

    def _somebody_else_is_down(self, name: str) -> bool:
        """Whether another selected pod is on its way back, so that this one should go on serving."""
        return any(
            other != name and not self._serves(other) and not at.aside(self.now) and at.view is not None
            for other, at in ((pod, self.standings[pod]) for pod in self.selection.pods)
        )

    def _attempt(self, at: Standing) -> None:
        """Announces and sends the next attempt on a pod if its time has come."""
        view = at.view
        assert view is not None
        if not view.stable(self.now, self.settings.stable_for):
            self.moments.append(view.changed + self.settings.stable_for)
            return
        if not at.due(self.now):
            self.moments.append(at.next_try)
            return
        if not self.seen.has_slot(at.pod):
            self.waiting.append(at.pod)
            return
        unsent = at.outcome is not None and at.outcome.verb in ("unsent", "withdrawn")
        retries = 0 if at.attempt is None else at.attempt.retries + (0 if unsent else 1)
        self.placements[at.pod] = self._placement(view)
        self.attempts[pod_key(at.pod)] = Attempt(retries=retries, announced=self.now)
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
        problem = self.seen.problem
        if problem is not None and problem.recheck:
            self.moments.append(self.now + problem.recheck)
        refused = (at.outcome.error.reason for at in self.standings.values() if at.outcome and at.outcome.error)
        if self.seen.adapter.spec.api_key_secret_ref is not None and "Unauthorized" in refused:
            self.moments.append(self.now + self.settings.audit_interval)
        lacking = [at for at in self.standings.values() if at.aside(self.now)]
        if lacking:
            self.moments.append(min(at.aside_until for at in lacking))

    def _refused_until(self) -> float:
        return max(
            (
                at.outcome.at + self.settings.pod_cooldown
                for at in self.standings.values()
                if at.outcome is not None and _is_final(at, Scope.ADAPTER)
            ),
            default=0.0,
        )

    # -- what the world is told

    def _serves(self, name: str) -> bool:
        """Whether the pod may be published: ready, and its engine is known (or was known) to hold the adapter."""
        at = self.standings[name]
        view = at.view
        if view is None or not view.ready or view.terminating or at.holding is Holding.GONE or at.placement is None:
            return False
        if at.busy == "unload":
            return False
        if at.holding is Holding.UNKNOWN:
            return name in self.seen.adapter.status.instances
        return at.holding in (Holding.WANTED, Holding.OTHER)

    def _switched(self) -> None:
        for old, new in self.selection.switched:
            outcome = self.standings[old].outcome
            why = outcome.error.message if outcome is not None and outcome.error is not None else "unknown error"
            self.events.append(Tell("Normal", "Switched", f"Switched from pod {old} to pod {new}: {why}"))

    def _actions(self) -> list[Action]:
        seen = self.seen
        adapter, status = seen.adapter, seen.adapter.status
        leaving = {action.pod.name for action in self.others if isinstance(action, Unload)}
        serving = [name for name in self.selection.pods if name not in leaving and self._serves(name)]
        after = Remembered(selected=self.selection.pods, placements=self.placements, attempts=self.attempts)
        account = Account(seen, self.now, self.settings, self.standings, self.selection, self._refused_until())
        self.events += account.warnings()
        actions: list[Action] = []
        if FINALIZER not in adapter.metadata.finalizers:
            actions.append(AddFinalizer())
        if not status.phase:
            actions.append(WriteStatus(self._status(Situation("Pending"))))
        publish = _publication(seen, [self.standings[name].view for name in serving])
        if tuple(serving) != status.instances or publish is not None:
            if serving:
                phase: Phase = "Running" if status.phase == "Running" else "Bound"
                actions.append(WriteStatus(self._status(account.serving(phase, serving))))
            else:
                actions.append(WriteStatus(self._status(account.not_serving())))
        if publish is not None:
            actions.append(publish)
        if after != seen.remembered:
            actions.append(Remember(seen.remembered, after))
        if self.selection.pods != seen.remembered.selected and self.selection.pods:
            pods = " ".join(self.selection.pods)
            note = f"ModelAdapter {adapter.key} has selected {len(self.selection.pods)} pods for scheduling: [{pods}]"
            self.events.insert(0, Tell("Normal", "Scheduled", note))
        selected_now = status.phase in ("", "Pending") and self.selection.pods and seen.problem is None
        if not serving and (selected_now or (self.loads and status.phase == "Failed")):
            actions.append(WriteStatus(self._status(account.serving("Scheduled", serving))))
        if self.loads and not serving:
            actions.append(WriteStatus(self._status(account.serving("Loading", serving))))
        actions += [*self.loads, *self.others]
        if serving:
            actions.append(WriteStatus(self._status(account.serving("Running", serving))))
        else:
            actions.append(WriteStatus(self._status(account.not_serving())))
        return actions + list(self.events)

    def _status(self, situation: Situation) -> ModelAdapterStatus:
        return status_of(self.seen.adapter, situation, self.now)


def _is_refused(at: Standing) -> bool:
    return at.outcome is not None and at.outcome.error is not None and not at.outcome.error.retriable


def _is_final(at: Standing, scope: Scope) -> bool:
    error = at.outcome.error if at.outcome is not None and at.outcome.verb == "load" else None
    return error is not None and not error.retriable and error.scope is scope


def _publication(seen: Observed, views: list[PodView | None]) -> Publish | None:
    """What has to be written for service discovery, if anything."""
    pods = [view for view in views if view is not None]
    if not pods and seen.service is None and not seen.slices:
        return None
    port = pods[0].port if pods else (seen.service.spec.ports[0].port if seen.service else 8000)
    service = discovery.service_for(seen.adapter, port)
    wanted = discovery.slices_for(seen.adapter, pods, port)
    present = {item.metadata.name: item for item in seen.slices}
    stale = tuple(item for item in wanted if not discovery.same_slice(item, present.get(item.metadata.name)))
    obsolete = tuple(sorted(set(present) - {item.metadata.name for item in wanted}))
    missing = None if discovery.same_service(service, seen.service) else service
    return Publish(missing, stale, obsolete) if missing or stale or obsolete else None


def _plan_deletion(seen: Observed, now: float, settings: Settings) -> Plan:
    """Withdraws, unloads wherever it may be loaded, then lets the object go.

    An engine that cannot be reached holds the deletion for as many tries as a load gets, and no longer.
    """
    standings = {name: standing(seen, name, now, settings) for name in _relevant(seen)}
    draft = _Draft(seen, now, settings, standings, Selection(pods=()))
    for name in sorted(draft.placements):
        at = standings[name]
        unload = at.outcome if at.outcome is not None and at.outcome.verb == "unload" else None
        if at.astray:
            draft.find(at)
        elif at.clean:
            draft.placements.pop(name)
        elif unload and unload.error and settings.backoff.exhausted(unload.failures) and not at.busy:
            draft.placements.pop(name)
            note = f"Gave up unloading from pod {name}: {unload.error.message}"
            draft.events.append(Tell("Warning", "UnloadAbandoned", note))
        else:
            draft.clear(at)
    actions: list[Action] = []
    said = "unloading wherever it was loaded"
    situation = Situation("Pending", reason="Deleting", message=said, progress=Progress(True, "Deleting", said))
    actions.append(WriteStatus(status_of(seen.adapter, situation, now)))
    publish = _publication(seen, [])
    if publish is not None:
        actions.append(publish)
    before = seen.remembered.placements
    found = {name: place for name, place in draft.placements.items() if place != before[name]}
    if found:
        actions.append(Remember(seen.remembered, replace(seen.remembered, placements={**before, **found})))
    actions += draft.others
    actions += draft.events
    if not draft.placements and not any(at.busy for at in standings.values()):
        actions.append(RemoveFinalizer())
    wake = min((moment for moment in draft.moments if moment > 0), default=0.0)
    return Plan(tuple(actions), wake=wake, waiting_for_slot=tuple(draft.waiting))
