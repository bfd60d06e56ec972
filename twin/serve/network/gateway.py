"""One address for inference: a request that names a model goes to a pod that serves it.

The destination of a request selects one of three routes:

- the gateway itself, as in the document's `curl http://${ENDPOINT}/v1/completions`: `model` in the body is an adapter,
  found by the EndpointSlices of its Service, or a base model, found by the labels of its pods;
- a Service, `http://NAME.NAMESPACE.svc/…`, with the gateway as HTTP proxy, which acts as the cluster's DNS and routing;
- a pod's IP address, also with the gateway as HTTP proxy: an operator outside reaches engines and sidecars at the
  addresses that Kubernetes reports, `lora-controller` with `--engine-proxy`, others with the variable `http_proxy`.
"""

import json
from base64 import b64decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from formats.errors import FormatError
from formats.sockets import parse_address
from twin.apiserver import ApiError, Object, Store
from twin.apiserver.meta.objects import is_terminating, is_true
from twin.apiserver.meta.selectors import labels
from twin.serve.network import proxy
from twin.serve.network.node_transport import PodTransport
from twin.world.network.transport import Network

NAMESPACE = "envoy-gateway-system"
SERVICE = "envoy-aibrix-system-aibrix-eg-903790dc"
"""The gateway's Service, named as in the document."""
_SLICES = "endpointslices.discovery.k8s.io"
_SERVICE_NAME = "kubernetes.io/service-name"
_MODEL = "model.aibrix.ai/name"
_PORT = "model.aibrix.ai/port"
_DEFAULT_PORT = 8000
_HTTP_PORT = 80
_CLUSTER = (".svc.cluster.local", ".svc")
_ERROR_TYPES = {404: "NotFoundError", 400: "BadRequestError"}

Endpoint = tuple[str, int]
"""A pod's IP address and port."""


@dataclass(frozen=True, slots=True)
class _GatewayError(Exception):
    """An error response of the gateway itself, in the form of OpenAI's API."""

    status: int
    message: str

    @property
    def response(self) -> JSONResponse:
        error = {"message": self.message, "type": _ERROR_TYPES.get(self.status, "ServiceUnavailable")}
        return JSONResponse({"error": {**error, "param": None, "code": self.status}}, self.status)


class Gateway:
    """ASGI application that routes by model, by Service and by pod."""

    def __init__(self, store: Store, network: Network, page: ASGIApp, by: str, replicas: Iterable[str]) -> None:
        """Build the gateway.

        Args:
            store: where pods, Services and EndpointSlices are read.
            network: where requests are sent.
            page: the application for all other paths.
            by: name of the client in the record, for requests to pods.
            replicas: names that a client may give instead, as the user name of the proxy's URL.
        """
        self._store = store
        self._traffic = PodTransport(store, network.transport("gateway", "traffic"))
        self._direct = {name: PodTransport(store, network.transport(name, "controller")) for name in (by, *replicas)}
        self._by = by
        self._page = page
        self._next_index = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            proxy.disconnect(scope, reset=False)
            return
        target = urlsplit(scope["path"]) if scope["path"].startswith("http://") else None
        if target is not None:  # the absolute form, as sent to proxies
            scope = {**scope, "path": target.path or "/"}
        request = Request(scope, receive)
        host, port = _split(target.netloc if target is not None else request.headers.get("host", ""))
        in_cluster = host.endswith(_CLUSTER)
        try:
            if in_cluster or host in self._pod_ips():
                await (self._to_service if in_cluster else self._to_pod)(request, (host, port), send)
            elif scope["path"].startswith("/v1/"):
                await self._to_model(request, send)
            else:
                await self._page(scope, receive, send)
        except _GatewayError as error:
            await error.response(scope, receive, send)

    def _pod_ips(self) -> set[str]:
        return {pod.get("status", {}).get("podIP", "") for pod in self._store.list("pods").items} - {""}

    # -- the three routes

    async def _to_pod(self, request: Request, endpoint: Endpoint, send: Send) -> None:
        """Forward to a pod; a connection that breaks there breaks here too, so that the client sees the same."""
        incoming = await proxy.read(request)
        transport = self._direct[self._client(incoming)]
        try:
            response = await proxy.forward(transport, incoming.to(*endpoint), request.receive)
        except httpx.ConnectError as error:
            raise _GatewayError(503, f"upstream {endpoint[0]}:{endpoint[1]}: {error}") from error
        except httpx.TransportError as error:
            proxy.disconnect(request.scope, reset=not isinstance(error, httpx.RemoteProtocolError))
        else:
            if response is not None:
                await proxy.send_response(response, request.scope, request.receive, send)

    async def _to_service(self, request: Request, address: tuple[str, int], send: Send) -> None:
        await self._forward(request, await proxy.read(request), self._service_endpoint(*address), send)

    async def _to_model(self, request: Request, send: Send) -> None:
        incoming = await proxy.read(request)
        if incoming.method == "GET" and incoming.path == "/v1/models":
            models = JSONResponse({"object": "list", "data": list(self._models())})
            await models(request.scope, request.receive, send)
            return
        await self._forward(request, incoming, self._model_endpoint(_model(incoming.body)), send)

    async def _forward(self, request: Request, incoming: proxy.ProxiedRequest, endpoint: Endpoint, send: Send) -> None:
        try:
            response = await proxy.forward(self._traffic, incoming.to(*endpoint), request.receive)
        except httpx.TimeoutException as error:
            raise _GatewayError(504, f"upstream {endpoint[0]}:{endpoint[1]}: {error}") from error
        except httpx.TransportError as error:
            raise _GatewayError(502, f"upstream {endpoint[0]}:{endpoint[1]}: {error}") from error
        if response is not None:
            await proxy.send_response(response, request.scope, request.receive, send)

    def _client(self, incoming: proxy.ProxiedRequest) -> str:
        """Return the client's name, from `http://NAME@proxy`."""
        scheme, _, text = incoming.headers.get("proxy-authorization", "").partition(" ")
        try:
            name = b64decode(text).decode().partition(":")[0] if scheme.lower() == "basic" else ""
        except ValueError:
            return self._by
        return name if name in self._direct else self._by

    # -- endpoints

    def _model_endpoint(self, model: str) -> Endpoint:
        """Return the next published pod of a model.

        Raises:
            _GatewayError: 404 if the model does not exist, 503 if no pod serves it now.
        """
        is_label = _is_label(model)
        services = self._store.list("services", label_selector=f"{_MODEL}={model}").items if is_label else []
        endpoints = [endpoint for service in services for endpoint in self._published(service["metadata"])]
        exists = bool(services)
        if not exists:
            pods = self._store.list("pods", label_selector=f"{_MODEL}={model}").items if is_label else []
            endpoints = [endpoint for pod in pods if (endpoint := _pod_endpoint(pod))]
            exists = bool(pods)
        if not exists:
            raise _GatewayError(404, f"The model `{model}` does not exist.")
        return self._next(endpoints, f"model {model}")

    def _service_endpoint(self, host: str, port: int) -> Endpoint:
        name, _, namespace = next(host.removesuffix(end) for end in _CLUSTER if host.endswith(end)).partition(".")
        try:
            service = self._store.get("services", namespace, name)
        except ApiError as error:
            raise _GatewayError(404, error.message) from error
        endpoints = self._published(service["metadata"])
        if selector := service["spec"].get("selector"):
            matches = labels(",".join(f"{key}={value}" for key, value in selector.items()))
            for pod in self._store.list("pods", namespace=namespace).items:
                if matches(pod["metadata"].get("labels") or {}) and (endpoint := _pod_endpoint(pod, port)):
                    endpoints.append(endpoint)
        return self._next(endpoints, f"service {namespace}/{name}")

    def _published(self, service: Object) -> list[Endpoint]:
        """Return the ready endpoints of a Service, by its metadata."""
        selector = f"{_SERVICE_NAME}={service['name']}"
        slices = self._store.list(_SLICES, namespace=service["namespace"], label_selector=selector).items
        return [endpoint for item in slices for endpoint in _ready_endpoints(item)]

    def _next(self, endpoints: list[Endpoint], target: str) -> Endpoint:
        """Return one endpoint, round-robin."""
        if not endpoints:
            raise _GatewayError(503, f"no pod serves {target} now")
        self._next_index += 1
        return endpoints[self._next_index % len(endpoints)]

    def _models(self) -> Iterator[Object]:
        """Base models with a ready pod, and published adapters."""
        pods = [pod for pod in self._store.list("pods").items if _pod_endpoint(pod)]
        for name in sorted({pod["metadata"].get("labels", {}).get(_MODEL) or "" for pod in pods} - {""}):
            yield {"id": name, "object": "model", "owned_by": "lora-twin", "parent": None}
        for adapter in self._store.list("modeladapters.model.aibrix.ai").items:
            if (adapter.get("status") or {}).get("readyReplicas"):
                parent = adapter["spec"].get("baseModel")
                yield {"id": adapter["metadata"]["name"], "object": "model", "owned_by": "lora-twin", "parent": parent}


def publish(store: Store, host: str, port: int) -> None:
    """Create the gateway's Service, so that clients find its address as the document describes."""
    store.ensure_namespace(NAMESPACE)
    spec = {"type": "LoadBalancer", "ports": [{"name": "http", "port": port}]}
    store.create("services", {"metadata": {"name": SERVICE, "namespace": NAMESPACE}, "spec": spec})
    status = {"status": {"loadBalancer": {"ingress": [{"ip": host}]}}}
    store.patch("services", NAMESPACE, SERVICE, status, subresource="status")


def _split(authority: str) -> Endpoint:
    try:
        return parse_address(authority, default_host="", default_port=_HTTP_PORT)
    except FormatError:
        return authority, _HTTP_PORT  # no pod has such a name


def _model(body: bytes) -> str:
    try:
        parsed: Any = json.loads(body)
    except ValueError as error:
        raise _GatewayError(400, "the body is not valid JSON; it must be an object with `model`") from error
    model = parsed.get("model") if isinstance(parsed, dict) else None
    if not isinstance(model, str) or not model:
        raise _GatewayError(400, "the body has no `model`")
    return model


def _is_label(text: str) -> bool:
    """Return True if a text can be the value of a label."""
    return all(char.isalnum() or char in "-_." for char in text)


def _ready_endpoints(endpoint_slice: Object) -> Iterator[Endpoint]:
    ports = endpoint_slice.get("ports") or ()
    port = next((item.get("port") for item in ports), None) or _DEFAULT_PORT
    for endpoint in endpoint_slice.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready", True):
            yield from ((address, port) for address in endpoint.get("addresses") or ())


def _pod_endpoint(pod: Object, port: int = 0) -> Endpoint | None:
    """Return the address of a pod's engine; None if the pod is not ready."""
    ip = (pod.get("status") or {}).get("podIP")
    if not ip or is_terminating(pod) or not is_true(pod, "Ready"):
        return None
    label = str((pod["metadata"].get("labels") or {}).get(_PORT, _DEFAULT_PORT))
    return ip, port or (int(label) if label.isdecimal() else _DEFAULT_PORT)
