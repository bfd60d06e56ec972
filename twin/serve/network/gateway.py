"""One address for inference: a request that names a model goes to a pod that serves it.

Three ways in, told apart by whom the request is addressed to:

- the gateway itself, as the document's `curl http://${ENDPOINT}/v1/completions`: `model` in the body is an adapter,
  found by the EndpointSlices of its Service, or a base model, found by its pods' labels;
- a Service, `http://NAME.NAMESPACE.svc/…`, with the gateway as the HTTP proxy: the cluster's DNS and routing in one;
- a pod's IP address, likewise: so a controller outside reaches engines and sidecars at the addresses that Kubernetes
  says, `lora-controller` with `--engine-proxy`, others with whatever sets an HTTP proxy for them (`http_proxy`).
"""

import json
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from formats.errors import FormatError
from formats.sockets import parse_address
from twin.apiserver import ApiError, Object, Store
from twin.apiserver.meta.objects import is_terminating, is_true
from twin.apiserver.meta.selectors import labels
from twin.apiserver.rest.http import json_response
from twin.serve.network import proxy as relay
from twin.serve.network.node_transport import PodTransport
from twin.world.network.transport import Network

NAMESPACE = "envoy-gateway-system"
SERVICE = "envoy-aibrix-system-aibrix-eg-903790dc"
"""The gateway's Service as the document names it."""
_SLICES = "endpointslices.discovery.k8s.io"
_SERVICE_NAME = "kubernetes.io/service-name"
_MODEL = "model.aibrix.ai/name"
_PORT = "model.aibrix.ai/port"
_DEFAULT_PORT = 8000
_CLUSTER = (".svc.cluster.local", ".svc")

Found = tuple[str, int]
"""A pod's IP address and port."""
Wire = tuple[Scope, Receive, Send]
"""The connection that a request came by."""


@dataclass(frozen=True, slots=True)
class _Refused(Exception):
    """The gateway's own answer, in the envelope of OpenAI's API."""

    status: int
    message: str


class Gateway:
    """Routes by model, by Service, by pod."""

    def __init__(self, store: Store, network: Network, page: ASGIApp, by: str, replicas: Iterable[str]) -> None:
        """`by` is who asks by way of the proxy; one of `replicas` says so, as the name that it logs in with."""
        self._store = store
        self._traffic = PodTransport(store, network.transport("gateway", "traffic"))
        self._outside = {name: PodTransport(store, network.transport(name, "controller")) for name in (by, *replicas)}
        self._by = by
        self._page = page
        self._turn = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            relay.cut(scope, reset=False)
            return
        target = urlsplit(scope["path"]) if scope["path"].startswith("http://") else None
        if target is not None:  # the absolute form, as sent to proxies
            scope = {**scope, "path": target.path or "/"}
        authority = target.netloc if target is not None else dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        host, port = _parted(authority)
        if host in self._hosts() or host.endswith(_CLUSTER):
            await self._guarded(self._proxied(host, port), scope, receive, send)
        elif scope["path"].startswith("/v1/"):
            await self._guarded(self._routed, scope, receive, send)
        else:
            await self._page(scope, receive, send)

    def _hosts(self) -> set[str]:
        return {pod.get("status", {}).get("podIP", "") for pod in self._store.list("pods").items} - {""}

    async def _guarded(
        self, handle: Callable[[Scope, Receive, Send], Awaitable[None]], scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            await handle(scope, receive, send)
        except _Refused as refused:
            error = {"message": refused.message, "type": _TYPES.get(refused.status, "ServiceUnavailable")}
            body = {"error": {**error, "param": None, "code": refused.status}}
            await json_response(body, refused.status)(scope, receive, send)

    def _proxied(self, host: str, port: int) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        async def proxied(scope: Scope, receive: Receive, send: Send) -> None:
            incoming, on = await relay.read(scope, receive), (scope, receive, send)
            if host.endswith(_CLUSTER):
                await self._pass(self._traffic, incoming, self._of_service(host, port), on)
            else:
                await self._through(incoming, (host, port), on)

        return proxied

    async def _through(self, incoming: relay.ProxiedRequest, found: Found, on: Wire) -> None:
        """To a pod itself: what breaks there breaks here too, so that a client learns neither less nor more."""
        scope, receive, send = on
        try:
            response = await relay.forward(self._outside[self._asking(incoming)], incoming.to(*found), receive)
        except httpx.ConnectError as error:
            raise _Refused(503, f"upstream {found[0]}:{found[1]}: {error}") from error
        except httpx.TransportError as error:
            relay.cut(scope, reset=not isinstance(error, httpx.RemoteProtocolError))
        else:
            if response is not None:
                await relay.send_response(response, scope, send)

    def _asking(self, incoming: relay.ProxiedRequest) -> str:
        """Who asks, by the name in `http://NAME@proxy`."""
        scheme, _, text = incoming.headers.get("proxy-authorization", "").partition(" ")
        try:
            name = b64decode(text).decode().partition(":")[0] if scheme.lower() == "basic" else ""
        except ValueError:
            return self._by
        return name if name in self._outside else self._by

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming, on = await relay.read(scope, receive), (scope, receive, send)
        if incoming.method == "GET" and incoming.path == "/v1/models":
            await json_response({"object": "list", "data": list(self._models())})(scope, receive, send)
            return
        await self._pass(self._traffic, incoming, self._of_model(_model(incoming.body)), on)

    async def _pass(
        self, transport: httpx.AsyncBaseTransport, incoming: relay.ProxiedRequest, found: Found, on: Wire
    ) -> None:
        try:
            response = await relay.forward(transport, incoming.to(*found), on[1])
        except httpx.TimeoutException as error:
            raise _Refused(504, f"upstream {found[0]}:{found[1]}: {error}") from error
        except httpx.TransportError as error:
            raise _Refused(502, f"upstream {found[0]}:{found[1]}: {error}") from error
        if response is not None:
            await relay.send_response(response, on[0], on[2])

    # -- who serves what

    def _of_model(self, model: str) -> Found:
        """A pod for a model: in turn, of those that are published.

        Raises:
            _Refused: 404, there is no such model; 503, nobody serves it now.
        """
        slices = self._store.list(_SLICES, label_selector=f"{_MODEL}={model}").items if _is_label(model) else []
        found = [place for each in slices for place in _ready(each)]
        known = bool(slices)
        if not known:
            pods = self._store.list("pods", label_selector=f"{_MODEL}={model}").items if _is_label(model) else []
            found, known = [place for pod in pods if (place := _place(pod))], bool(pods)
        if not known:
            raise _Refused(404, f"The model `{model}` does not exist.")
        return self._next(found, f"model {model}")

    def _of_service(self, host: str, port: int) -> Found:
        name, _, namespace = next(host.removesuffix(end) for end in _CLUSTER if host.endswith(end)).partition(".")
        try:
            service = self._store.get("services", namespace, name)
        except ApiError as error:
            raise _Refused(404, error.message) from error
        slices = self._store.list(_SLICES, namespace=namespace, label_selector=f"{_SERVICE_NAME}={name}").items
        found = [place for each in slices for place in _ready(each)]
        if selector := service["spec"].get("selector"):
            wanted = labels(",".join(f"{key}={value}" for key, value in selector.items()))
            pods = self._store.list("pods", namespace=namespace).items
            found += [p for pod in pods if wanted(pod["metadata"].get("labels") or {}) and (p := _place(pod, port))]
        return self._next(found, f"service {namespace}/{name}")

    def _next(self, found: list[Found], what: str) -> Found:
        if not found:
            raise _Refused(503, f"no pod serves {what} now")
        self._turn += 1
        return found[self._turn % len(found)]

    def _models(self) -> Iterator[Object]:
        """Base models with a ready pod, and adapters that are published."""
        base = {pod["metadata"].get("labels", {}).get(_MODEL) for pod in self._store.list("pods").items if _place(pod)}
        for name in sorted(each for each in base if each):
            yield {"id": name, "object": "model", "owned_by": "lora-twin", "parent": None}
        for adapter in self._store.list("modeladapters.model.aibrix.ai").items:
            if (adapter.get("status") or {}).get("readyReplicas"):
                parent = adapter["spec"].get("baseModel")
                yield {"id": adapter["metadata"]["name"], "object": "model", "owned_by": "lora-twin", "parent": parent}


_TYPES = {404: "NotFoundError", 400: "BadRequestError"}


def publish(store: Store, host: str, port: int) -> None:
    """The gateway's Service, so that the document's way to its address works."""
    store.ensure_namespace(NAMESPACE)
    spec = {"type": "LoadBalancer", "ports": [{"name": "http", "port": port}]}
    store.create("services", {"metadata": {"name": SERVICE, "namespace": NAMESPACE}, "spec": spec})
    status = {"status": {"loadBalancer": {"ingress": [{"ip": host}]}}}
    store.patch("services", NAMESPACE, SERVICE, status, subresource="status")


def _parted(authority: str) -> Found:
    try:
        return parse_address(authority, default_host="", default_port=80)
    except FormatError:
        return authority, 80  # no pod has such a name


def _model(body: bytes) -> str:
    try:
        parsed: Any = json.loads(body)
    except ValueError as error:
        raise _Refused(400, "the body is no JSON; it has to name a model") from error
    model = parsed.get("model") if isinstance(parsed, dict) else None
    if not isinstance(model, str) or not model:
        raise _Refused(400, "the body names no model")
    return model


def _is_label(text: str) -> bool:
    """Whether a text can be a label's value at all."""
    return all(char.isalnum() or char in "-_." for char in text)


def _ready(slice_: Object) -> Iterator[Found]:
    port = next((each.get("port") for each in slice_.get("ports") or ()), None) or _DEFAULT_PORT
    for endpoint in slice_.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready", True):
            yield from ((address, port) for address in endpoint.get("addresses") or ())


def _place(pod: Object, port: int = 0) -> Found | None:
    """Where a pod serves; None if it is not ready."""
    ip = (pod.get("status") or {}).get("podIP")
    if not ip or is_terminating(pod) or not is_true(pod, "Ready"):
        return None
    labelled = str((pod["metadata"].get("labels") or {}).get(_PORT, _DEFAULT_PORT))
    return ip, port or (int(labelled) if labelled.isdecimal() else _DEFAULT_PORT)
