"""The API server: verbs on objects of any registered kind, each call atomic, and watches on what they did.

Everything is in one thread, so a method that does not wait is a transaction. Objects are plain JSON values that
nobody mutates: what a write does not touch, the new object shares with the old one, and who holds an
object holds a snapshot. After each committed write subscribers are called, in order; if one of them writes in
turn, everybody hears of the first write before the second.

What may be stored is decided in `drafts.py` and by the kind (`kinds.py`); here is what happens to it.
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal

from twin.apiserver.meta import selectors
from twin.apiserver.meta.errors import (
    ApiError,
    Object,
    already_exists,
    bad_request,
    not_found,
)
from twin.apiserver.patch import server_side_apply as apply
from twin.apiserver.patch.managed_fields import Owner, equal_but_for_time, track_update, with_given_owners, with_managed
from twin.apiserver.registry import crd, scale, strategy
from twin.apiserver.registry.builtins import builtin_kinds
from twin.apiserver.registry.strategy import PatchType
from twin.apiserver.schema.resource_types import Registry, ResourceType
from twin.apiserver.storage import deletion
from twin.apiserver.storage.deletion import timestamp
from twin.apiserver.storage.gc import GarbageCollector
from twin.apiserver.storage.resource_store import ListResult, ResourceStore
from twin.apiserver.storage.watch import Change, Watch

Subscriber = Callable[[Change], None]

CRDS = "customresourcedefinitions.apiextensions.k8s.io"
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class Store:
    """A Kubernetes API server without its HTTP.

    `now` gives the wall time; `suffix` five characters that make a generated name unique.
    """

    def __init__(self, now: Callable[[], datetime], suffix: Callable[[], str]) -> None:
        self._now = now
        self._suffix = suffix
        self._revision = 0
        self._uids = 0
        self._subscribers: list[tuple[str, Subscriber]] = []
        self._undelivered: deque[Change] = deque()
        self._delivering = False
        self._dry_run = False
        self.kinds = Registry()
        self._tables: dict[str, ResourceStore] = {}
        for kind in builtin_kinds():
            self._serve(kind)
        self._gc = GarbageCollector(self)
        self.subscribe(self._gc.on_change)
        for name in _NAMESPACES:
            self.create("namespaces", {"metadata": {"name": name}})

    # -- Reading

    @property
    def resource_version(self) -> str:
        """Of the latest write to anything."""
        return str(self._revision)

    def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        """The object as it is; with `subresource="scale"` its Scale.

        Raises:
            ApiError: 404, there is none.
        """
        kind = self.kinds[resource]
        found = self._find(kind, namespace, name)
        return scale.view(kind, found) if self._checked(kind, subresource) == "scale" else found

    def list(
        self,
        resource: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        revision: int | None = None,
    ) -> ListResult:
        """Objects by namespace and name; at most `limit` of them, the rest with `continue_token`.

        With `revision`, all objects as they were then (`resourceVersionMatch=Exact`).

        Raises:
            ApiError: 410, what the token or the revision stands for has been forgotten.
        """
        table = self._table(resource)
        wanted = selectors.predicate("", label_selector, field_selector)
        if revision is not None:
            return table.at(revision, namespace=namespace, wanted=wanted)
        return table.page(
            self._revision, namespace=namespace, wanted=wanted, limit=limit, continue_token=continue_token
        )

    def watch(
        self,
        resource: str,
        *,
        resource_version: str = "",
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = False,
    ) -> Watch:
        """Changes after `resource_version`; if that is "" or "0", the present state comes first, as ADDED.

        A version that has been forgotten shows as 410 when the watch is read.
        """
        table = self._table(resource)
        wanted = selectors.predicate(namespace, label_selector, field_selector)
        initial: list[Change] = []
        position: int | None = table.log.end
        if resource_version in ("", "0"):
            found = table.objects(namespace)
            initial = [Change("ADDED", resource, obj) for obj in found if wanted is None or wanted(obj)]
        else:
            position = table.log.position_after(self._readable(resource_version))
        return Watch(
            table.log,
            position=position,
            initial=initial,
            wanted=wanted,
            bookmark=(lambda: self._bookmark(resource)) if bookmarks else None,
        )

    def subscribe(self, callback: Subscriber, resource: str = "") -> None:
        """Call `callback` after each committed write, or each to `resource`, in order."""
        self._subscribers.append((resource, callback))

    def timestamp_after(self, seconds: float) -> str:
        """The server's time in so many seconds, as objects carry it."""
        return timestamp(self._now() + timedelta(seconds=seconds))

    def compact(self) -> None:
        """Forget history: watches and page tokens from before now get 410, as after an etcd compaction."""
        for table in self._tables.values():
            table.log.forget(self._revision)

    # -- Writing

    def create(
        self,
        resource: str,
        obj: Object,
        *,
        namespace: str = "",
        manager: str = "",
        tracked: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Store a new object; with `dry_run`, as with every verb that writes, only say what would be stored.

        With `tracked`, `manager` is written down as the owner of its fields at once; without, owners are tracked from
        the first apply on.

        Raises:
            ApiError: 409 if the name is taken, 422 if a rule is broken, 404 if the namespace is missing.
        """
        self._dry_run = dry_run
        kind = self.kinds[resource]
        strategy.check_identity(kind, obj)
        namespace = strategy.namespace_of(kind, obj, namespace)
        if namespace:
            self._check_namespace(namespace)
        table = self._tables[resource]
        name = strategy.name_for(obj, self._suffix, lambda name: table.get(namespace, name) is not None)
        new = self._draft(kind, obj, name, namespace)
        if table.get(namespace, name) is not None:
            raise already_exists(kind.plural, kind.group, name)
        if tracked:
            new = apply.with_first_owner(kind, new, new, _updater(kind, manager), self._timestamp())
        return self._commit("ADDED", kind, new, None)

    def update(
        self, resource: str, obj: Object, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        """Replace an object, or what `subresource` shows of it.

        Raises:
            ApiError: 409 if its resourceVersion is not the current one.
        """
        self._dry_run = dry_run
        kind = self.kinds[resource]
        meta = obj.get("metadata") or {}
        namespace = str(meta.get("namespace") or ("default" if kind.namespaced else ""))
        old = self._find(kind, namespace, str(meta.get("name", "")))
        if self._checked(kind, subresource) == "scale":
            return scale.view(kind, self._replace(kind, old, scale.write(kind, old, obj), "", manager))
        strategy.check_versioned(kind, obj)
        return self._replace(kind, old, obj, subresource, manager)

    def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        body: Any,
        *,
        type: PatchType = "merge",
        subresource: str = "",
        manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Change an object by a patch; `apply` creates it if need be, and needs a `manager`.

        Raises:
            ApiError: 409 if the body names another resourceVersion, or an apply meets fields of another manager.
        """
        self._dry_run = dry_run
        kind = self.kinds[resource]
        if type == "apply":
            return self._apply(kind, namespace, name, body, self._checked(kind, subresource), manager, force)
        old = self._find(kind, namespace, name)
        if self._checked(kind, subresource) == "scale":
            sent = strategy.apply_patch(kind, scale.blank(kind, old), body, type)
            return scale.view(kind, self._replace(kind, old, scale.write(kind, old, sent), "", manager))
        return self._replace(kind, old, strategy.apply_patch(kind, old, body, type), subresource, manager)

    def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: deletion.Propagation = "Background",
        grace_period: float | None = None,
        dry_run: bool = False,
    ) -> Object | None:
        """Delete an object: at once (None), or when finalizers and grace period (seconds) allow (the object).

        Raises:
            ApiError: 404 if it is gone, 409 if `uid` or `resource_version` is another's.
        """
        self._dry_run = dry_run
        kind = self.kinds[resource]
        old = self._find(kind, namespace, name)
        strategy.check_preconditions(kind, old, uid=uid, resource_version=resource_version)
        new = deletion.marked(kind, old, self._now(), propagation, grace_period)
        if deletion.is_due(new):
            self._commit("DELETED", kind, old, old)
            return None
        return old if new is old else self._commit("MODIFIED", kind, new, old)

    def register_crd(self, manifest: Object) -> None:
        """Serve the kind that a CustomResourceDefinition defines, or serve it anew.

        Raises:
            ApiError: 422, the definition cannot be served; says why.
        """
        name = (manifest.get("metadata") or {}).get("name", "")
        found = self._tables[CRDS].get("", name)
        if found is None:
            self.create(CRDS, manifest)
        else:
            self.update(CRDS, manifest)

    def ensure_namespace(self, name: str) -> None:
        """Make the namespace if it is not there."""
        if self._tables["namespaces"].get("", name) is None:
            self.create("namespaces", {"metadata": {"name": name}})

    # -- How a write comes about

    def _serve(self, kind: ResourceType) -> None:
        self.kinds.add(kind)
        self._tables.setdefault(kind.resource, ResourceStore())

    def _table(self, resource: str) -> ResourceStore:
        return self._tables[self.kinds[resource].resource]

    def _find(self, kind: ResourceType, namespace: str, name: str) -> Object:
        found = self._tables[kind.resource].get(namespace, name)
        if found is None:
            raise not_found(kind.plural, kind.group, name)
        return found

    def _checked(self, kind: ResourceType, subresource: str) -> str:
        if subresource and subresource not in kind.subresources:
            raise ApiError(404, "NotFound", f"{kind.resource} have no subresource {subresource!r}")
        return subresource

    def _check_namespace(self, namespace: str) -> None:
        if self._tables["namespaces"].get("", namespace) is None:
            raise not_found("namespaces", "", namespace)

    def _draft(self, kind: ResourceType, obj: Object, name: str, namespace: str) -> Object:
        number = self._uids + 1
        uid = f"{number >> 32:08x}-0000-4000-8000-{number & 0xFFFFFFFF:012x}"
        return strategy.prepare_create(kind, obj, name=name, namespace=namespace, uid=uid, created=self._timestamp())

    def _replace(self, kind: ResourceType, old: Object, sent: Object, subresource: str, manager: str) -> Object:
        new = strategy.prepare_update(kind, old, sent, subresource)
        if "managedFields" in old["metadata"]:
            owners = old if subresource else with_given_owners(old, sent)
            new = with_managed(new, owners["metadata"]["managedFields"])
            new = track_update(kind, owners, new, _updater(kind, manager, subresource), self._timestamp())
        return old if new is old else self._settle(kind, new, old)

    def _apply(
        self, kind: ResourceType, namespace: str, name: str, body: Object, subresource: str, manager: str, force: bool
    ) -> Object:
        apply.check_request(kind, body, name, manager)
        strategy.check_identity(kind, body)
        namespace = strategy.namespace_of(kind, body, namespace)
        owner = Owner(manager, "Apply", kind.api_version, subresource)
        old = self._tables[kind.resource].get(namespace, name)
        if old is None:
            if subresource:
                raise not_found(kind.plural, kind.group, name)
            self._check_namespace(namespace or "default")
            new = self._draft(kind, body, name, namespace)
            return self._commit("ADDED", kind, apply.with_first_owner(kind, new, body, owner, self._timestamp()), None)
        desired, managed = apply.merged(kind, old, body, owner, force=force, now=self._timestamp())
        new = strategy.prepare_update(kind, old, desired, subresource)
        if new is old and equal_but_for_time(old["metadata"].get("managedFields") or [], managed):
            return old
        return self._settle(kind, with_managed(new, managed), old)

    def _settle(self, kind: ResourceType, new: Object, old: Object) -> Object:
        """Store what takes the place of `old`, unless it was only waiting for its last finalizer to go."""
        return self._commit("DELETED" if deletion.is_due(new) else "MODIFIED", kind, new, old)

    def _commit(
        self, type: Literal["ADDED", "MODIFIED", "DELETED"], kind: ResourceType, obj: Object, old: Object | None
    ) -> Object:
        if self._dry_run:  # nobody hears of it, and nothing was written yet
            return obj
        self._revision += 1
        if type == "ADDED":
            self._uids += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._revision)}}
        change = Change(type, kind.resource, obj, old)
        self._tables[kind.resource].put(change, self._revision)
        self._gc.index(change)
        if kind.resource == CRDS:
            self._on_definition(change)
        self._undelivered.append(change)
        if not self._delivering:
            self._deliver()
        return obj

    def _deliver(self) -> None:
        self._delivering = True
        try:
            while self._undelivered:
                change = self._undelivered.popleft()
                for resource, callback in self._subscribers:
                    if not resource or resource == change.resource:
                        callback(change)
        finally:
            self._delivering = False

    def _on_definition(self, change: Change) -> None:
        kind = crd.resource_type(change.object)
        if change.type == "DELETED":
            for obj in list(self._tables[kind.resource].objects()):
                self._commit("DELETED", kind, obj, obj)
            self.kinds.remove(kind.resource)
        else:
            self._serve(kind)

    def _bookmark(self, resource: str) -> Change:
        kind = self.kinds[resource]
        meta = {"resourceVersion": str(self._revision)}
        return Change("BOOKMARK", resource, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta})

    def _readable(self, resource_version: str) -> int:
        if not resource_version.isascii() or not resource_version.isdigit():
            raise bad_request(f"Invalid value: {resource_version!r}: a resourceVersion is a number")
        if int(resource_version) > self._revision:
            message = f"Too large resource version: {resource_version}, current: {self._revision}"
            raise ApiError(504, "Timeout", message, retry_after=1.0)
        return int(resource_version)

    def _timestamp(self) -> str:
        return timestamp(self._now())


def _updater(kind: ResourceType, manager: str, subresource: str = "") -> Owner:
    """Who writes without an apply."""
    return Owner(manager or "unknown", "Update", kind.api_version, subresource)
