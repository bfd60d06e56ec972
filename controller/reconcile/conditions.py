"""What users are told about an adapter: phase, conditions and their words, from what was observed and decided. Pure.

A message names the object, the cause and the next step, and stays the same while nothing changes, since each new one
is a write. `status.py` turns a `StatusInput` into conditions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from controller.api.annotations import MOST_PODS
from controller.reconcile.actions import EmitEvent
from controller.reconcile.replica_state import AdapterPresence, ReplicaState
from controller.reconcile.selection import Selection
from controller.reconcile.snapshot import Snapshot
from controller.reconcile.status import Phase, Progress, StatusInput
from controller.settings import Settings
from formats.timestamps import format_time

_NAMED = 3
"""Pods that a message names at most."""


@dataclass(frozen=True, slots=True)
class ConditionBuilder:
    """One adapter's account at one instant."""

    snapshot: Snapshot
    now: float
    settings: Settings
    states: Mapping[str, ReplicaState]
    selection: Selection
    refused_until: float
    """Until when the adapter itself counts as refused; 0 if it does not."""

    def serving(self, phase: Phase, pods: Sequence[str]) -> StatusInput:
        """At least one pod serves, or is about to."""
        reason, message = self.trouble()
        return self._situation(phase, pods, reason, message)

    def not_serving(self) -> StatusInput:
        """Nothing serves: Pending, Loading or Failed, and why."""
        snapshot, selected = self.snapshot, self.selection.pods
        if snapshot.problem is not None:
            return self._situation("Failed", (), snapshot.problem.reason, snapshot.problem.message)
        reason, message = self.trouble()
        if self.refused_until > self.now:
            minutes = f"{self.settings.pod_cooldown / 60:g}"
            named = snapshot.adapter.spec.credentials_secret_ref or snapshot.adapter.spec.api_key_secret_ref
            change = "the spec or a Secret that it names" if named else "the spec"
            note = f"{message}; tried again when {change} changes, or every {minutes} min"
            return self._situation("Failed", (), reason, note)
        if not selected:
            return self._situation("Pending", (), *self._nobody())
        if all(self.states[name].in_cooldown(self.now) for name in selected):
            again = _moment(min(self.states[name].cooldown_until for name in selected))
            note = f"{message or 'every pod was given up for now'}; tried again at {again}"
            return self._situation("Failed", (), reason or "AllPodsAside", note)
        return self._situation("Loading", (), reason, message)

    def warnings(self) -> list[EmitEvent]:
        """Events for what only a user can mend, each once: not if the conditions say so already."""
        known = {(condition.reason, condition.message) for condition in self.snapshot.adapter.status.conditions}
        matches: list[tuple[str, str]] = []
        if self.snapshot.problem is not None:
            matches.append((self.snapshot.problem.reason, self.snapshot.problem.message))
        if base := self._foreign_base():
            matches.append(("BaseModelNotServed", base))
        told = [EmitEvent("Warning", reason, note) for reason, note in matches if (reason, note) not in known]
        if keys := ", ".join(self.snapshot.persisted.unreadable):
            told.append(EmitEvent("Warning", "AnnotationsUnreadable", f"{keys}: cannot be read, so it starts afresh"))
        return told

    def trouble(self) -> tuple[str, str]:
        """(reason, message) of the last failed load that still matters, if any.

        That of a pod that was given up for another matters only if it speaks against the adapter itself.
        """
        everywhere = not self.selection.pods or self.refused_until > self.now
        errors = [
            (state.outcome.finished_at, state.outcome.error.reason, f"{name}: {state.outcome.error.message}")
            for name, state in sorted(self.states.items())
            if (everywhere or name in self.selection.pods)
            and state.outcome is not None
            and state.outcome.error is not None
            and state.outcome.verb == "load"
        ]
        if not errors:
            return "", ""
        _, reason, message = max(errors)
        return reason, message

    def _situation(self, phase: Phase, pods: Sequence[str], reason: str, message: str) -> StatusInput:
        return StatusInput(
            phase=phase,
            selected=self.selection.pods,
            instances=tuple(pods),
            desired=self.selection.desired,
            candidates=self.selection.candidates,
            reason=reason,
            message=message,
            progress=self._progress(pods),
            foreign_base=self._foreign_base(),
        )

    def _nobody(self) -> tuple[str, str]:
        """Why no pod is selected."""
        spec, matches = self.snapshot.adapter.spec, self.snapshot.matching
        if spec.replicas == 0:
            return "ScaledToZero", "replicas is 0"
        if not matches:
            label = "adapter.model.aibrix.ai/enabled=true"
            return "NoMatchingPod", f"no pod of the namespace has the label {label} and matches podSelector"
        if self.selection.candidates:
            full = f"the policy {spec.scheduler_name!r} finds no room on {self.selection.candidates} ready pods"
            return "NoCapacity", f"{full}: add pods, or raise --max-cpu-loras of the engines"
        return "NoReadyPod", f"none of {len(matches)} matching pods is ready, stable and free to take it"

    # -- progress: have as many replicas as are wanted, or what keeps it

    def _progress(self, pods: Sequence[str]) -> Progress:
        snapshot = self.snapshot
        if snapshot.problem is not None:
            return Progress(False, snapshot.problem.reason, snapshot.problem.message)
        lacking = [self.states[name] for name in self.selection.pods if self._lacks(name, pods)]
        have = f"{len(pods)} of {self.selection.desired} replicas serve"
        if not lacking and not self.selection.missing:
            return Progress(False, "Complete", have)
        if self.refused_until > self.now:
            return Progress(False, self.trouble()[0], f"{have}; the adapter itself was refused")
        waits = [self._wait(state) for state in lacking]
        if self.selection.missing:
            waits.append(f"{self.selection.missing} more: {self._nobody_else()}")
        reason = (
            "Loading" if any(state.attempt is None or not state.attempt.retries for state in lacking) else "Retrying"
        )
        if not lacking:
            reason = "TooManyPods" if self.selection.beyond else "WaitingForPods"
        return Progress(bool(lacking), reason, f"{have}; {_listed(waits)}")

    def _lacks(self, name: str, pods: Sequence[str]) -> bool:
        return name not in pods or self.states[name].presence is AdapterPresence.OTHER

    def _wait(self, state: ReplicaState) -> str:
        """What one selected pod waits for."""
        if state.view is None:
            return f"{state.pod} is gone"
        if not state.view.ready:
            return f"{state.pod} is not ready"
        if state.presence is AdapterPresence.OTHER:
            return f"{state.pod} still has another artifact"
        if state.in_cooldown(self.now):
            return f"{state.pod} is left aside until {_moment(state.cooldown_until)}"
        # The same words while the next attempt is under way: a status that changed twice an attempt tells no more.
        failed = 0 if state.attempt is None else state.attempt.retries + (state.busy != "load")
        if failed:
            return f"{failed} of {self.settings.backoff.retries + 1} attempts on {state.pod} have failed"
        return f"loading on {state.pod}"

    def _nobody_else(self) -> str:
        if self.selection.beyond:
            return f"one object can remember {MOST_PODS} pods: use several adapters, with narrower selectors"
        if self.selection.candidates > len(self.selection.pods):
            return f"the policy {self.snapshot.adapter.spec.scheduler_name!r} finds no room on the other ready pods"
        return "no other matching pod is ready, stable and free"

    # -- what is suspicious

    def _foreign_base(self) -> str:
        """What is said if the selected engines do not serve the base model that the spec names."""
        base = self.snapshot.adapter.spec.base_model
        if not base:
            return ""
        for name in self.selection.pods:
            view = self.states[name].view
            known = self.snapshot.inventory(view) if view is not None else None
            if known is not None and known.bases and base not in known.bases:
                served = ", ".join(sorted(known.bases))
                return f"pod {name} serves {served} and not {base}: correct baseModel or podSelector"
        return ""


def _listed(waits: Iterable[str]) -> str:
    texts = list(waits)
    more = len(texts) - _NAMED
    return ", ".join(texts[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _moment(seconds: float) -> str:
    """Whole seconds, in UTC."""
    return format_time(datetime.fromtimestamp(int(seconds), UTC))
