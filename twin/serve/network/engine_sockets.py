"""Engines on loopback sockets, reachable by an operator outside, `curl` and any other client.

A pod's IP address stays as Kubernetes reports it, 10.x.y.z. Its engine listens at 127.x.y.z, on the pod's own port: the
first number is replaced. A runtime sidecar listens at the same address on its own port. Where such an address is not
available (systems other than Linux have 127.0.0.1 only), another one is used; the pod's annotations
`lora-twin/address` and `lora-twin/sidecar-address` always have the right one. The gateway as HTTP proxy
(`gateway.py`) needs no such mapping.

A socket is open while the engine or sidecar behind it listens. Otherwise, and under a fault that refuses all requests,
the system itself refuses connections. Every request by socket counts as a request of the controller; probes and the
gateway's traffic do not use these sockets.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import httpx
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from controller.cache.routing import SIDECAR_PORT
from twin.apiserver import ApiError, Change, Store
from twin.apiserver.meta.objects import key, split
from twin.serve.network import proxy
from twin.serve.network.sockets import Address, Listener
from twin.world.network.engine_host import EngineHost, Event
from twin.world.network.transport import Network

ADDRESS = "lora-twin/address"
"""Annotation of a pod with the address of its engine, HOST:PORT."""
SIDECAR_ADDRESS = "lora-twin/sidecar-address"
"""Annotation of a pod with the address of its runtime sidecar."""
_FALLBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class _ListeningPort:
    """A port of a pod that accepts connections now."""

    host: EngineHost
    ip: str
    port: int
    annotation: str


class EngineSockets:
    """Opens and closes sockets as engines and sidecars start and stop."""

    def __init__(self, store: Store, network: Network, by: str, host_of: Callable[[str], EngineHost | None]) -> None:
        """`host_of` returns a pod's host by `namespace/name`."""
        self._store = store
        self._transport = network.transport(by, "controller")
        self._listener = Listener(self._answer)
        self._host_of = host_of
        self._ports: dict[tuple[str, int], _ListeningPort] = {}
        """By the socket's host and port."""
        self._open: dict[str, dict[_ListeningPort, Address]] = {}
        """By the pod's uid."""
        self._followed: set[str] = set()
        self._opening: dict[_ListeningPort, asyncio.Task[None]] = {}
        store.subscribe(self._pod_changed, "pods")

    def engine_changed(self, host: EngineHost, event: Event) -> None:
        """Handle an event of an engine."""
        if event in ("started", "stopped"):
            self._reconcile(host)

    async def close(self) -> None:
        """Close all sockets."""
        for task in list(self._opening.values()):
            task.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        await self._listener.close()

    def _pod_changed(self, change: Change) -> None:
        """Follow a pod's status, which shows when its sidecar starts and stops."""
        host = self._host_of(key(change.object))
        if host is not None and host.sidecar is not None:
            self._reconcile(host)
        if change.type == "DELETED":
            for port in list(self._open.get(change.object["metadata"]["uid"], ())):
                self._reconcile(port.host)

    def _reconcile(self, host: EngineHost) -> None:
        """Open the sockets that are missing, close those that are not wanted any more."""
        if host.uid not in self._followed:
            self._followed.add(host.uid)
            host.faults.on_change.append(lambda: self._reconcile(host))
        desired, current = _listening_ports(host), self._open.get(host.uid, {})
        for port in [port for port in current if port not in desired]:
            address = current.pop(port)
            del self._ports[address.host, address.port]
            self._listener.stop_listening(address.host, address.port)
        if not current:
            self._open.pop(host.uid, None)
        for port in desired:
            if port not in current and port not in self._opening:
                task = asyncio.get_running_loop().create_task(self._open_one(port), name=f"socket of {host.pod}")
                self._opening[port] = task
                task.add_done_callback(partial(self._open_ended, port))

    def _open_ended(self, port: _ListeningPort, _task: asyncio.Task[None]) -> None:
        self._opening.pop(port, None)

    async def _open_one(self, port: _ListeningPort) -> None:
        address = await self._listen(port.ip, port.port)
        self._ports[address.host, address.port] = port
        self._open.setdefault(port.host.uid, {})[port] = address
        if port not in _listening_ports(port.host):
            self._reconcile(port.host)
            return
        namespace, name = split(port.host.pod)
        body = {"metadata": {"annotations": {port.annotation: address.authority}}}
        try:
            self._store.patch("pods", namespace, name, body, manager="kubelet")
        except ApiError:
            self._reconcile(port.host)  # the pod was deleted in the meantime

    async def _listen(self, ip: str, port: int) -> Address:
        for host, number in ((loopback_address(ip), port), (loopback_address(ip), 0)):
            try:
                return await self._listener.open(host, number)
            except OSError:
                continue
        return await self._listener.open(_FALLBACK, 0)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request to an engine or a sidecar."""
        port = self._ports.get(tuple(scope["server"]))
        if scope["type"] != "http" or port is None:
            proxy.disconnect(scope, reset=True)
            return
        incoming = await proxy.read(Request(scope, receive))
        try:
            response = await proxy.forward(self._transport, incoming.to(port.ip, port.port), receive)
        except httpx.RemoteProtocolError:
            proxy.disconnect(scope, reset=False)
        except httpx.TransportError:
            proxy.disconnect(scope, reset=True)
        else:
            if response is not None:
                await proxy.send_response(response, scope, receive, send)


def loopback_address(ip: str) -> str:
    """Return the loopback address that stands for a pod's address."""
    first, _, rest = ip.partition(".")
    return f"127.{rest}" if first == "10" and rest else _FALLBACK


def _listening_ports(host: EngineHost) -> list[_ListeningPort]:
    """Return the ports of a pod that accept connections now."""
    if not host.ip or not host.reachable:
        return []
    refused = any(
        rule.kind == "connection-refused" and rule.probability >= 1 and "controller" in rule.callers
        for rule in host.faults.rules
    )
    ports = []
    if host.engine is not None and host.listening and not refused:
        ports.append(_ListeningPort(host, host.ip, host.port, ADDRESS))
    if host.sidecar is not None and host.sidecar.running:
        ports.append(_ListeningPort(host, host.ip, SIDECAR_PORT, SIDECAR_ADDRESS))
    return ports
