"""What a plan may ask for. Data only: `plan.py` chooses among these, `reconciler.py` carries them out."""

from dataclasses import dataclass

from controller.api.annotations import PersistedState
from controller.api.types import EndpointSlice, ModelAdapterStatus, Service
from controller.cache.pod_view import PodView


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Hold the object until engines are clean."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let the object go."""


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write the status if it differs from what is stored."""

    status: ModelAdapterStatus


@dataclass(frozen=True, slots=True)
class PublishEndpoints:
    """Write the Service (if it differs) and slices; delete slices that are too many."""

    service: Service | None
    slices: tuple[EndpointSlice, ...]
    obsolete: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WriteAnnotations:
    """Write annotations: drop what is over, announce what comes next. A conflict means that nothing follows."""

    before: PersistedState
    after: PersistedState


@dataclass(frozen=True, slots=True)
class Load:
    """Send a load that was announced at that time, seconds since 1970."""

    pod: PodView
    announced: float


@dataclass(frozen=True, slots=True)
class Unload:
    """Ask the engine to give the adapter up."""

    pod: PodView


@dataclass(frozen=True, slots=True)
class ListAdapters:
    """Ask the engine what it holds."""

    pod: PodView


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """A Kubernetes Event for users."""

    type: str
    reason: str
    note: str


Action = (
    AddFinalizer
    | RemoveFinalizer
    | WriteStatus
    | PublishEndpoints
    | WriteAnnotations
    | Load
    | Unload
    | ListAdapters
    | EmitEvent
)


@dataclass(frozen=True, slots=True)
class Plan:
    actions: tuple[Action, ...]
    wake: float = 0.0
    """When to plan again even if nothing changes, seconds since 1970; 0 if never."""
    waiting_for_slot: tuple[str, ...] = ()
    """Pods whose engines have as many requests as they may: plan again when one ends."""
    unsettled: bool = False
    """Whether another pod would be of use: wake this adapter when one appears or becomes ready."""
    refused: bool = False
    """Whether another Secret may be of use: wake this adapter when one that it names changes."""
