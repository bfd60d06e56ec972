"""The object store of the API server: CRUD and watch for every registered kind.

Everything runs in one thread, so a method that does not wait is a transaction. Objects are plain JSON values and are
never mutated: a new object shares the unchanged parts of the old one, and a reference to an object is a snapshot.
Subscribers are called in order after each committed write. If a subscriber writes, all subscribers get the first
change before the second.

`registry/strategy.py` and the kind (`schema/resource_types.py`) decide what may be stored.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal

from formats.timestamps import format_time
from twin.apiserver.meta import selectors
from twin.apiserver.meta.errors import Object, already_exists, bad_request, not_found, version_too_large
from twin.apiserver.patch import server_side_apply as apply
from twin.apiserver.patch.managed_fields import (
    Owner,
    equal_but_for_time,
    track_update,
    updater,
    with_client_owners,
    with_managed,
)
from twin.apiserver.registry import crd, scale, strategy
from twin.apiserver.registry.builtins import builtin_kinds
from twin.apiserver.registry.strategy import PatchType
from twin.apiserver.schema.resource_types import Registry, ResourceType
from twin.apiserver.storage import deletion
from twin.apiserver.storage.admission_plugins import AdmissionPlugins
from twin.apiserver.storage.gc import GarbageCollector
from twin.apiserver.storage.notifier import ChangeNotifier, Subscriber
from twin.apiserver.storage.options import WriteOptions
from twin.apiserver.storage.resource_store import ListResult, ResourceStore
from twin.apiserver.storage.watch import Change, Watch
from twin.kernel.failures import OnFailure, reraise

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]

CRDS = "customresourcedefinitions.apiextensions.k8s.io"
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class Store:
    """A Kubernetes API server without HTTP."""

    def __init__(self, now: Callable[[], datetime], suffix: Callable[[], str], on_failure: OnFailure = reraise) -> None:
        """Create a store with the builtin kinds and the default namespaces.

        Args:
            now: returns the wall-clock time.
            suffix: returns five characters that make a generated name unique.
            on_failure: handles an exception in a subscriber.
        """
        self._now = now
        self._suffix = suffix
        self._revision = 0
        self._uids = 0
        self._notifier = ChangeNotifier(on_failure)
        self.kinds = Registry()
        self._objects: dict[str, ResourceStore] = {}
        for kind in builtin_kinds():
            self._serve(kind)
        self.plugins = AdmissionPlugins(self.kinds, self._objects)
        self._garbage_collector = GarbageCollector(self, self.kinds)
        self.subscribe(self._garbage_collector.on_change)
        for name in _NAMESPACES:
            self.create("namespaces", {"metadata": {"name": name}})

    # -- Reading

    @property
    def resource_version(self) -> str:
        """Version of the latest write to any object."""
        return str(self._revision)

    def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        """Return an object, or its Scale with `subresource="scale"`.

        Raises:
            ApiError: 404 if the object does not exist.
        """
        kind = self.kinds[resource]
        obj = self._require(kind, namespace, name)
        return scale.read_scale(kind, obj) if strategy.check_subresource(kind, subresource) == "scale" else obj

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
        """Return objects sorted by namespace and name, at most `limit` (0 = all).

        `continue_token` is the token of the previous page; `revision` lists the objects as of an earlier revision
        (`resourceVersionMatch=Exact`).

        Raises:
            ApiError: 410 if the revision or the token's revision has been compacted.
        """
        objects = self._objects_of(resource)
        matches = selectors.predicate("", label_selector, field_selector)
        if revision is not None:
            return objects.list_at(revision, namespace=namespace, matches=matches)
        return objects.page(
            self._revision, namespace=namespace, matches=matches, limit=limit, continue_token=continue_token
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
        """Watch changes after `resource_version`.

        With version "" or "0" the watch begins with an ADDED change for each existing object. Reading a watch from a
        compacted version raises 410.
        """
        objects = self._objects_of(resource)
        matches = selectors.predicate(namespace, label_selector, field_selector)
        initial: list[Change] = []
        position: int | None = objects.changes.end
        if resource_version in ("", "0"):
            current = objects.objects(namespace)
            initial = [Change("ADDED", resource, obj) for obj in current if matches is None or matches(obj)]
        else:
            position = objects.changes.position_after(self._parse_version(resource_version))
        return Watch(
            objects.changes,
            position=position,
            initial=initial,
            matches=matches,
            bookmark=(lambda: self._bookmark(resource)) if bookmarks else None,
        )

    def subscribe(self, callback: Subscriber, resource: str = "") -> None:
        """Call `callback` after each committed write to `resource` (empty = any resource)."""
        self._notifier.subscribe(callback, resource)

    def timestamp_after(self, seconds: float) -> str:
        """Return the server's time in `seconds` from now, as RFC 3339."""
        return format_time(self._now() + timedelta(seconds=seconds))

    def compact(self) -> None:
        """Drop the change history: watches and page tokens of earlier versions get 410, as after etcd compaction."""
        for objects in self._objects.values():
            objects.changes.compact(self._revision)

    def restart_versions(self) -> None:
        """Number all objects from 1 again and drop the history, as after etcd was restored into a new cluster."""
        self._revision = 0
        for objects in self._objects.values():
            self._revision = objects.renumber(self._revision)
        self.compact()

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
        """Store a new object and return it.

        With `tracked`, field owners are tracked from now on, otherwise from the first apply. With `dry_run`, as in
        every verb that writes, nothing is stored.

        Raises:
            ApiError: 409 if the object exists, 422 if it is invalid, 404 if the namespace does not exist.
        """
        kind = self.kinds[resource]
        strategy.check_identity(kind, obj)
        namespace = strategy.namespace_of(kind, obj, namespace)
        if namespace:
            self._check_namespace(kind, obj, namespace)
        objects = self._objects[resource]
        name = strategy.name_for(obj, self._suffix, lambda name: objects.get(namespace, name) is not None)
        new = self._prepare_create(kind, obj, name, namespace)
        if objects.get(namespace, name) is not None:
            raise already_exists(kind.plural, kind.group, name)
        if tracked:
            new = apply.with_first_owner(kind, new, new, updater(kind, manager), self._timestamp())
        return self._commit("ADDED", kind, new, None, dry_run=dry_run)

    def update(
        self, resource: str, obj: Object, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        """Replace an object or its subresource.

        Raises:
            ApiError: 409 if the resourceVersion of `obj` is not the current one.
        """
        kind = self.kinds[resource]
        meta = obj.get("metadata") or {}
        namespace = str(meta.get("namespace") or ("default" if kind.namespaced else ""))
        old = self._require(kind, namespace, str(meta.get("name", "")))
        if strategy.check_subresource(kind, subresource) == "scale":
            new = scale.write_scale(kind, old, obj)
            return scale.read_scale(kind, self._replace(kind, old, new, WriteOptions(manager, "", dry_run)))
        strategy.check_versioned(kind, obj)
        return self._replace(kind, old, obj, WriteOptions(manager, subresource, dry_run))

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
        """Patch an object. A patch of type `apply` needs a `manager` and creates the object if it does not exist.

        Raises:
            ApiError: 409 if the body has another resourceVersion, or if an apply conflicts with another manager.
        """
        kind = self.kinds[resource]
        options = WriteOptions(manager, subresource, dry_run)
        if type == "apply":
            strategy.check_subresource(kind, subresource)
            return self._apply(kind, (namespace, name), body, options, force=force)
        old = self._require(kind, namespace, name)
        if strategy.check_subresource(kind, subresource) == "scale":
            sent = strategy.apply_patch(kind, scale.scale_to_patch(kind, old), body, type)
            new = scale.write_scale(kind, old, sent)
            return scale.read_scale(kind, self._replace(kind, old, new, options._replace(subresource="")))
        return self._replace(kind, old, strategy.apply_patch(kind, old, body, type), options)

    def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: deletion.Propagation = "Default",
        grace_period: float | None = None,
        dry_run: bool = False,
    ) -> Object | None:
        """Delete an object.

        Returns:
            None if the object was removed; the marked object if finalizers or the grace period (seconds) keep it.

        Raises:
            ApiError: 404 if the object does not exist, 409 if `uid` or `resource_version` differs.
        """
        kind = self.kinds[resource]
        old = self._require(kind, namespace, name)
        strategy.check_preconditions(kind, old, uid=uid, resource_version=resource_version)
        deletion.check_deletable(kind, name)
        new = deletion.mark_deleted(kind, old, self._now(), propagation, grace_period)
        if deletion.is_removable(new):
            self._commit("DELETED", kind, old, old, dry_run=dry_run)
            return None
        return old if new is old else self._commit("MODIFIED", kind, new, old, dry_run=dry_run)

    def register_crd(self, manifest: Object) -> None:
        """Create or update a CustomResourceDefinition and serve its kind.

        Raises:
            ApiError: 422 if the definition is invalid.
        """
        name = (manifest.get("metadata") or {}).get("name", "")
        write = self.create if self._objects[CRDS].get("", name) is None else self.update
        write(CRDS, manifest)

    def ensure_namespace(self, name: str) -> None:
        """Create the namespace if it does not exist."""
        if self._objects["namespaces"].get("", name) is None:
            self.create("namespaces", {"metadata": {"name": name}})

    # -- Internals

    def _serve(self, kind: ResourceType) -> None:
        self.kinds.add(kind)
        self._objects.setdefault(kind.resource, ResourceStore())

    def _objects_of(self, resource: str) -> ResourceStore:
        return self._objects[self.kinds[resource].resource]

    def _require(self, kind: ResourceType, namespace: str, name: str) -> Object:
        obj = self._objects[kind.resource].get(namespace, name)
        if obj is None:
            raise not_found(kind.plural, kind.group, name)
        return obj

    def _check_namespace(self, kind: ResourceType, obj: Object, namespace: str) -> None:
        name = namespace or "default"
        deletion.check_accepting(kind, obj, self._objects["namespaces"].get("", name), name)

    def _prepare_create(self, kind: ResourceType, obj: Object, name: str, namespace: str) -> Object:
        number = self._uids + 1
        uid = f"{number >> 32:08x}-0000-4000-8000-{number & 0xFFFFFFFF:012x}"
        obj = self.plugins.mutate(kind, obj, namespace)
        new = strategy.prepare_create(kind, obj, name=name, namespace=namespace, uid=uid, created=self._timestamp())
        self.plugins.validate(kind, new, namespace)
        return new

    def _replace(self, kind: ResourceType, old: Object, sent: Object, options: WriteOptions) -> Object:
        new = strategy.prepare_update(kind, old, sent, options.subresource)
        if "managedFields" in old["metadata"]:
            owners = old if options.subresource else with_client_owners(old, sent)
            new = with_managed(new, owners["metadata"]["managedFields"])
            writer = updater(kind, options.manager, options.subresource)
            new = track_update(kind, owners, new, writer, self._timestamp())
        return old if new is old else self._commit_update(kind, new, old, dry_run=options.dry_run)

    def _apply(
        self, kind: ResourceType, key: tuple[str, str], body: Object, options: WriteOptions, *, force: bool
    ) -> Object:
        namespace, name = key
        apply.check_request(kind, body, name, options.manager)
        strategy.check_identity(kind, body)
        namespace = strategy.namespace_of(kind, body, namespace)
        owner = Owner(options.manager, "Apply", kind.api_version, options.subresource)
        old = self._objects[kind.resource].get(namespace, name)
        if old is None:
            if options.subresource:
                raise not_found(kind.plural, kind.group, name)
            self._check_namespace(kind, body, namespace)
            new = self._prepare_create(kind, body, name, namespace)
            new = apply.with_first_owner(kind, new, body, owner, self._timestamp())
            return self._commit("ADDED", kind, new, None, dry_run=options.dry_run)
        desired, managed = apply.apply_configuration(kind, old, body, owner, force=force, now=self._timestamp())
        new = strategy.prepare_update(kind, old, desired, options.subresource)
        if new is old and equal_but_for_time(old["metadata"].get("managedFields") or [], managed):
            return old
        return self._commit_update(kind, with_managed(new, managed), old, dry_run=options.dry_run)

    def _commit_update(self, kind: ResourceType, new: Object, old: Object, *, dry_run: bool) -> Object:
        """Store `new` in place of `old`, or remove it if the last finalizer of a deleted object has gone."""
        type: ChangeType = "DELETED" if deletion.is_removable(new) else "MODIFIED"
        return self._commit(type, kind, new, old, dry_run=dry_run)

    def _commit(
        self, type: ChangeType, kind: ResourceType, obj: Object, old: Object | None, *, dry_run: bool = False
    ) -> Object:
        if dry_run:
            return obj
        self._revision += 1
        if type == "ADDED":
            self._uids += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._revision)}}
        change = Change(type, kind.resource, obj, old)
        self._objects[kind.resource].put(change, self._revision)
        self._garbage_collector.index(change)
        if kind.resource == CRDS:
            self._on_definition(change)
        self._notifier.publish(change)
        return obj

    def _on_definition(self, change: Change) -> None:
        kind = crd.resource_type(change.object)
        if change.type == "DELETED":
            for obj in list(self._objects[kind.resource].objects()):
                self._commit("DELETED", kind, obj, obj)
            self.kinds.remove(kind.resource)
        else:
            self._serve(kind)

    def _bookmark(self, resource: str) -> Change:
        kind = self.kinds[resource]
        meta = {"resourceVersion": str(self._revision)}
        return Change("BOOKMARK", resource, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta})

    def _parse_version(self, resource_version: str) -> int:
        if not resource_version.isascii() or not resource_version.isdigit():
            raise bad_request(f"Invalid value: {resource_version!r}: a resourceVersion is a number")
        if int(resource_version) > self._revision:
            raise version_too_large(resource_version, str(self._revision))
        return int(resource_version)

    def _timestamp(self) -> str:
        return format_time(self._now())
