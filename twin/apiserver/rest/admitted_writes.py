"""Writes that pass the admission chain before they are executed (`twin/apiserver/admission`)."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
from starlette.responses import Response

from twin.apiserver.admission.chain import AdmissionChain
from twin.apiserver.admission.matching import GROUP, OPERATIONS, Admitted
from twin.apiserver.meta.errors import ApiError, Object
from twin.apiserver.rest.auth.rbac import Attributes
from twin.apiserver.rest.conversion import Conversions
from twin.apiserver.rest.http import Request
from twin.apiserver.rest.list_options import is_dry_run
from twin.apiserver.rest.request_info import RequestInfo
from twin.apiserver.storage.store import Store

Dispatch = Callable[[str, Request, RequestInfo], Response]
_STORED = ("", "status", "scale")
"""Subresources that are parts of a stored object."""
_OF_SERVER = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")


class AdmittedWrites:
    """Executes requests; writes only after webhooks and policies have admitted them."""

    def __init__(self, store: Store, conversions: Conversions, dispatch: Dispatch) -> None:
        self._store = store
        self._conversions = conversions
        self._dispatch = dispatch
        self._chain = AdmissionChain(store)

    async def respond(self, attributes: Attributes, request: Request, info: RequestInfo) -> Response:
        """Execute a request.

        Raises:
            ApiError: a webhook or policy refuses it, or the request fails anyway.
        """
        verb = attributes.verb
        is_write = verb in OPERATIONS and info.subresource in _STORED and info.group != GROUP
        if not is_write or self._chain.is_empty():
            return self._dispatch(verb, request, info)
        old = self._stored(info)
        new = None if verb == "delete" else self._computed(verb, request, info)
        write = _write(attributes, request, info, (new, old))
        admission = await self._chain.admit(write, str((new or old or {}).get("kind", "")))
        if admission.changed and admission.object is not None:
            verb = "create" if old is None else "update"
            request = _with_body(request, _to_send(admission.object, old))
        response = self._dispatch(verb, request, info)
        for text in admission.warnings:
            response.headers.append("Warning", f'299 - "{_escaped(text)}"')
        return response

    def _stored(self, info: RequestInfo) -> Object | None:
        """Return the object as it is; None if it does not exist."""
        if not info.name:
            return None
        view = self._conversions.of(info)
        try:
            return view.to_client(self._store.get(view.resource, info.namespace, info.name))
        except ApiError:
            return None

    def _computed(self, verb: str, request: Request, info: RequestInfo) -> Object:
        """Return the object that the write would store."""
        headers = {**request.headers, "accept": "application/json"}
        dry = replace(request, query={**request.query, "dryRun": "All"}, headers=headers)
        obj: Object = msgspec.json.decode(self._dispatch(verb, dry, info).body)
        return obj


def _write(
    attributes: Attributes, request: Request, info: RequestInfo, objects: tuple[Object | None, Object | None]
) -> Admitted:
    new, old = objects
    meta = (new or old or {}).get("metadata") or {}
    return Admitted(
        operation="CREATE" if old is None else OPERATIONS[attributes.verb],
        group=info.group,
        version=info.api_version.rpartition("/")[2],
        resource=info.plural,
        subresource=info.subresource,
        namespace=info.namespace,
        name=info.name or str(meta.get("name", "")),
        object=new,
        old=old,
        user=request.user.name,
        groups=tuple(request.user.groups),
        dry_run=is_dry_run(request),
    )


def _to_send(obj: Object, old: Object | None) -> Object:
    """Return the body that stores what the webhooks made; an update holds only for the version that they saw."""
    meta = {key: value for key, value in obj["metadata"].items() if key not in _OF_SERVER}
    if old is not None:
        meta["resourceVersion"] = old["metadata"]["resourceVersion"]
    return {**obj, "metadata": meta}


def _with_body(request: Request, body: Object) -> Request:
    headers = {**request.headers, "content-type": "application/json"}
    return replace(request, body=msgspec.json.encode(body), headers=headers)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "replace").decode()
