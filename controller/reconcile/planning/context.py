"""Input of every decision about one adapter, once its pods are selected."""

from collections.abc import Mapping
from dataclasses import dataclass

from controller.api.annotations import scaled_at
from controller.demand.scaling import ScalingDecision
from controller.engine.errors import Scope
from controller.reconcile.planning.selection import Selection
from controller.reconcile.replica_state import AdapterPresence, ReplicaState
from controller.reconcile.snapshot import Snapshot
from controller.settings import Settings

_DRAIN = 1.5
"""Seconds between the withdrawal of a replica and its unload, after a change by demand, a move, or when idle."""


@dataclass(frozen=True, slots=True)
class PlanContext:
    """One adapter at one instant, with its selected pods."""

    snapshot: Snapshot
    states: Mapping[str, ReplicaState]
    """By pod name: all selected pods, and all others on which the adapter is or was."""
    selection: Selection
    now: float
    """Seconds since 1970."""
    settings: Settings
    scaling: ScalingDecision | None = None
    """Decision about the replicas, for an adapter with autoscaling."""

    def serves(self, pod: str) -> bool:
        """Return whether the pod may be published: available, and its engine holds (or held) the adapter."""
        state = self.states[pod]
        view = state.view
        if view is None or not view.available or state.presence is AdapterPresence.GONE or state.placement is None:
            return False
        if state.busy == "unload":
            return False
        if state.presence is AdapterPresence.UNKNOWN:
            return pod in self.snapshot.adapter.status.instances
        return state.presence in (AdapterPresence.DESIRED, AdapterPresence.OTHER)

    def drained_at(self) -> float:
        """Return the time until which a replica stays loaded that is no longer needed; 0 if none does.

        Gateways learn of its withdrawal late, and send it requests until then.
        """
        adapter, move = self.snapshot.adapter, self.selection.move
        scaled = scaled_at(adapter.metadata.annotations) if adapter.spec.autoscaling is not None else 0.0
        activation = self.snapshot.persisted.activation
        decided = activation.since if activation is not None else 0.0
        times = (scaled, decided, move.finished if move is not None else 0.0)
        return max((time + _DRAIN for time in times if 0 < time <= self.now), default=0.0)

    def publication_waits(self) -> bool:
        """Return whether the API server refused to publish the adapter and is not asked again yet."""
        error = self.snapshot.publication_error
        return error is not None and error.retry_at > self.now

    def status_waits(self) -> bool:
        """Return whether the API server refused the status and is not asked again yet."""
        error = self.snapshot.status_error
        return error is not None and error.retry_at > self.now

    def held_until(self, pod: str) -> float:
        """Return the time until which no load or unload is sent to the pod; 0 if it may be sent.

        A pod has to leave the status first. If that is refused, the request waits for the next attempt. The deletion of
        an adapter waits for as many refusals as a load has attempts.
        """
        snapshot, error = self.snapshot, self.snapshot.status_error
        if error is None or error.retry_at <= self.now or pod not in snapshot.adapter.status.instances:
            return 0.0
        deleting = snapshot.adapter.metadata.deletion_timestamp is not None
        return 0.0 if deleting and self.settings.backoff.exhausted(error.failures) else error.retry_at

    def refused_until(self) -> float:
        """Return the time until which the adapter itself counts as refused; 0 if it does not."""
        return max(
            (
                outcome.finished_at + self.settings.pod_cooldown
                for state in self.states.values()
                if (outcome := state.failed_load) is not None
                and outcome.error is not None
                and not outcome.error.retriable
                and outcome.error.scope is Scope.ADAPTER
            ),
            default=0.0,
        )
