"""Engines on loopback sockets, so that a controller outside, `curl` or anybody else reaches them.

A pod's IP address stays what Kubernetes says, 10.x.y.z. Its engine listens on 127.x.y.z, on the pod's own port: put 127
for 10, in any language. Where that address cannot be had (other systems than Linux give a machine 127.0.0.1 alone), it
is another one; the pod's annotation `lora-twin/address` always says which. Who would rather not map at all uses the
gateway as its HTTP proxy (`gateway.py`).

A socket is open while the engine listens: before and after, and under a fault that refuses everybody, a connection is
refused by the system itself. Every request by socket counts as a controller's: probes and the gateway's traffic never
come this way.
"""

import asyncio

import httpx
from starlette.types import Receive, Scope, Send

from twin.apiserver import ApiError, Store
from twin.served import relay
from twin.served.sockets import Address, Listener
from twin.world.engines import EngineHost, Event
from twin.world.network import Network
from twin.world.objects import split

ADDRESS = "lora-twin/address"
"""The annotation of a pod that says where its engine listens: HOST:PORT."""
_ELSEWHERE = "127.0.0.1"


class EngineSockets:
    """Opens and closes them as engines come and go."""

    def __init__(self, store: Store, network: Network, by: str) -> None:
        self._store = store
        self._transport = network.transport(by, "controller")
        self._listener = Listener(self._answer)
        self._pods: dict[tuple[str, int], EngineHost] = {}
        self._places: dict[str, Address] = {}
        self._known: set[str] = set()
        self._opening: dict[str, asyncio.Task[None]] = {}

    def changed(self, host: EngineHost, event: Event) -> None:
        """An engine has begun or ceased to listen."""
        if event in ("started", "stopped"):
            if host.uid not in self._known:
                self._known.add(host.uid)
                host.faults.on_change.append(lambda: self._settle(host))
            self._settle(host)

    def address_of(self, ip: str) -> Address | None:
        """Where the engine with that pod IP listens now."""
        return self._places.get(ip)

    async def close(self) -> None:
        """Closes them all."""
        for task in list(self._opening.values()):
            task.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        await self._listener.close()

    def _settle(self, host: EngineHost) -> None:
        """Open if it should be, closed if not."""
        wanted = _listens(host)
        place = self._places.get(host.ip)
        if wanted and place is None and host.ip not in self._opening:
            task = asyncio.get_running_loop().create_task(self._open(host), name=f"socket of {host.pod}")
            self._opening[host.ip] = task
            task.add_done_callback(lambda _: self._opening.pop(host.ip, None))
        elif not wanted and place is not None:
            del self._places[host.ip]
            del self._pods[place.host, place.port]
            self._listener.shut(place.host, place.port)

    async def _open(self, host: EngineHost) -> None:
        ip = host.ip
        place = await self._listening(ip, host.port)
        self._pods[place.host, place.port] = host
        self._places[ip] = place
        if not _listens(host) or host.ip != ip:
            self._settle(host)
            return
        namespace, name = split(host.pod)
        body = {"metadata": {"annotations": {ADDRESS: place.place}}}
        try:
            self._store.patch("pods", namespace, name, body, manager="kubelet")
        except ApiError:
            self._settle(host)  # it has gone meanwhile

    async def _listening(self, ip: str, port: int) -> Address:
        for host, number in ((mapped(ip), port), (mapped(ip), 0)):
            try:
                return await self._listener.open(host, number)
            except OSError:
                continue
        return await self._listener.open(_ELSEWHERE, 0)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request to an engine."""
        host = self._pods.get(tuple(scope["server"]))
        if scope["type"] != "http" or host is None:
            relay.cut(scope, reset=True)
            return
        incoming = await relay.read(scope, receive)
        try:
            response = await relay.fetched(self._transport, incoming.to(host.ip, host.port), receive)
        except httpx.RemoteProtocolError:
            relay.cut(scope, reset=False)
        except httpx.TransportError:
            relay.cut(scope, reset=True)
        else:
            if response is not None:
                await relay.send_response(response, scope, send)


def mapped(ip: str) -> str:
    """The loopback address that stands for a pod's."""
    first, _, rest = ip.partition(".")
    return f"127.{rest}" if first == "10" and rest else _ELSEWHERE


def _listens(host: EngineHost) -> bool:
    """Whether connections should be accepted: not if a fault refuses each of them."""
    refused = any(
        rule.kind == "connection-refused" and rule.probability >= 1 and "controller" in rule.hits
        for rule in host.faults.rules
    )
    return host.engine is not None and host.listening and host.reachable and not refused
