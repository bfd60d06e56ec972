"""Phase, conditions and their messages, from a snapshot and the decisions made on it. Pure.

A message names the object, the cause and the next step. It stays the same while nothing changes, since each new message
is a write. `status.py` turns a `StatusInput` into conditions.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from controller.api.annotations import MOST_PODS
from controller.api.labels import ENABLED_LABEL, MEMORY_LABEL
from controller.api.types import ArtifactStatus, ModelAdapterStatus
from controller.cache.selector_index import selector_predicate
from controller.reconcile.actions import EmitEvent
from controller.reconcile.planning.activation import idle_message, is_idle
from controller.reconcile.planning.context import PlanContext
from controller.reconcile.planning.inspection import fit_problem
from controller.reconcile.planning.scaling import scaling_conditions
from controller.reconcile.replica_state import AdapterPresence, ReplicaState
from controller.reconcile.status import Phase, Progress, StatusInput, status_of
from formats.timestamps import format_time

_NAMED = 3
"""Maximum number of pods that a message names."""


@dataclass(frozen=True, slots=True)
class ConditionBuilder:
    """Builds the status of one adapter at one instant.

    Attributes:
        context: what the plan is made from.
        retrying: pods of which the plan announces an attempt after the first.
    """

    context: PlanContext
    retrying: Collection[str] = ()

    def initial(self) -> ModelAdapterStatus:
        """Return the first status of an adapter."""
        return self._status(StatusInput("Pending", artifact=self._artifact()))

    def deleting(self) -> ModelAdapterStatus:
        """Return the status of an adapter that is being deleted."""
        message = "unloading from all pods"
        progress = Progress(True, "Deleting", message)
        return self._status(
            StatusInput("Pending", reason="Deleting", message=message, progress=progress, artifact=self._artifact())
        )

    def serving(self, phase: Phase, pods: Sequence[str]) -> ModelAdapterStatus:
        """Return the status of an adapter that these pods serve, or (if there are none) that is about to be loaded."""
        reason, message = self._last_error()
        return self._status(self._input(phase, pods, reason, message))

    def not_serving(self) -> ModelAdapterStatus:
        """Return the status of an adapter that no pod serves: Pending, Idle, Loading or Failed, and why."""
        return self._status(self._not_serving())

    def warnings(self) -> list[EmitEvent]:
        """Return events for problems that only a user can solve, unless the conditions have them already."""
        snapshot = self.context.snapshot
        current = {(condition.reason, condition.message) for condition in snapshot.adapter.status.conditions}
        problems: list[tuple[str, str]] = []
        if snapshot.problem is not None:
            problems.append((snapshot.problem.reason, snapshot.problem.message))
        for error in (snapshot.publication_error, snapshot.adoption_error):
            if error is not None:
                problems.append((error.reason, error.message))
        if base := self._foreign_base():
            problems.append(("BaseModelNotServed", base))
        if (misfit := fit_problem(snapshot.artifact, snapshot.matching))[0] and snapshot.problem is None:
            problems.append(misfit)
        events = [EmitEvent("Warning", reason, note) for reason, note in problems if (reason, note) not in current]
        if keys := ", ".join(snapshot.persisted.unreadable):
            events.append(EmitEvent("Warning", "AnnotationsUnreadable", f"{keys}: cannot be parsed and is reset"))
        return events

    def _artifact(self) -> ArtifactStatus | None:
        artifact = self.context.snapshot.artifact
        return artifact if artifact.hash else None

    def _status(self, status_input: StatusInput) -> ModelAdapterStatus:
        return status_of(self.context.snapshot.adapter, status_input, self.context.now)

    def _input(self, phase: Phase, pods: Sequence[str], reason: str, message: str) -> StatusInput:
        selection = self.context.selection
        return StatusInput(
            phase=phase,
            selected=selection.pods,
            instances=tuple(pods),
            desired=selection.desired,
            candidates=selection.candidates,
            reason=reason,
            message=message,
            progress=self._progress(pods),
            publication_error=self.context.snapshot.publication_error,
            adoption_error=self.context.snapshot.adoption_error,
            foreign_base=self._foreign_base(),
            artifact=self._artifact(),
            misfit=fit_problem(self.context.snapshot.artifact, self.context.snapshot.matching),
            scaling=scaling_conditions(self.context.scaling, self.context.snapshot.scaling_error),
        )

    def _not_serving(self) -> StatusInput:
        context, selected = self.context, self.context.selection.pods
        problem = context.snapshot.problem
        if problem is not None:
            return self._input("Failed", (), problem.reason, problem.message)
        if is_idle(context.snapshot):
            return self._input("Idle", (), "Idle", idle_message(context.snapshot))
        reason, message = self._last_error()
        if self._is_refused():
            minutes = f"{context.settings.pod_cooldown / 60:g}"
            spec = context.snapshot.adapter.spec
            secret = spec.credentials_secret_ref or spec.api_key_secret_ref
            change = "the spec or a Secret that it names" if secret else "the spec"
            note = f"{message}; tried again when {change} changes, or every {minutes} min"
            return self._input("Failed", (), reason, note)
        if not selected:
            return self._input("Pending", (), *self._no_pod())
        if all(context.states[pod].in_cooldown(context.now) for pod in selected):
            until = _time(min(context.states[pod].cooldown_until for pod in selected))
            note = f"{message or 'all selected pods are in cooldown'}; tried again at {until}"
            return self._input("Failed", (), reason or "AllPodsInCooldown", note)
        return self._input("Loading", (), reason, message)

    def _is_refused(self) -> bool:
        """Return whether the adapter itself was refused and is not tried again yet."""
        return self.context.refused_until() > self.context.now

    def _last_error(self) -> tuple[str, str]:
        """Return (reason, message) of the last failed load that still matters, if any.

        An error on a pod that is no longer selected matters only if it concerns the adapter itself.
        """
        context = self.context
        everywhere = not context.selection.pods or self._is_refused()
        errors = [
            (outcome.finished_at, outcome.error.reason, f"{pod}: {outcome.error.message}")
            for pod, state in sorted(context.states.items())
            if (everywhere or pod in context.selection.pods)
            and (outcome := state.failed_load) is not None
            and outcome.error is not None
        ]
        if not errors:
            return "", ""
        _, reason, message = max(errors)
        return reason, message

    def _no_pod(self) -> tuple[str, str]:
        """Return why no pod is selected."""
        spec, matching = self.context.snapshot.adapter.spec, self.context.snapshot.matching
        candidates = self.context.selection.candidates
        if spec.replicas == 0:
            return "ScaledToZero", "replicas is 0"
        if not matching:
            if problems := self._pod_problems():
                return "InvalidPodLabel", problems
            label = f"{ENABLED_LABEL}=true"
            return "NoMatchingPod", f"no pod of the namespace has the label {label} and matches podSelector"
        if candidates:
            full = f"the policy {spec.scheduler_name!r} finds no capacity on {candidates} ready pods"
            limits = "--max-cpu-loras of the engines"
            if any(pod.adapter_memory for pod in matching):
                limits = f"{limits} and the pods' label {MEMORY_LABEL}"
            return "NoCapacity", f"{full}: add pods, or raise {limits}"
        return "NoReadyPod", f"none of {len(matching)} matching pods is ready, stable and out of cooldown"

    # -- progress towards the desired replicas

    def _progress(self, pods: Sequence[str]) -> Progress:
        context, selection = self.context, self.context.selection
        problem = context.snapshot.problem
        if problem is not None:
            return Progress(False, problem.reason, problem.message)
        incomplete = [context.states[pod] for pod in selection.pods if self._is_incomplete(pod, pods)]
        count = f"{len(pods)} of {selection.desired} replicas serve"
        if not incomplete and not selection.missing:
            return Progress(False, "Complete", count)
        if self._is_refused():
            return Progress(False, self._last_error()[0], f"{count}; the adapter itself was refused")
        waits = [self._wait(state) for state in incomplete]
        if selection.missing:
            waits.append(f"{selection.missing} more: {self._no_other_pod()}")
        first = any(
            state.pod not in self.retrying and (state.attempt is None or not state.attempt.retries)
            for state in incomplete
        )
        reason = "Loading" if first else "Retrying"
        if not incomplete:
            reason = "PlacementLimit" if selection.over_limit else "WaitingForPods"
        return Progress(bool(incomplete), reason, f"{count}; {_enumerate(waits)}")

    def _is_incomplete(self, pod: str, serving: Sequence[str]) -> bool:
        move = self.context.selection.move
        if move is not None and move.under_way and pod == move.target:
            return False  # the replica still serves where it was
        return pod not in serving or self.context.states[pod].presence is AdapterPresence.OTHER

    def _wait(self, state: ReplicaState) -> str:
        """Return what one selected pod waits for."""
        if state.view is None:
            return f"{state.pod} is gone"
        if not state.view.ready:
            return f"{state.pod} is not ready"
        if state.presence is AdapterPresence.OTHER:
            return f"{state.pod} still has another artifact"
        if state.in_cooldown(self.context.now):
            outcome = state.failed_load
            cause = f" ({outcome.error.message})" if outcome is not None and outcome.error is not None else ""
            return f"{state.pod} is in cooldown until {_time(state.cooldown_until)}{cause}"
        # Unchanged while the next attempt is in flight: a status that changed twice per attempt would say no more.
        if state.used_attempts:
            return self._attempts(state)
        return f"loading on {state.pod}"

    def _attempts(self, state: ReplicaState) -> str:
        """Return how the attempts on one pod went, as far as it is known.

        An attempt that the object announces and this process did not send may have succeeded, failed, or never begun.
        """
        used, allowed = state.used_attempts, self.context.settings.backoff.retries + 1
        failed = min(state.failures, used)
        if failed == used:
            return f"{failed} of {allowed} attempts on {state.pod} have failed"
        unknown = f"the results of {used - failed} are not known"
        return f"{used} of {allowed} attempts on {state.pod} are used, {unknown}"

    def _no_other_pod(self) -> str:
        """Return why no further pod is selected."""
        selection = self.context.selection
        if selection.over_limit:
            return f"one object can use at most {MOST_PODS} pods: use several adapters, with narrower selectors"
        if selection.candidates > len(selection.pods):
            policy = self.context.snapshot.adapter.spec.scheduler_name
            return f"the policy {policy!r} finds no capacity on the other ready pods"
        return "no other matching pod is ready, stable and out of cooldown"

    def _pod_problems(self) -> str:
        """Return what is wrong with labels of pods that the selector would match."""
        snapshot = self.context.snapshot
        wrong = sorted((pod for pod in snapshot.pods.values() if pod.problem), key=lambda pod: pod.name)
        matches = selector_predicate(snapshot.adapter.spec.pod_selector)
        return "; ".join([pod.problem for pod in wrong if matches(pod.labels)][:_NAMED])

    def _foreign_base(self) -> str:
        """Return a message if a selected engine does not serve the base model that the spec names."""
        context = self.context
        base = context.snapshot.adapter.spec.base_model
        if not base:
            return ""
        for pod in context.selection.pods:
            view = context.states[pod].view
            inventory = context.snapshot.inventory(view) if view is not None else None
            if inventory is not None and inventory.bases and base not in inventory.bases:
                served = ", ".join(sorted(inventory.bases))
                return f"pod {pod} serves {served} and not {base}: correct baseModel or podSelector"
        return ""


def _enumerate(waits: Iterable[str]) -> str:
    texts = list(waits)
    more = len(texts) - _NAMED
    return ", ".join(texts[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _time(seconds: float) -> str:
    """Format whole seconds, in UTC."""
    return format_time(datetime.fromtimestamp(int(seconds), UTC))
