"""Handlers of the verbs on objects, except watch (`watch.py`)."""

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from twin.apiserver.codec.field_types import FieldTypeError, decode_message, decode_object, typed_object
from twin.apiserver.codec.field_validation import FieldValidation
from twin.apiserver.meta.errors import (
    ApiError,
    Object,
    bad_request,
    invalid,
    quote,
    unprocessable,
    unsupported_patch,
)
from twin.apiserver.registry import strategy
from twin.apiserver.registry.strategy import PatchType
from twin.apiserver.rest.conversion import ApiVersionView
from twin.apiserver.rest.http import Request, json_response
from twin.apiserver.rest.list_options import (
    check_list,
    check_not_ahead,
    check_version,
    check_write,
    is_dry_run,
    propagation_policy,
)
from twin.apiserver.rest.printers.table import Now, render
from twin.apiserver.rest.request_info import RequestInfo
from twin.apiserver.schema.resource_types import ResourceType
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
        """Execute one request.

        Raises:
            ApiError: whatever the store refuses, or 405 if the path does not support the verb.
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
        if verb not in handlers or not _is_allowed(verb, api_view, info):
            message = "the server does not allow this method on the requested resource"
            raise ApiError(405, "MethodNotAllowed", message)
        if verb in ("create", "update", "patch"):
            check_write(request)
        return handlers[verb](request, api_view, info)

    # -- Reading

    def _get(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        subresource = "scale" if info.subresource == "scale" else ""
        version = request.query.get("resourceVersion", "")
        check_version(version)
        check_not_ahead(version, self._store.resource_version)
        namespace = _namespace(api_view, info)
        obj = self._store.get(api_view.resource, namespace, info.name, subresource=subresource)
        return self._object_response(request, api_view, obj, info.subresource)

    def _list(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        check_list(request)
        query, version = request.query, request.query.get("resourceVersion", "")
        check_not_ahead(version, self._store.resource_version)
        revision = int(version) if query.get("resourceVersionMatch") == "Exact" else None
        result = self._store.list(
            api_view.resource,
            namespace=info.namespace,
            label_selector=query.get("labelSelector", ""),
            field_selector=api_view.selector(query.get("fieldSelector", "")),
            limit=request.number("limit", 0),
            continue_token=query.get("continue", ""),
            revision=revision if request.read_view is None else request.read_view.list_revision(),
        )
        meta: Object = {"resourceVersion": result.resource_version}
        if result.continue_token:
            meta["continue"] = result.continue_token
            if result.remaining is not None and not (query.get("labelSelector") or query.get("fieldSelector")):
                meta["remainingItemCount"] = result.remaining
        items = result.items if api_view.is_stored_form else [api_view.to_client(item) for item in result.items]
        if form := request.form(META_GROUP, "Table", "PartialObjectMetadataList"):
            return json_response(render(form, api_view.kind, items, meta, self._now(), query.get("includeObject", "")))
        return json_response({**_list_identity(api_view), "metadata": meta, "items": items})

    # -- Writing

    def _create(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        validation = _field_validation(request)
        body = decode_object(api_view.kind, validation.accept(api_view.kind, request.object()))
        obj = self._store.create(
            api_view.resource,
            api_view.to_storage(body),
            namespace=info.namespace,
            manager=request.manager,
            tracked=True,
            dry_run=is_dry_run(request),
        )
        return self._object_response(request, api_view, obj, status=201, validation=validation)

    def _update(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        body = request.object()
        validation = _field_validation(request)
        if info.subresource == "scale":
            body = decode_message("autoscaling.Scale", "Scale", "v1", body)
        else:
            body = decode_object(api_view.kind, validation.accept(api_view.kind, body))
        meta = body.get("metadata") or {}
        namespace = _namespace(api_view, info)
        for field, value, expected in (
            ("name", meta.get("name"), info.name),
            ("namespace", meta.get("namespace"), namespace),
        ):
            if value and value != expected:
                raise bad_request(
                    f"the {field} of the object ({value}) does not match the {field} on the URL ({expected})"
                )
        meta = {**meta, "name": info.name, **({"namespace": namespace} if namespace else {})}
        obj = self._store.update(
            api_view.resource,
            api_view.to_storage({**body, "metadata": meta}),
            subresource=info.subresource,
            manager=request.manager,
            dry_run=is_dry_run(request),
        )
        return self._object_response(request, api_view, obj, info.subresource, validation=validation)

    def _patch(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        type_ = _PATCHES.get(request.content_type)
        if type_ is None:
            accepted = ", ".join(name for name in _PATCHES if not (api_view.kind.custom and "strategic" in name))
            raise unsupported_patch(
                f"the body of the request was in an unknown format - accepted media types include: {accepted}"
            )
        body = request.json()
        validation = _field_validation(request)
        if type_ != "json" and info.subresource != "scale":
            body = validation.accept(api_view.kind, body, "apply" if type_ == "apply" else "patch")
        namespace = _namespace(api_view, info)
        if type_ == "apply":
            body = _apply_configuration(api_view.kind, body)
        if not api_view.is_stored_form:
            return self._patch_converted(request, api_view, info, body, type_)
        if type_ != "apply" and info.subresource != "scale":
            body, type_ = self._typed_patch(api_view, (namespace, info.name), body, type_)
        existed = type_ != "apply" or self._exists(api_view, namespace, info.name)
        obj = self._store.patch(
            api_view.resource,
            namespace,
            info.name,
            body,
            type=type_,
            subresource=info.subresource,
            manager=request.manager if type_ != "apply" else request.query.get("fieldManager", ""),
            force=request.flag("force"),
            dry_run=is_dry_run(request),
        )
        status = 200 if existed else 201
        return self._object_response(request, api_view, obj, info.subresource, status, validation)

    def _patch_converted(
        self, request: Request, api_view: ApiVersionView, info: RequestInfo, body: Any, type_: PatchType
    ) -> Response:
        """Patch an object in another API version than the stored one, and store it as a whole."""
        old = api_view.to_client(self._store.get(api_view.resource, info.namespace, info.name))
        new = api_view.to_storage(
            _typed_result(api_view.kind, strategy.apply_patch(api_view.kind, old, body, type_), body)
        )
        obj = self._store.update(api_view.resource, new, manager=request.manager, dry_run=is_dry_run(request))
        return self._object_response(request, api_view, obj)

    def _typed_patch(
        self, api_view: ApiVersionView, key: tuple[str, str], body: Any, type_: PatchType
    ) -> tuple[Any, PatchType]:
        """Return a patch with the same result that has no nulls.

        Raises:
            ApiError: 422 if a field would have the wrong type.
        """
        result = strategy.apply_patch(api_view.kind, self._store.get(api_view.resource, *key), body, type_)
        typed = _typed_result(api_view.kind, result, body)
        return (body, type_) if typed is result else ([{"op": "replace", "path": "", "value": typed}], "json")

    def _delete(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        namespace = _namespace(api_view, info)
        old = self._store.get(api_view.resource, namespace, info.name)
        remaining = self._delete_object(request, api_view, namespace, info.name)
        if remaining is not None:
            return self._object_response(request, api_view, remaining)
        details = {
            "name": info.name,
            "group": api_view.kind.group,
            "kind": api_view.kind.plural,
            "uid": old["metadata"]["uid"],
        }
        return json_response(success_status({key: text for key, text in details.items() if text}))

    def _delete_collection(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Response:
        result = self._store.list(
            api_view.resource,
            namespace=info.namespace,
            label_selector=request.query.get("labelSelector", ""),
            field_selector=api_view.selector(request.query.get("fieldSelector", "")),
        )
        for item in result.items:
            meta = item["metadata"]
            try:
                self._delete_object(request, api_view, meta.get("namespace", ""), meta["name"])
            except ApiError as error:
                if error.code != 404:
                    raise
        meta = {"resourceVersion": self._store.resource_version}
        items = [api_view.to_client(item) for item in result.items]
        return json_response({**_list_identity(api_view), "metadata": meta, "items": items})

    def _delete_object(self, request: Request, api_view: ApiVersionView, namespace: str, name: str) -> Object | None:
        options = decode_message("meta.DeleteOptions", "DeleteOptions", "v1", request.object())
        preconditions = options.get("preconditions") or {}
        grace = options.get("gracePeriodSeconds")
        if grace is None and "gracePeriodSeconds" in request.query:
            grace = request.number("gracePeriodSeconds", 0)
        return self._store.delete(
            api_view.resource,
            namespace,
            name,
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
            propagation=propagation_policy(request, options),
            grace_period=None if grace is None else float(grace),
            dry_run=is_dry_run(request, options),
        )

    def _exists(self, api_view: ApiVersionView, namespace: str, name: str) -> bool:
        try:
            self._store.get(api_view.resource, namespace, name)
        except ApiError:
            return False
        return True

    def _object_response(
        self,
        request: Request,
        api_view: ApiVersionView,
        obj: Object,
        subresource: str = "",
        status: int = 200,
        validation: FieldValidation | None = None,
    ) -> Response:
        headers = validation.warning_headers() if validation else {}
        form = request.form(META_GROUP, "Table", "PartialObjectMetadata")
        obj = api_view.to_client(obj)
        if not form or subresource == "scale":
            return json_response(obj, status, headers)
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        included = request.query.get("includeObject", "")
        return json_response(render(form, api_view.kind, [obj], meta, self._now(), included), status, headers)


def success_status(details: Object) -> Object:
    """Return the Status of a request that leaves no object to return."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _apply_configuration(kind: ResourceType, body: Any) -> Object:
    if not isinstance(body, dict):
        raise bad_request("the body has to be an object")
    return decode_object(kind, body)


def _typed_result(kind: ResourceType, result: Object, patch: Any) -> Object:
    """Return the result of a patch.

    Raises:
        ApiError: 422 if a field has the wrong type.
    """
    try:
        return typed_object(kind, result)
    except FieldTypeError as error:
        raise unprocessable("", "", "", [invalid("patch", quote(patch), str(error))]) from None


def _field_validation(request: Request) -> FieldValidation:
    return FieldValidation(request.query.get("fieldValidation") or "Warn")


def _list_identity(api_view: ApiVersionView) -> Object:
    return {"kind": f"{api_view.kind.kind}List", "apiVersion": api_view.kind.api_version}


def _namespace(api_view: ApiVersionView, info: RequestInfo) -> str:
    if api_view.kind.namespaced and not info.namespace:
        raise ApiError(405, "MethodNotAllowed", "an object of this kind is reached through its namespace")
    return info.namespace


def _is_allowed(verb: str, api_view: ApiVersionView, info: RequestInfo) -> bool:
    """Return whether a path supports a verb: creates need a namespace, updates and patches need a name."""
    if verb == "create":
        return not info.name and bool(info.namespace or not api_view.kind.namespaced)
    if verb == "deletecollection":
        return bool(info.namespace or not api_view.kind.namespaced)
    if verb == "delete":
        return not info.subresource
    return bool(info.name) or verb not in ("update", "patch")
