"""Engines on loopback sockets, so that a controller outside, `curl` or anybody else reaches them.

A pod's IP address stays what Kubernetes says, 10.x.y.z. Its engine listens on 127.x.y.z, on the pod's own port: put 127
for 10, in any language. A runtime sidecar listens at the same address, on its own port. Where that address cannot be
had (other systems than Linux give a machine 127.0.0.1 alone), it is another one; the pod's annotations
`lora-twin/address` and `lora-twin/sidecar-address` always say which. Who would rather not map at all uses the gateway
as HTTP proxy (`gateway.py`).

A socket is open while what is behind it listens: before and after, and for an engine under a fault that refuses
everybody, a connection is refused by the system itself. Every request by socket counts as a controller's: probes and
the gateway's traffic never come this way.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import httpx
from starlette.types import Receive, Scope, Send

from controller.cache.routing import SIDECAR_PORT
from twin.apiserver import ApiError, Change, Store
from twin.apiserver.meta.objects import key, split
from twin.serve.network import proxy as relay
from twin.serve.network.sockets import Address, Listener
from twin.world.network.engine_host import EngineHost, Event
from twin.world.network.transport import Network

ADDRESS = "lora-twin/address"
"""The annotation of a pod that says where its engine listens: HOST:PORT."""
SIDECAR_ADDRESS = "lora-twin/sidecar-address"
"""Likewise of its runtime sidecar."""
_ELSEWHERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class _ListeningPort:
    """One port of a pod, as it is to be reached now."""

    host: EngineHost
    ip: str
    port: int
    annotation: str


class EngineSockets:
    """Opens and closes them as engines and sidecars come and go."""

    def __init__(self, store: Store, network: Network, by: str, host_of: Callable[[str], EngineHost | None]) -> None:
        """`host_of` finds a pod's host by `namespace/name`."""
        self._store = store
        self._transport = network.transport(by, "controller")
        self._listener = Listener(self._answer)
        self._host_of = host_of
        self._doors: dict[tuple[str, int], _ListeningPort] = {}
        """By the address that is listened at."""
        self._open: dict[str, dict[_ListeningPort, Address]] = {}
        """By the pod's uid."""
        self._known: set[str] = set()
        self._opening: dict[_ListeningPort, asyncio.Task[None]] = {}
        store.subscribe(self._pod_changed, "pods")

    def changed(self, host: EngineHost, event: Event) -> None:
        """An engine has begun or ceased to listen."""
        if event in ("started", "stopped"):
            self._settle(host)

    async def close(self) -> None:
        """Closes them all."""
        for task in list(self._opening.values()):
            task.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        await self._listener.close()

    def _pod_changed(self, change: Change) -> None:
        """What the kubelet says of a pod tells when its sidecar has begun or ended."""
        host = self._host_of(key(change.object))
        if host is not None and host.sidecar is not None:
            self._settle(host)
        if change.type == "DELETED":
            for door in list(self._open.get(change.object["metadata"]["uid"], ())):
                self._settle(door.host)

    def _settle(self, host: EngineHost) -> None:
        """Open what should be open, close what should not."""
        if host.uid not in self._known:
            self._known.add(host.uid)
            host.faults.on_change.append(lambda: self._settle(host))
        wanted, present = _doors(host), self._open.get(host.uid, {})
        for door in [door for door in present if door not in wanted]:
            address = present.pop(door)
            del self._doors[address.host, address.port]
            self._listener.shut(address.host, address.port)
        if not present:
            self._open.pop(host.uid, None)
        for door in wanted:
            if door not in present and door not in self._opening:
                task = asyncio.get_running_loop().create_task(self._open_one(door), name=f"socket of {host.pod}")
                self._opening[door] = task
                task.add_done_callback(partial(self._opened, door))

    def _opened(self, door: _ListeningPort, _task: asyncio.Task[None]) -> None:
        self._opening.pop(door, None)

    async def _open_one(self, door: _ListeningPort) -> None:
        place = await self._listening(door.ip, door.port)
        self._doors[place.host, place.port] = door
        self._open.setdefault(door.host.uid, {})[door] = place
        if door not in _doors(door.host):
            self._settle(door.host)
            return
        namespace, name = split(door.host.pod)
        body = {"metadata": {"annotations": {door.annotation: place.place}}}
        try:
            self._store.patch("pods", namespace, name, body, manager="kubelet")
        except ApiError:
            self._settle(door.host)  # it has gone meanwhile

    async def _listening(self, ip: str, port: int) -> Address:
        for host, number in ((loopback_address(ip), port), (loopback_address(ip), 0)):
            try:
                return await self._listener.open(host, number)
            except OSError:
                continue
        return await self._listener.open(_ELSEWHERE, 0)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request to an engine or a sidecar."""
        door = self._doors.get(tuple(scope["server"]))
        if scope["type"] != "http" or door is None:
            relay.cut(scope, reset=True)
            return
        incoming = await relay.read(scope, receive)
        try:
            response = await relay.forward(self._transport, incoming.to(door.ip, door.port), receive)
        except httpx.RemoteProtocolError:
            relay.cut(scope, reset=False)
        except httpx.TransportError:
            relay.cut(scope, reset=True)
        else:
            if response is not None:
                await relay.send_response(response, scope, send)


def loopback_address(ip: str) -> str:
    """The loopback address that stands for a pod's."""
    first, _, rest = ip.partition(".")
    return f"127.{rest}" if first == "10" and rest else _ELSEWHERE


def _doors(host: EngineHost) -> list[_ListeningPort]:
    """What of a pod accepts connections now."""
    if not host.ip or not host.reachable:
        return []
    refused = any(
        rule.kind == "connection-refused" and rule.probability >= 1 and "controller" in rule.callers
        for rule in host.faults.rules
    )
    found = []
    if host.engine is not None and host.listening and not refused:
        found.append(_ListeningPort(host, host.ip, host.port, ADDRESS))
    if host.sidecar is not None and host.sidecar.running:
        found.append(_ListeningPort(host, host.ip, SIDECAR_PORT, SIDECAR_ADDRESS))
    return found
