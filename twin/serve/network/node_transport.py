"""Pods that are no part of the simulation: processes of this machine, which `twin node` runs.

Kubernetes lets no EndpointSlice name an address of loopback. So such a pod is 10.x.y.z to everybody, as any other, and
its processes listen at 127.x.y.z.
"""

import httpx

from twin.apiserver import Object, Store
from twin.serve.network.engine_sockets import loopback_address

PROCESS = "process://"
"""What ids of such containers begin with."""


class PodTransport(httpx.AsyncBaseTransport):
    """To pods by their addresses: processes by sockets, all others through the simulated network."""

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
    ids = (each.get("containerID", "") for each in status.get("containerStatuses") or ())
    return status.get("podIP") == ip and any(each.startswith(PROCESS) for each in ids)
