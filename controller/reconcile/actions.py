"""Actions of a plan. Data only: `plan.py` chooses among these, `executor.py` executes them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from controller.api.annotations import PersistedState
from controller.api.types import EndpointSlice, ModelAdapterStatus, Resource, Service
from controller.cache.pod_view import PodView

T = TypeVar("T", bound=Resource)


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let the object be deleted."""


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write the status if it differs from the stored one. A refusal cancels all further actions."""

    status: ModelAdapterStatus


@dataclass(frozen=True, slots=True)
class Write(Generic[T]):
    """Create an object, or patch the current one if it has not changed since it was read."""

    desired: T
    current: T | None = None
    """None if the object does not exist."""
    patch: Mapping[str, Any] = field(default_factory=dict)
    """Merge patch of the current object."""


@dataclass(frozen=True, slots=True)
class PublishEndpoints:
    """Write the Service (if it differs) and the slices that differ; then delete obsolete slices."""

    service: Write[Service] | None
    slices: tuple[Write[EndpointSlice], ...]
    obsolete: tuple[EndpointSlice, ...] = ()
    withdrawal: bool = False
    """True if all that it does is to take away endpoints that no longer serve."""


@dataclass(frozen=True, slots=True)
class WriteAnnotations:
    """Persist the selection, placements and announced attempts in one patch. A conflict cancels all further actions.

    It is the last write before the requests that it announces, so that no other write delays them.
    """

    before: PersistedState
    after: PersistedState
    """The executor replaces the times of new attempts by that of the write."""
    add_finalizer: bool = False
    """True if the object has to be kept from now on until the adapter is unloaded."""


@dataclass(frozen=True, slots=True)
class SetReplicas:
    """Set `spec.replicas` and the time of this change in one patch, which has to succeed before anything follows."""

    replicas: int
    at: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Load:
    """Send the load that the plan announces."""

    pod: PodView


@dataclass(frozen=True, slots=True)
class Unload:
    """Unload the adapter from the pod's engine."""

    pod: PodView


@dataclass(frozen=True, slots=True)
class ListAdapters:
    """List the adapters of the pod's engine."""

    pod: PodView


@dataclass(frozen=True, slots=True)
class Inspect:
    """Let the pod's sidecar read the facts about the artifact."""

    pod: PodView


@dataclass(frozen=True, slots=True)
class AdoptSlices:
    """Mark the slices of the adapter's Service that another operator wrote, so that they are watched and replaced."""


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """Emit a Kubernetes Event."""

    type: str
    reason: str
    note: str


Action = (
    RemoveFinalizer
    | WriteStatus
    | PublishEndpoints
    | WriteAnnotations
    | SetReplicas
    | AdoptSlices
    | Load
    | Unload
    | ListAdapters
    | Inspect
    | EmitEvent
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in order of execution, and when to plan again."""

    actions: tuple[Action, ...]
    selection: tuple[str, ...] = ()
    """Names of the selected pods, which count as occupied even before they are persisted."""
    wake: float = 0.0
    """When to plan again even if nothing changes, in seconds since 1970; 0 if never."""
    waiting_for_slot: tuple[str, ...] = ()
    """Pods whose engines have as many requests in flight as they may: plan again when one ends."""
    unsettled: bool = False
    """True if another pod would be useful: wake this adapter when one appears or becomes ready."""
    short_of_capacity: bool = False
    """True if the policy found no capacity on ready pods: wake this adapter when another one leaves a pod."""
    refused: bool = False
    """True if another Secret may help: wake this adapter when one that it names changes."""
    in_steps: bool = False
    """True between the steps of a move: the next one is planned from what this one writes."""

    @property
    def continues(self) -> bool:
        """True if another plan has to be made from what this one writes, since no request of its own leads to one."""
        loaded = {action.pod.name for action in self.actions if isinstance(action, Load)}
        return self.in_steps or any(_is_continued(action, loaded) for action in self.actions)


def _is_continued(action: Action, loaded: Collection[str]) -> bool:
    """Return whether another plan has to follow a write. `loaded`: pods with a load, whose end leads to one."""
    match action:
        case SetReplicas() | AdoptSlices():
            return True
        case WriteAnnotations(before=before, after=after):
            placed = (pod for pod, place in after.placements.items() if place != before.placements.get(pod))
            # What engines were found to hold can be published; the pod that a replica has left is free.
            decided = before.move != after.move or before.activation != after.activation
            return decided or any(pod not in loaded for pod in placed)
    return False
