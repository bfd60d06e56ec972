"""Garbage collection: deletes or orphans the dependents of a deleted owner.

The collector of a real cluster acts later, from its own informers; this one acts when the store delivers the change.
Owners are identified by uid, as in a real cluster: an object whose owners do not exist is deleted, even if they never
existed.
"""

from typing import Any, NamedTuple, Protocol

from twin.apiserver.meta.errors import ApiError, Object
from twin.apiserver.schema.resource_types import Registry
from twin.apiserver.storage.deletion import FOREGROUND, ORPHAN, Propagation
from twin.apiserver.storage.resource_store import ListResult
from twin.apiserver.storage.watch import Change

_MANAGER = "kube-controller-manager"


class ObjectClient(Protocol):
    """The verbs that the collector uses."""

    def get(self, resource: str, namespace: str, name: str) -> Object: ...

    def list(self, resource: str, *, namespace: str) -> ListResult: ...

    def patch(self, resource: str, namespace: str, name: str, body: Any, *, manager: str) -> Object: ...

    def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = ...,
        propagation: Propagation = ...,
        grace_period: float | None = ...,
    ) -> Object | None: ...


class Reference(NamedTuple):
    """Location of an object."""

    resource: str
    namespace: str
    name: str


class GarbageCollector:
    """Index of owners and dependents, and the deletions that follow from it."""

    def __init__(self, client: ObjectClient, kinds: Registry) -> None:
        self._client = client
        self._kinds = kinds
        self._alive: dict[str, Reference] = {}
        self._dependents: dict[str, dict[Reference, None]] = {}

    def index(self, change: Change) -> None:
        """Update the index after a commit, before subscribers are called."""
        meta = change.object["metadata"]
        if change.type == "MODIFIED":
            before = change.old["metadata"].get("ownerReferences") if change.old else None
            if before is meta.get("ownerReferences"):
                return
            self._unlink(change)
            self._link(change)
        elif change.type == "ADDED":
            self._alive[meta["uid"]] = _reference(change)
            self._link(change)
        else:
            self._alive.pop(meta["uid"], None)
            self._unlink(change)

    def on_change(self, change: Change) -> None:
        """Delete or orphan dependents after a change."""
        meta = change.object["metadata"]
        owners = meta.get("ownerReferences")
        if change.type == "DELETED":
            for dependent in list(self._dependents.get(meta["uid"], ())):
                self._collect(dependent)
            for owner in owners or ():
                self._finish_foreground(owner["uid"])
            return
        before = change.old["metadata"] if change.old else {}
        if owners and owners is not before.get("ownerReferences"):
            self._collect(_reference(change))
        for owner in before.get("ownerReferences") or () if owners is not before.get("ownerReferences") else ():
            self._finish_foreground(owner["uid"])
        finalizers = meta.get("finalizers")
        if "deletionTimestamp" in meta and finalizers is not before.get("finalizers"):
            if FOREGROUND in (finalizers or ()):
                self._delete_dependents(meta["uid"])
            elif ORPHAN in (finalizers or ()):
                self._orphan_dependents(meta["uid"])

    # -- The index

    def _link(self, change: Change) -> None:
        for owner in change.object["metadata"].get("ownerReferences") or ():
            self._dependents.setdefault(owner["uid"], {})[_reference(change)] = None

    def _unlink(self, change: Change) -> None:
        reference = _reference(change)
        for owner in (change.old or change.object)["metadata"].get("ownerReferences") or ():
            dependents = self._dependents.get(owner["uid"], {})
            dependents.pop(reference, None)
            if not dependents:
                self._dependents.pop(owner["uid"], None)

    def _object(self, reference: Reference | None) -> Object | None:
        if reference is None:
            return None
        try:
            return self._client.get(*reference)
        except ApiError:
            return None

    # -- Deletions

    def _collect(self, reference: Reference) -> None:
        """Delete an object without remaining owners; otherwise remove its references to missing owners."""
        obj = self._object(reference)
        if obj is None:
            return
        owners = obj["metadata"].get("ownerReferences") or []
        kept = [owner for owner in owners if self._may_exist(owner)]
        if any(self._is_staying(owner) for owner in kept):
            self._keep_owners(reference, obj, kept)
        elif owners:
            self._delete(reference, obj, owner_waits=bool(kept))

    def _may_exist(self, owner: Object) -> bool:
        """Return whether an owner exists or is of an unknown kind."""
        return owner["uid"] in self._alive or self._kinds.of_object(owner) is None

    def _is_staying(self, owner: Object) -> bool:
        """Return whether an owner is not itself waiting for its dependents to be deleted."""
        obj = self._object(self._alive.get(owner["uid"]))
        return obj is None or not _is_deleted_in_foreground(obj)

    def _keep_owners(self, reference: Reference, obj: Object, kept: list[Object]) -> None:
        if len(kept) < len(obj["metadata"]["ownerReferences"]):
            body = {"metadata": {"ownerReferences": kept or None, "uid": obj["metadata"]["uid"]}}
            self._client.patch(*reference, body, manager=_MANAGER)

    def _delete(self, reference: Reference, obj: Object, *, owner_waits: bool) -> None:
        """Delete an object: in the foreground if an owner waits for it and it has dependents itself."""
        if "deletionTimestamp" in obj["metadata"]:
            return
        uid = obj["metadata"]["uid"]
        dependents = self._dependents.get(uid, ())
        if ORPHAN in (obj["metadata"].get("finalizers") or ()):
            self._client.delete(*reference, uid=uid, propagation="Orphan")
        elif owner_waits and dependents:
            self._break_cycle(reference, obj)
            self._client.delete(*reference, uid=uid, propagation="Foreground")
        else:
            self._client.delete(*reference, uid=uid, propagation="Background")

    def _break_cycle(self, reference: Reference, obj: Object) -> None:
        """Let an object block its owners no longer if one of its dependents waits for it, as it may be its owner."""
        dependents = [self._object(dependent) for dependent in self._dependents.get(obj["metadata"]["uid"], ())]
        if any(item is not None and _is_deleted_in_foreground(item) for item in dependents):
            owners = [{**owner, "blockOwnerDeletion": False} for owner in obj["metadata"]["ownerReferences"]]
            self._client.patch(*reference, {"metadata": {"ownerReferences": owners}}, manager=_MANAGER)

    def _delete_dependents(self, uid: str) -> None:
        for dependent in list(self._dependents.get(uid, ())):
            obj = self._object(dependent)
            if obj is None:
                continue
            others = [owner for owner in obj["metadata"]["ownerReferences"] if owner["uid"] != uid]
            if any(self._may_exist(owner) and self._is_staying(owner) for owner in others):
                self._keep_owners(dependent, obj, others)
            else:
                self._delete(dependent, obj, owner_waits=True)
        self._finish_foreground(uid)

    def _orphan_dependents(self, uid: str) -> None:
        for dependent in list(self._dependents.get(uid, ())):
            if obj := self._object(dependent):
                owners = obj["metadata"]["ownerReferences"]
                self._keep_owners(dependent, obj, [owner for owner in owners if owner["uid"] != uid])
        self._drop_finalizer(uid, ORPHAN)

    def _finish_foreground(self, uid: str) -> None:
        """Remove the finalizer of an owner whose blocking dependents are all gone."""
        obj = self._object(self._alive.get(uid))
        if obj is None or not _is_deleted_in_foreground(obj):
            return
        if not any(self._blocks(dependent, uid) for dependent in self._dependents.get(uid, ())):
            self._drop_finalizer(uid, FOREGROUND)

    def _blocks(self, dependent: Reference, uid: str) -> bool:
        obj = self._object(dependent)
        owners = obj["metadata"].get("ownerReferences") or () if obj else ()
        return any(owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in owners)

    def _drop_finalizer(self, uid: str, finalizer: str) -> None:
        reference = self._alive.get(uid)
        obj = self._object(reference)
        if reference is None or obj is None:
            return
        left = [name for name in obj["metadata"].get("finalizers") or () if name != finalizer]
        self._client.patch(*reference, {"metadata": {"finalizers": left or None}}, manager=_MANAGER)


def _reference(change: Change) -> Reference:
    meta = change.object["metadata"]
    return Reference(change.resource, meta.get("namespace", ""), meta["name"])


def _is_deleted_in_foreground(obj: Object) -> bool:
    meta = obj["metadata"]
    return "deletionTimestamp" in meta and FOREGROUND in (meta.get("finalizers") or ())
