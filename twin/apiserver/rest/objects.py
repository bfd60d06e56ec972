"""The verbs on objects, from a request to the store and back. Watching is in `watching.py`."""

from collections.abc import Callable
from typing import Any

from twin.apiserver.errors import ApiError, Object, bad_request, unsupported_patch
from twin.apiserver.registry import strategy as drafts
from twin.apiserver.registry.strategy import PatchType
from twin.apiserver.rest.codec.field_validation import Strictness
from twin.apiserver.rest.conversion import Face
from twin.apiserver.rest.http import Call, Reply
from twin.apiserver.rest.list_options import check_list, check_reached, check_version, check_write, dry_run, propagation
from twin.apiserver.rest.printers.table import Now, render
from twin.apiserver.rest.request_info import Target
from twin.apiserver.storage.store import Store

_PATCHES: dict[str, PatchType] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
    "application/apply-patch+json": "apply",
}
META_GROUP = "meta.k8s.io"
FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


class Objects:
    """Reads and writes objects of any kind."""

    def __init__(self, store: Store, now: Now) -> None:
        self._store = store
        self._now = now

    def handle(self, verb: str, call: Call, face: Face, target: Target) -> Reply:
        """The answer to one request.

        Raises:
            ApiError: whatever the store refuses; 405, there is no such verb.
        """
        if target.subresource not in ("", *face.kind.subresources):
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        handlers: dict[str, Callable[[Call, Face, Target], Reply]] = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        if verb not in handlers or not _allowed(verb, face, target):
            message = "the server does not allow this method on the requested resource"
            raise ApiError(405, "MethodNotAllowed", message)
        if verb in ("create", "update", "patch"):
            check_write(call)
        return handlers[verb](call, face, target)

    # -- reading

    def _get(self, call: Call, face: Face, target: Target) -> Reply:
        subresource = "scale" if target.subresource == "scale" else ""
        wanted = call.query.get("resourceVersion", "")
        check_version(wanted)
        check_reached(wanted, self._store.resource_version)
        found = self._store.get(face.resource, _namespace(face, target), target.name, subresource=subresource)
        return self._shown(call, face, found, target.subresource)

    def _list(self, call: Call, face: Face, target: Target) -> Reply:
        check_list(call)
        wanted = call.query.get("resourceVersion", "")
        check_reached(wanted, self._store.resource_version)
        revision = int(wanted) if call.query.get("resourceVersionMatch") == "Exact" else None
        found = self._store.list(
            face.resource,
            namespace=target.namespace,
            label_selector=call.query.get("labelSelector", ""),
            field_selector=face.selector(call.query.get("fieldSelector", "")),
            limit=call.number("limit", 0),
            continue_token=call.query.get("continue", ""),
            revision=revision if call.sight is None else call.sight.shown_revision(),
        )
        meta: Object = {"resourceVersion": found.resource_version}
        if found.continue_token:
            meta["continue"] = found.continue_token
            if found.remaining is not None and not (call.query.get("labelSelector") or call.query.get("fieldSelector")):
                meta["remainingItemCount"] = found.remaining
        items = found.items if face.plain else [face.shown(item) for item in found.items]
        form = call.form(META_GROUP, *FORMS)
        if form:
            return Reply.of(render(form, face.kind, items, meta, self._now(), call.query.get("includeObject", "")))
        kind = {"kind": f"{face.kind.kind}List", "apiVersion": face.kind.api_version}
        return Reply.of({**kind, "metadata": meta, "items": items})

    # -- writing

    def _create(self, call: Call, face: Face, target: Target) -> Reply:
        strictness = Strictness.of(call)
        body = strictness.taken(face.kind, call.object())
        stored = self._store.create(
            face.resource,
            face.stored(body),
            namespace=target.namespace,
            manager=call.manager,
            tracked=True,
            dry_run=dry_run(call),
        )
        return strictness.warned(self._shown(call, face, stored, status=201))

    def _update(self, call: Call, face: Face, target: Target) -> Reply:
        body = call.object()
        strictness = Strictness.of(call)
        if target.subresource != "scale":
            body = strictness.taken(face.kind, body)
        meta = body.get("metadata") or {}
        namespace = _namespace(face, target)
        for field, named, on_url in (
            ("name", meta.get("name"), target.name),
            ("namespace", meta.get("namespace"), namespace),
        ):
            if named and named != on_url:
                raise bad_request(
                    f"the {field} of the object ({named}) does not match the {field} on the URL ({on_url})"
                )
        placed = {**meta, "name": target.name, **({"namespace": namespace} if namespace else {})}
        stored = self._store.update(
            face.resource,
            face.stored({**body, "metadata": placed}),
            subresource=target.subresource,
            manager=call.manager,
            dry_run=dry_run(call),
        )
        return strictness.warned(self._shown(call, face, stored, target.subresource))

    def _patch(self, call: Call, face: Face, target: Target) -> Reply:
        type_ = _PATCHES.get(call.content_type)
        if type_ is None:
            taken = ", ".join(each for each in _PATCHES if not (face.kind.custom and "strategic" in each))
            raise unsupported_patch(
                f"the body of the request was in an unknown format - accepted media types include: {taken}"
            )
        body = call.json()
        strictness = Strictness.of(call)
        if type_ != "json" and target.subresource != "scale":
            body = strictness.taken(face.kind, body, "apply" if type_ == "apply" else "patch")
        namespace = _namespace(face, target)
        if not face.plain:
            return self._patch_shown(call, face, target, body, type_)
        before = self._exists(face, namespace, target.name) if type_ == "apply" else True
        stored = self._store.patch(
            face.resource,
            namespace,
            target.name,
            body,
            type=type_,
            subresource=target.subresource,
            manager=call.manager if type_ != "apply" else call.query.get("fieldManager", ""),
            force=call.flag("force"),
            dry_run=dry_run(call),
        )
        return strictness.warned(self._shown(call, face, stored, target.subresource, status=200 if before else 201))

    def _patch_shown(self, call: Call, face: Face, target: Target, body: Any, type_: PatchType) -> Reply:
        """A patch in the field names of a face: made on what it shows, stored as a whole."""
        old = face.shown(self._store.get(face.resource, target.namespace, target.name))
        new = face.stored(drafts.patched(face.kind, old, body, type_))
        stored = self._store.update(face.resource, new, manager=call.manager, dry_run=dry_run(call))
        return self._shown(call, face, stored)

    def _delete(self, call: Call, face: Face, target: Target) -> Reply:
        namespace = _namespace(face, target)
        old = self._store.get(face.resource, namespace, target.name)
        left = self._deleted(call, face, namespace, target.name)
        if left is not None:
            return self._shown(call, face, left)
        details = {
            "name": target.name,
            "group": face.kind.group,
            "kind": face.kind.plural,
            "uid": old["metadata"]["uid"],
        }
        return Reply.of(succeeded({key: text for key, text in details.items() if text}))

    def _delete_collection(self, call: Call, face: Face, target: Target) -> Reply:
        found = self._store.list(
            face.resource,
            namespace=target.namespace,
            label_selector=call.query.get("labelSelector", ""),
            field_selector=face.selector(call.query.get("fieldSelector", "")),
        )
        for item in found.items:
            meta = item["metadata"]
            try:
                self._deleted(call, face, meta.get("namespace", ""), meta["name"])
            except ApiError as error:
                if error.code != 404:
                    raise
        kind = {"kind": f"{face.kind.kind}List", "apiVersion": face.kind.api_version}
        meta = {"resourceVersion": self._store.resource_version}
        return Reply.of({**kind, "metadata": meta, "items": [face.shown(item) for item in found.items]})

    def _deleted(self, call: Call, face: Face, namespace: str, name: str) -> Object | None:
        options = call.object()
        conditions = options.get("preconditions") or {}
        grace = options.get("gracePeriodSeconds", call.query.get("gracePeriodSeconds"))
        return self._store.delete(
            face.resource,
            namespace,
            name,
            uid=conditions.get("uid") or "",
            resource_version=conditions.get("resourceVersion") or "",
            propagation=propagation(call, options),
            grace_period=None if grace is None else float(grace),
            dry_run=dry_run(call, options),
        )

    def _exists(self, face: Face, namespace: str, name: str) -> bool:
        try:
            self._store.get(face.resource, namespace, name)
        except ApiError:
            return False
        return True

    def _shown(self, call: Call, face: Face, obj: Object, subresource: str = "", status: int = 200) -> Reply:
        form = call.form(META_GROUP, *FORMS)
        obj = face.shown(obj)
        if not form or subresource == "scale":
            return Reply.of(obj, status)
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        shown = render(form, face.kind, [obj], meta, self._now(), call.query.get("includeObject", ""))
        return Reply.of(shown, status)


def succeeded(details: Object) -> Object:
    """The Status of what has been done and leaves no object to show."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _namespace(face: Face, target: Target) -> str:
    if face.kind.namespaced and not target.namespace:
        raise ApiError(405, "MethodNotAllowed", "an object of this kind is reached through its namespace")
    return target.namespace


def _allowed(verb: str, face: Face, target: Target) -> bool:
    """Whether the path can take the verb: objects are made and deleted in one namespace, and changed by their names."""
    if verb == "create":
        return not target.name and bool(target.namespace or not face.kind.namespaced)
    if verb == "deletecollection":
        return bool(target.namespace or not face.kind.namespaced)
    if verb == "delete":
        return not target.subresource
    return bool(target.name) or verb not in ("update", "patch")
