"""Garbage collection: what owners own goes with them, or is let go, as the delete asked.

A real collector works from its own informers some time later; this one acts as soon as the write that calls for it
has been told to the store's subscribers. It goes by uid, as the real one: an object whose owners are all gone
is deleted, also if they never were.
"""

from typing import TYPE_CHECKING, NamedTuple

from twin.apiserver.meta.errors import ApiError, Object
from twin.apiserver.storage.deletion import FOREGROUND, ORPHAN
from twin.apiserver.storage.watch import Change

if TYPE_CHECKING:
    from twin.apiserver.storage.store import Store


class Reference(NamedTuple):
    """Where an object is."""

    resource: str
    namespace: str
    name: str


class GarbageCollector:
    """Who owns whom, and what follows from a deletion."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._alive: dict[str, Reference] = {}
        self._dependents: dict[str, dict[Reference, None]] = {}

    def index(self, change: Change) -> None:
        """Take note of a write as soon as it is committed."""
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
        """Do what a write calls for."""
        meta = change.object["metadata"]
        owners = meta.get("ownerReferences")
        if change.type == "DELETED":
            for dependent in list(self._dependents.get(meta["uid"], ())):
                self._collect(dependent)
            for owner in owners or ():
                self._finish_foreground(owner["uid"])
            if change.resource == "namespaces":
                self._empty(meta["name"])
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
            return self._store.get(*reference)
        except ApiError:
            return None

    # -- What to do

    def _collect(self, reference: Reference) -> None:
        """Delete an object none of whose owners is left; else drop the references to those that are gone."""
        obj = self._object(reference)
        if obj is None:
            return
        owners = obj["metadata"].get("ownerReferences") or []
        kept = [owner for owner in owners if self._holds(owner)]
        if any(self._is_solid(owner) for owner in kept):
            self._keep_owners(reference, obj, kept)
        elif owners:
            self._delete(reference, obj)

    def _holds(self, owner: Object) -> bool:
        """Whether an owner exists, or is of a kind that nobody here can judge."""
        return owner["uid"] in self._alive or self._store.kinds.of_object(owner) is None

    def _is_solid(self, owner: Object) -> bool:
        """Whether an owner is there to stay: not one that waits for its dependents to be deleted."""
        found = self._object(self._alive.get(owner["uid"]))
        return found is None or not _waits_in_foreground(found)

    def _keep_owners(self, reference: Reference, obj: Object, kept: list[Object]) -> None:
        if len(kept) < len(obj["metadata"]["ownerReferences"]):
            body = {"metadata": {"ownerReferences": kept or None, "uid": obj["metadata"]["uid"]}}
            self._store.patch(*reference, body, manager="kube-controller-manager")

    def _delete(self, reference: Reference, obj: Object) -> None:
        if "deletionTimestamp" in obj["metadata"]:
            return
        uid = obj["metadata"]["uid"]
        finalizers = obj["metadata"].get("finalizers") or ()
        below = any(self._blocks(dependent, uid) for dependent in self._dependents.get(uid, ()))
        if ORPHAN in finalizers:
            self._store.delete(*reference, uid=uid, propagation="Orphan")
        else:
            self._store.delete(*reference, uid=uid, propagation="Foreground" if below else "Background")

    def _delete_dependents(self, uid: str) -> None:
        for dependent in list(self._dependents.get(uid, ())):
            obj = self._object(dependent)
            if obj is None:
                continue
            others = [owner for owner in obj["metadata"]["ownerReferences"] if owner["uid"] != uid]
            if any(self._holds(owner) and self._is_solid(owner) for owner in others):
                self._keep_owners(dependent, obj, others)
            else:
                self._delete(dependent, obj)
        self._finish_foreground(uid)

    def _orphan_dependents(self, uid: str) -> None:
        for dependent in list(self._dependents.get(uid, ())):
            if obj := self._object(dependent):
                owners = obj["metadata"]["ownerReferences"]
                self._keep_owners(dependent, obj, [owner for owner in owners if owner["uid"] != uid])
        self._drop_finalizer(uid, ORPHAN)

    def _finish_foreground(self, uid: str) -> None:
        """Let go an owner that waits for its dependents, once none that blocks it is left."""
        found = self._object(self._alive.get(uid))
        if found is None or not _waits_in_foreground(found):
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
        self._store.patch(*reference, {"metadata": {"finalizers": left or None}}, manager="kube-controller-manager")

    def _empty(self, namespace: str) -> None:
        """Delete what was in a namespace that is gone; a real server does so before the namespace goes."""
        for kind in list(self._store.kinds):
            if kind.namespaced:
                for obj in self._store.list(kind.resource, namespace=namespace).items:
                    name = obj["metadata"]["name"]
                    if self._object(Reference(kind.resource, namespace, name)) is not None:
                        self._store.delete(kind.resource, namespace, name, grace_period=0)


def _reference(change: Change) -> Reference:
    meta = change.object["metadata"]
    return Reference(change.resource, meta.get("namespace", ""), meta["name"])


def _waits_in_foreground(obj: Object) -> bool:
    meta = obj["metadata"]
    return "deletionTimestamp" in meta and FOREGROUND in (meta.get("finalizers") or ())
