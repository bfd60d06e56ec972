"""Ownership of the objects that publish an adapter. Pure.

An object is an adapter's if the adapter is its controller, by UID. One that has lost its owner and still carries the
adapter's label is adopted, as Kubernetes' controllers adopt orphans. Objects of others are never written or deleted.
"""

from controller.api.labels import NAME_LABEL
from controller.api.types import GROUP, ModelAdapter, OwnerReference, Resource


def owner_reference(adapter: ModelAdapter) -> OwnerReference:
    """Return the reference that makes the adapter an object's controller."""
    return OwnerReference(
        api_version=f"{GROUP}/v1alpha1",
        kind="ModelAdapter",
        name=adapter.metadata.name,
        uid=adapter.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


def controller_of(obj: Resource) -> OwnerReference | None:
    """Return the owner that controls the object."""
    return next((owner for owner in obj.metadata.owner_references if owner.controller), None)


def is_owned(adapter: ModelAdapter, obj: Resource) -> bool:
    """Return whether the object is the adapter's, or an orphan that it may adopt."""
    controller = controller_of(obj)
    if controller is not None:
        return controller.uid == adapter.metadata.uid
    return obj.metadata.labels.get(NAME_LABEL) == adapter.metadata.name


def adapter_name_of(obj: Resource) -> str:
    """Return the name of the adapter that a Service or slice belongs to by its owner, else by its label."""
    controller = controller_of(obj)
    if controller is not None:
        return controller.name if controller.kind == "ModelAdapter" else ""
    return obj.metadata.labels.get(NAME_LABEL, "")


def described_owner(obj: Resource) -> str:
    """Return who owns the object, as an error message says it."""
    controller = controller_of(obj)
    if controller is None:
        return "belongs to no controller and lacks this adapter's label"
    if controller.kind == "ModelAdapter":
        return f"belongs to ModelAdapter {controller.name} with UID {controller.uid}"
    return f"belongs to {controller.kind} {controller.name}"
