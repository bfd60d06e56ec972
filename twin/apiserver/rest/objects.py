"""The verbs on objects, from a request to the store and back. Watching is in `watching.py`."""

from collections.abc import Callable
from typing import Any

from twin.apiserver.meta.errors import ApiError, Object, bad_request, unsupported_patch
from twin.apiserver.registry import strategy
from twin.apiserver.registry.strategy import PatchType
from twin.apiserver.rest.codec.field_validation import FieldValidation
from twin.apiserver.rest.conversion import ApiVersionView
from twin.apiserver.rest.http import Request, Response
from twin.apiserver.rest.list_options import (
    check_list,
    check_not_ahead,
    check_version,
    check_write,
    dry_run,
    propagation,
)
from twin.apiserver.rest.printers.table import Now, render
from twin.apiserver.rest.request_info import RequestInfo
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

    def handle(self, verb: str, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        """The answer to one request.

        Raises:
            ApiError: whatever the store refuses; 405, there is no such verb.
        """
        if info.subresource not in ("", *api_view.kind.subresources):
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        handlers: dict[str, Callable[[Request, ApiVersionView, RequestInfo], Response]] = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        if verb not in handlers or not _allowed(verb, api_view, info):
            message = "the server does not allow this method on the requested resource"
            raise ApiError(405, "MethodNotAllowed", message)
        if verb in ("create", "update", "patch"):
            check_write(request)
        return handlers[verb](request, api_view, info)

    # -- reading

    def _get(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        subresource = "scale" if info.subresource == "scale" else ""
        wanted = request.query.get("resourceVersion", "")
        check_version(wanted)
        check_not_ahead(wanted, self._store.resource_version)
        found = self._store.get(api_view.resource, _namespace(api_view, info), info.name, subresource=subresource)
        return self._shown(request, api_view, found, info.subresource)

    def _list(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        check_list(request)
        wanted = request.query.get("resourceVersion", "")
        check_not_ahead(wanted, self._store.resource_version)
        revision = int(wanted) if request.query.get("resourceVersionMatch") == "Exact" else None
        found = self._store.list(
            api_view.resource,
            namespace=info.namespace,
            label_selector=request.query.get("labelSelector", ""),
            field_selector=api_view.selector(request.query.get("fieldSelector", "")),
            limit=request.number("limit", 0),
            continue_token=request.query.get("continue", ""),
            revision=revision if request.read_view is None else request.read_view.list_revision(),
        )
        meta: Object = {"resourceVersion": found.resource_version}
        if found.continue_token:
            meta["continue"] = found.continue_token
            if found.remaining is not None and not (
                request.query.get("labelSelector") or request.query.get("fieldSelector")
            ):
                meta["remainingItemCount"] = found.remaining
        items = found.items if api_view.plain else [api_view.to_client(item) for item in found.items]
        form = request.form(META_GROUP, *FORMS)
        if form:
            return Response.of(
                render(form, api_view.kind, items, meta, self._now(), request.query.get("includeObject", ""))
            )
        kind = {"kind": f"{api_view.kind.kind}List", "apiVersion": api_view.kind.api_version}
        return Response.of({**kind, "metadata": meta, "items": items})

    # -- writing

    def _create(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        field_validation = FieldValidation.of(request)
        body = field_validation.accept(api_view.kind, request.object())
        stored = self._store.create(
            api_view.resource,
            api_view.to_storage(body),
            namespace=info.namespace,
            manager=request.manager,
            tracked=True,
            dry_run=dry_run(request),
        )
        return field_validation.warning_headers(self._shown(request, api_view, stored, status=201))

    def _update(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        body = request.object()
        field_validation = FieldValidation.of(request)
        if info.subresource != "scale":
            body = field_validation.accept(api_view.kind, body)
        meta = body.get("metadata") or {}
        namespace = _namespace(api_view, info)
        for field, named, on_url in (
            ("name", meta.get("name"), info.name),
            ("namespace", meta.get("namespace"), namespace),
        ):
            if named and named != on_url:
                raise bad_request(
                    f"the {field} of the object ({named}) does not match the {field} on the URL ({on_url})"
                )
        placed = {**meta, "name": info.name, **({"namespace": namespace} if namespace else {})}
        stored = self._store.update(
            api_view.resource,
            api_view.to_storage({**body, "metadata": placed}),
            subresource=info.subresource,
            manager=request.manager,
            dry_run=dry_run(request),
        )
        return field_validation.warning_headers(self._shown(request, api_view, stored, info.subresource))

    def _patch(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        type_ = _PATCHES.get(request.content_type)
        if type_ is None:
            taken = ", ".join(each for each in _PATCHES if not (api_view.kind.custom and "strategic" in each))
            raise unsupported_patch(
                f"the body of the request was in an unknown format - accepted media types include: {taken}"
            )
        body = request.json()
        field_validation = FieldValidation.of(request)
        if type_ != "json" and info.subresource != "scale":
            body = field_validation.accept(api_view.kind, body, "apply" if type_ == "apply" else "patch")
        namespace = _namespace(api_view, info)
        if not api_view.plain:
            return self._patch_shown(request, api_view, info, body, type_)
        before = self._exists(api_view, namespace, info.name) if type_ == "apply" else True
        stored = self._store.patch(
            api_view.resource,
            namespace,
            info.name,
            body,
            type=type_,
            subresource=info.subresource,
            manager=request.manager if type_ != "apply" else request.query.get("fieldManager", ""),
            force=request.flag("force"),
            dry_run=dry_run(request),
        )
        return field_validation.warning_headers(
            self._shown(request, api_view, stored, info.subresource, status=200 if before else 201)
        )

    def _patch_shown(
        self, request: Request, api_view: ApiVersionView, info: RequestInfo, body: Any, type_: PatchType
    ) -> Response:
        """A patch in the field names of a api_view: made on what it shows, stored as a whole."""
        old = api_view.to_client(self._store.get(api_view.resource, info.namespace, info.name))
        new = api_view.to_storage(strategy.apply_patch(api_view.kind, old, body, type_))
        stored = self._store.update(api_view.resource, new, manager=request.manager, dry_run=dry_run(request))
        return self._shown(request, api_view, stored)

    def _delete(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        namespace = _namespace(api_view, info)
        old = self._store.get(api_view.resource, namespace, info.name)
        left = self._deleted(request, api_view, namespace, info.name)
        if left is not None:
            return self._shown(request, api_view, left)
        details = {
            "name": info.name,
            "group": api_view.kind.group,
            "kind": api_view.kind.plural,
            "uid": old["metadata"]["uid"],
        }
        return Response.of(succeeded({key: text for key, text in details.items() if text}))

    def _delete_collection(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        found = self._store.list(
            api_view.resource,
            namespace=info.namespace,
            label_selector=request.query.get("labelSelector", ""),
            field_selector=api_view.selector(request.query.get("fieldSelector", "")),
        )
        for item in found.items:
            meta = item["metadata"]
            try:
                self._deleted(request, api_view, meta.get("namespace", ""), meta["name"])
            except ApiError as error:
                if error.code != 404:
                    raise
        kind = {"kind": f"{api_view.kind.kind}List", "apiVersion": api_view.kind.api_version}
        meta = {"resourceVersion": self._store.resource_version}
        return Response.of({**kind, "metadata": meta, "items": [api_view.to_client(item) for item in found.items]})

    def _deleted(self, request: Request, api_view: ApiVersionView, namespace: str, name: str) -> Object | None:
        options = request.object()
        conditions = options.get("preconditions") or {}
        grace = options.get("gracePeriodSeconds", request.query.get("gracePeriodSeconds"))
        return self._store.delete(
            api_view.resource,
            namespace,
            name,
            uid=conditions.get("uid") or "",
            resource_version=conditions.get("resourceVersion") or "",
            propagation=propagation(request, options),
            grace_period=None if grace is None else float(grace),
            dry_run=dry_run(request, options),
        )

    def _exists(self, api_view: ApiVersionView, namespace: str, name: str) -> bool:
        try:
            self._store.get(api_view.resource, namespace, name)
        except ApiError:
            return False
        return True

    def _shown(
        self, request: Request, api_view: ApiVersionView, obj: Object, subresource: str = "", status: int = 200
    ) -> Response:
        form = request.form(META_GROUP, *FORMS)
        obj = api_view.to_client(obj)
        if not form or subresource == "scale":
            return Response.of(obj, status)
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        shown = render(form, api_view.kind, [obj], meta, self._now(), request.query.get("includeObject", ""))
        return Response.of(shown, status)


def succeeded(details: Object) -> Object:
    """The Status of what has been done and leaves no object to show."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _namespace(api_view: ApiVersionView, info: RequestInfo) -> str:
    if api_view.kind.namespaced and not info.namespace:
        raise ApiError(405, "MethodNotAllowed", "an object of this kind is reached through its namespace")
    return info.namespace


def _allowed(verb: str, api_view: ApiVersionView, info: RequestInfo) -> bool:
    """Whether the path can take the verb: objects are made and deleted in one namespace, and changed by their names."""
    if verb == "create":
        return not info.name and bool(info.namespace or not api_view.kind.namespaced)
    if verb == "deletecollection":
        return bool(info.namespace or not api_view.kind.namespaced)
    if verb == "delete":
        return not info.subresource
    return bool(info.name) or verb not in ("update", "patch")
