"""A scenario as a world in wall-clock time, with all its faces: the page to start reading at.

The simulation is the one that `twin run` runs; only its clock and its doors are others. Everything lives in one loop
(`clock.py`): the world's processes, the operator if it is inside, and every socket.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.types import ASGIApp, Receive, Scope, Send

from twin.apiserver.rest import ApiServer, TokenAuthenticator, User
from twin.apiserver.rest.auth.authentication import AUTHENTICATED, MASTERS
from twin.apiserver.rest.middleware import no_observer
from twin.scenario import Scenario
from twin.scenario.faults import ControllerCrash
from twin.serve import certificates, kubeconfig
from twin.serve.clock import RealTimeClock, run
from twin.serve.container_logs import ContainerLogs
from twin.serve.control.api import PREFIX, ControlApi
from twin.serve.errors import ServeError
from twin.serve.network import gateway
from twin.serve.network.engine_sockets import EngineSockets
from twin.serve.network.gateway import Gateway
from twin.serve.network.sockets import Address, bound, listening
from twin.serve.operator.deployment import OperatorDeployment
from twin.serve.operator.external import NAME, ExternalOperator
from twin.serve.operator.process_replica import SKEW, ProcessOptions, ProcessReplica
from twin.sim.simulation import Simulation
from twin.trace.lines import Line
from twin.world.controller_replica import Replica
from twin.world.network.engine_host import EngineHost, Event

_KILLS_UNTIL = 0.6
"""Share of a scenario after which nobody is killed any more, so that there is time to see whether all ends well."""
GATEWAY_HOST = "127.0.80.1"
"""The gateway's address where nothing else was asked for: one of its own, so that port 80 may be free there."""
FIRST_POD = ipaddress.IPv4Address("10.244.0.1")
"""Of the range that kubeadm's examples give to pods; on 127.244.0.1 and up hardly anybody else listens."""
PROXY = "proxy"
"""Who asks an engine by way of the gateway, in the record."""
_HTTP = 80
_WATCH = 0.5  # seconds between looks whether a replica has failed
_MACHINE = 1.0  # seconds of the machine that sockets and processes may take on top of what is simulated


@dataclass(frozen=True, slots=True)
class Options:
    """How a scenario is served."""

    host: str = "127.0.0.1"
    port: int = 0
    insecure_http: bool = False
    """HTTP without TLS; on loopback only."""
    speed: float = 1.0
    paused: bool = False
    controller: bool = True
    """Whether the operator runs inside."""
    kubeconfig: Path = Path("twin.kubeconfig")
    operator_process: bool = False
    """Whether it runs as `lora-controller` processes rather than inside."""
    crash_interval: float = 0.0
    """Seconds of the world between two ends of it by SIGKILL, in the first part of the scenario; 0 is never."""
    until_end: bool = False
    """Whether it ends when the scenario's time is over."""


@dataclass(frozen=True, slots=True)
class ServedEndpoints:
    """Where everything is."""

    api: Address
    gateway: Address
    kubeconfig: Path
    token: str
    ca: bytes


@dataclass(frozen=True, slots=True)
class ServeResult:
    """What happened until it ended."""

    lines: list[Line]
    partial: bool
    """Whether it was ended before the scenario's time was over."""


def serve(scenario: Scenario, options: Options, on_served: Callable[[ServedEndpoints], None]) -> ServeResult:
    """Serves until interrupted, or, with `until_end`, until the scenario is over.

    Raises:
        CannotServe: the addresses cannot be had, or the kubeconfig not be written.
    """
    clock = RealTimeClock(options.speed)
    clock.held = True  # what is needed to build the world is no part of it
    world = ServedWorld(scenario, clock, options)
    if options.paused:
        clock.pause()
    with contextlib.suppress(KeyboardInterrupt):  # an end like any other
        run(lambda: world.run(on_served), world.simulation.env, clock)
    world.simulation.recorder.close()
    reached = float(world.simulation.env.now)
    return ServeResult(world.simulation.recorder.lines, partial=reached < scenario.duration)


class ServedWorld:
    """One world and its doors."""

    def __init__(self, scenario: Scenario, clock: RealTimeClock, options: Options) -> None:
        self._options = options
        self._clock = clock
        self._loopback = _is_loopback(options.host)
        if options.insecure_http and not self._loopback:
            raise ServeError(
                f"--insecure-http: {options.host} is not loopback, and the token would go over it in the clear"
            )
        self._epoch = _time()
        self.simulation = simulation = Simulation(
            scenario,
            epoch=self._epoch,
            first_address=FIRST_POD,
            replica=ProcessReplica if options.operator_process else Replica,
            machine=_MACHINE * options.speed,
        )
        self._apart = {each.name: each for each in simulation.replicas if isinstance(each, ProcessReplica)}
        store, network = simulation.store, simulation.network
        self._access = TokenAuthenticator(open=options.insecure_http)
        self._logs = ContainerLogs(network, simulation.wall_time)
        api_latency, rng = scenario.cluster.api.latency, simulation.streams.get("served/api-latency")
        self._outside = ExternalOperator(store, simulation.recorder, simulation.api_faults, api_latency, rng)
        self._engines = EngineSockets(store, network, NAME, simulation.world.host_of)
        self._inside = OperatorDeployment(store, simulation.replicas, self._logs.write, simulation.wall_time)
        self._control = ControlApi(
            simulation, clock, self._access, trusting=self._loopback, operated=options.controller
        )
        self._gateway = Gateway(store, network, self._control, PROXY, self._apart)
        simulation.on_engine = self._engine_changed
        simulation.recorder.on_line += [self._logs.recorded, self._inside.recorded]
        store.subscribe(self._logs.pod_changed, "pods")

    async def run(self, on_served: Callable[[ServedEndpoints], None]) -> None:
        """From the first socket to the last."""
        async with AsyncExitStack() as stack:
            served = await self._open(stack)
            await self._open_processes(served, stack)
            # At the machine's speed its clock has to agree with the machine's, which an operator outside goes by.
            passed = (_time() - self._epoch).total_seconds()
            self._clock.start(passed if self._options.speed == 1 else 0.0)
            self.simulation.begin(controllers=False)
            gateway.publish(self.simulation.store, served.gateway.host, served.gateway.port)
            if self._options.controller:
                self._inside.deploy(self.simulation.scenario.controller)
            if self._from_outside:
                self._outside.watch_leases(self._apart)
            self.simulation.inject_faults(list(self._kills()))
            on_served(served)
            await self._until_end()

    async def _open(self, stack: AsyncExitStack) -> ServedEndpoints:
        """Sockets first: a port that is taken is noticed before anything is begun."""
        options = self._options
        sock = _bound(options.host, options.port, "--port")
        stack.callback(sock.close)
        host, port = sock.getsockname()[:2]
        pem = None if options.insecure_http else certificates.make(host, "localhost", "127.0.0.1")
        address = Address(host, port, tls=pem is not None)
        observer = self._outside.saw if self._from_outside else no_observer
        api = ApiServer(
            self.simulation.store,
            self._access,
            self.simulation.wall_time,
            containers=self._logs,
            observer=observer,
            interference=self._outside.interfere,
            address=address.place,
        )
        content = kubeconfig.kubeconfig(address.url, self._access.admin_token, ca=pem.ca if pem else b"")
        try:
            kubeconfig.write(options.kubeconfig, content)
        except OSError as error:
            raise ServeError(f"--kubeconfig {options.kubeconfig}: {error.strerror or error}") from error
        stack.callback(lambda: options.kubeconfig.unlink(missing_ok=True))
        stack.push_async_callback(self._ended)
        await stack.enter_async_context(listening(_both(api, self._control), sock, tls=pem.context if pem else None))
        door = await stack.enter_async_context(listening(self._gateway, self._gateway_socket()))
        stack.callback(api.close)
        stack.callback(self._control.close)
        return ServedEndpoints(address, door, options.kubeconfig, self._access.admin_token, pem.ca if pem else b"")

    def _kills(self) -> Iterator[ControllerCrash]:
        every, moment = self._options.crash_interval, self._options.crash_interval
        while every and moment <= self.simulation.scenario.duration * _KILLS_UNTIL:
            yield ControllerCrash.model_validate({"kind": "controller-crash", "at": f"{moment:.3f}s"})
            moment += every

    @property
    def _from_outside(self) -> bool:
        """Whether the operator comes through the served API."""
        return self._options.operator_process or not self._options.controller

    async def _open_processes(self, served: ServedEndpoints, stack: AsyncExitStack) -> None:
        """What replicas need that are processes of their own."""
        if not self._apart:
            return
        if find_spec("kubernetes") is None:
            raise ServeError(
                "--operator-process: lora-controller needs the extra `live`: pip install 'lora-twin[live]'"
            )
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="lora-twin-")))
        clocked = self._options.speed != 1 or any(each.kind == SKEW for each in self.simulation.scenario.faults)
        for name, replica in self._apart.items():
            token = self._access.issue(User(name, (MASTERS, AUTHENTICATED)))
            file = folder / f"{name}.kubeconfig"
            kubeconfig.write(file, kubeconfig.kubeconfig(served.api.url, token, ca=served.ca))
            doors = ProcessOptions(file, served.gateway.url, self._options.speed, clocked, self.simulation.wall_time)
            await replica.open(doors)
        self._clock.fixed = True

    def _gateway_socket(self) -> socket.socket:
        """Port 80 at an address of its own if that can be had, else any port, else anywhere on loopback."""
        if not self._loopback:
            return _bound(self._options.host, 0, "--host")
        for host, port in ((GATEWAY_HOST, _HTTP), (GATEWAY_HOST, 0)):
            try:
                return bound(host, port)
            except OSError:
                continue
        return _bound("127.0.0.1", 0, "--host")

    def _engine_changed(self, host: EngineHost, event: Event, adapter: str, root: str) -> None:
        self._engines.changed(host, event)
        self._logs.engine_changed(host, event, adapter, root)

    async def _until_end(self) -> None:
        while not (self._options.until_end and self.simulation.env.now >= self.simulation.scenario.duration):
            left = self.simulation.scenario.duration - self.simulation.env.now
            await asyncio.sleep(min(_WATCH, left) if self._options.until_end and left > 0 else _WATCH)
            for replica in self.simulation.replicas:
                replica.check()

    async def _ended(self) -> None:
        await self.simulation.end()
        await self._engines.close()


def _both(api: ApiServer, control: ASGIApp) -> ASGIApp:
    """Kubernetes' API and the twin's own face at one address."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        own = scope["path"] == "/" or scope["path"].startswith(PREFIX)
        face: Callable[[Scope, Receive, Send], Awaitable[None]] = control if own and scope["type"] == "http" else api
        await face(scope, receive, send)

    return answer


def _time() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - time is real here


def _bound(host: str, port: int, flag: str) -> socket.socket:
    try:
        return bound(host, port)
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or error
        raise ServeError(f"{flag}: {host}:{port} cannot be listened at: {said}; choose another one") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
