"""Requests to pods that are not simulated: processes of this machine, started by `twin node`.

Kubernetes does not allow loopback addresses in EndpointSlices. Such a pod therefore has an address 10.x.y.z like any
other, and its processes listen at 127.x.y.z.
"""

import httpx

from twin.apiserver import Object, Store
from twin.serve.network.engine_sockets import loopback_address

PROCESS = "process://"
"""Prefix of the container ids of such pods."""


class PodTransport(httpx.AsyncBaseTransport):
    """Transport to pods by their addresses: to processes by sockets, to all others through the simulated network."""

    def __init__(self, store: Store, simulated: httpx.AsyncBaseTransport) -> None:
        self._store = store
        self._simulated = simulated
        self._sockets = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        ip = request.url.host
        if not any(_is_process(pod, ip) for pod in self._store.list("pods").items):
            return await self._simulated.handle_async_request(request)
        url = request.url.copy_with(host=loopback_address(ip))
        sent = httpx.Request(request.method, url, headers=request.headers, stream=request.stream)
        return await self._sockets.handle_async_request(sent)

    async def aclose(self) -> None:
        await self._sockets.aclose()


def _is_process(pod: Object, ip: str) -> bool:
    status = pod.get("status") or {}
    ids = (item.get("containerID", "") for item in status.get("containerStatuses") or ())
    return status.get("podIP") == ip and any(container_id.startswith(PROCESS) for container_id in ids)
