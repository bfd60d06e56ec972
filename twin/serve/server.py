"""A scenario as a world in wall-clock time, behind sockets; start reading here.

The simulation is the one of `twin run`; only its clock and its sockets differ. Everything runs in one event loop
(`clock.py`): the simulated cluster, the operator if it is inside, and all sockets.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.types import ASGIApp, Receive, Scope, Send

from formats.installation import install_command
from formats.sockets import bind
from twin.apiserver.rest import ApiServer, TokenAuthenticator, User
from twin.apiserver.rest.auth.authentication import AUTHENTICATED, MASTERS
from twin.apiserver.rest.middleware import no_observer
from twin.scenario import Scenario
from twin.scenario.faults import ControllerCrash
from twin.serve import certificates, kubeconfig
from twin.serve.clock import RealTimeClock, run
from twin.serve.container_logs import ContainerLogs
from twin.serve.control.api import DOCS, PREFIX, ControlApi
from twin.serve.errors import ServeError
from twin.serve.network import gateway
from twin.serve.network.engine_sockets import EngineSockets
from twin.serve.network.gateway import Gateway
from twin.serve.network.sockets import Address, listening
from twin.serve.operator.deployment import OperatorDeployment
from twin.serve.operator.external import NAME, ExternalOperator
from twin.serve.operator.process_replica import SKEW, ProcessOptions, ProcessReplica
from twin.sim.simulation import Simulation, SimulationOptions
from twin.trace.lines import Line
from twin.world.controller_replica import Replica, ReplicaContext
from twin.world.network.engine_host import EngineHost, Event

_CRASHES_UNTIL = 0.6
"""Share of a scenario after which the operator is not killed any more, so that there is time to recover."""
GATEWAY_HOST = "127.0.80.1"
"""Default address of the gateway: one of its own, where port 80 is likely to be free."""
FIRST_POD = ipaddress.IPv4Address("10.244.0.1")
"""First address of the range in kubeadm's examples; 127.244.0.1 and above are rarely in use."""
PROXY = "proxy"
"""Name in the record of clients that reach an engine through the gateway."""
_HTTP_PORT = 80
_CHECK_INTERVAL = 0.5  # seconds between checks for failed replicas
_OVERHEAD = 1.0  # seconds of wall time that sockets and processes may add to simulated times


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `twin serve`."""

    host: str = "127.0.0.1"
    port: int = 0
    insecure_http: bool = False
    """HTTP without TLS; on loopback only."""
    speed: float = 1.0
    paused: bool = False
    controller: bool = True
    """True if the world has an operator."""
    kubeconfig: Path = Path("twin.kubeconfig")
    operator_process: bool = False
    """True if the operator runs as `lora-controller` processes."""
    crash_interval: float = 0.0
    """Simulated seconds between two SIGKILLs to the operator, in the first part of the scenario; 0 means never."""
    until_end: bool = False
    """Stop at the end of the scenario."""


@dataclass(frozen=True, slots=True)
class ServedEndpoints:
    """Addresses and credentials of a served world."""

    api: Address
    gateway: Address
    kubeconfig: Path
    token: str
    ca: bytes


@dataclass(frozen=True, slots=True)
class ServeResult:
    """The record of a served world."""

    lines: list[Line]
    partial: bool
    """True if it stopped before the end of the scenario."""


def serve(scenario: Scenario, options: Options, on_served: Callable[[ServedEndpoints], None]) -> ServeResult:
    """Serve until interrupted or, with `until_end`, until the end of the scenario.

    Raises:
        ServeError: an address is not available, or the kubeconfig cannot be written.
    """
    clock = RealTimeClock(options.speed, held=True)  # time does not run while the world is built
    world = ServedWorld(scenario, clock, options)
    if options.paused:
        clock.pause()
    with contextlib.suppress(KeyboardInterrupt):
        run(lambda: world.run(on_served), world.simulation.env, clock, world.simulation.record_failure)
    world.simulation.recorder.close()
    reached = float(world.simulation.env.now)
    return ServeResult(world.simulation.recorder.lines, partial=reached < scenario.duration)


class ServedWorld:
    """A simulation, the operator, and the sockets of both."""

    def __init__(self, scenario: Scenario, clock: RealTimeClock, options: Options) -> None:
        self._options = options
        self._clock = clock
        self._loopback = _is_loopback(options.host)
        if options.insecure_http and not self._loopback:
            raise ServeError(f"--insecure-http: {options.host} is not loopback; the token would be sent in clear text")
        self._epoch = _epoch(scenario.duration, options.speed)
        self.simulation = simulation = Simulation(
            scenario,
            SimulationOptions(
                epoch=self._epoch,
                first_address=FIRST_POD,
                replica=self._new_replica,
                overhead=_OVERHEAD * options.speed,
                on_engine=self._on_engine,
                survives=True,
            ),
        )
        self._processes = {item.name: item for item in simulation.replicas if isinstance(item, ProcessReplica)}
        store, network = simulation.store, simulation.network
        self._access = TokenAuthenticator(open=options.insecure_http)
        self._logs = ContainerLogs(network, simulation.wall_time)
        api_latency, rng = scenario.cluster.api.latency, simulation.streams.get("served/api-latency")
        self._external = ExternalOperator(store, simulation.recorder, simulation.api_faults, api_latency, rng)
        self._engines = EngineSockets(store, network, NAME, simulation.world.host_of)
        self._deployment = OperatorDeployment(store, simulation.replicas, self._logs.write, simulation.wall_time)
        self._control = ControlApi(
            simulation, clock, self._access, trusting=self._loopback, operated=options.controller
        )
        self._gateway = Gateway(store, network, self._control, PROXY, self._processes)
        simulation.recorder.subscribe(self._logs.on_line)
        simulation.recorder.subscribe(self._deployment.on_line)
        store.subscribe(self._logs.pod_changed, "pods")

    async def run(self, on_served: Callable[[ServedEndpoints], None]) -> None:
        """Open the sockets, run the world, close the sockets."""
        async with AsyncExitStack() as stack:
            served = await self._open(stack)
            await self._open_processes(served, stack)
            # At speed 1 the world's clock has to agree with the machine's, which an operator outside uses.
            passed = (_wall_time() - self._epoch).total_seconds()
            self._clock.start(passed if self._options.speed == 1 else 0.0)
            self.simulation.start(controllers=False)
            gateway.publish(self.simulation.store, served.gateway.host, served.gateway.port)
            if self._options.controller:
                self._deployment.create(self.simulation.scenario.controller)
            if self._is_external:
                self._external.watch_leases(self._processes)
            self.simulation.inject_faults(list(self._crashes()))
            on_served(served)
            await self._until_end()

    async def _open(self, stack: AsyncExitStack) -> ServedEndpoints:
        """Open the sockets before anything else, so that a port in use is reported first."""
        options = self._options
        sock = _bind(options.host, options.port, "--port")
        stack.callback(sock.close)
        host, port = sock.getsockname()[:2]
        certificate = None if options.insecure_http else certificates.make(host, "localhost", "127.0.0.1")
        ca = certificate.ca if certificate else b""
        address = Address(host, port, tls=certificate is not None)
        self._write_kubeconfig(address, ca)
        stack.callback(lambda: options.kubeconfig.unlink(missing_ok=True))
        stack.push_async_callback(self._stop)
        api = self._api_server(address)
        tls = certificate.context if certificate else None
        await stack.enter_async_context(listening(_by_path(api, self._control), sock, tls=tls))
        gateway_address = await stack.enter_async_context(listening(self._gateway, self._gateway_socket()))
        stack.callback(api.close)
        stack.callback(self._control.close)
        return ServedEndpoints(address, gateway_address, options.kubeconfig, self._access.admin_token, ca)

    def _api_server(self, address: Address) -> ApiServer:
        return ApiServer(
            self.simulation.store,
            self._access,
            self.simulation.wall_time,
            containers=self._logs,
            observer=self._external.observe if self._is_external else no_observer,
            interference=self._external.interfere,
            address=address.authority,
        )

    def _write_kubeconfig(self, address: Address, ca: bytes) -> None:
        content = kubeconfig.kubeconfig(address.url, self._access.admin_token, ca=ca)
        path = self._options.kubeconfig
        try:
            kubeconfig.write(path, content)
        except OSError as error:
            raise ServeError(f"--kubeconfig {path}: {error.strerror or error}") from error

    def _crashes(self) -> Iterator[ControllerCrash]:
        interval, time = self._options.crash_interval, self._options.crash_interval
        while interval and time <= self.simulation.scenario.duration * _CRASHES_UNTIL:
            yield ControllerCrash.model_validate({"kind": "controller-crash", "at": f"{time:.3f}s"})
            time += interval

    @property
    def _is_external(self) -> bool:
        """True if the operator uses the served API."""
        return self._options.operator_process or not self._options.controller

    def _new_replica(self, context: ReplicaContext, number: int) -> Replica:
        if not self._options.operator_process:
            # As deployed: `kubectl get leases` shows who leads, also with one replica.
            return Replica(replace(context, settings=replace(context.settings, elect=True)), number)
        return ProcessReplica(context, number, lambda name, text: self._deployment.write_log(name, text))

    async def _open_processes(self, served: ServedEndpoints, stack: AsyncExitStack) -> None:
        """Prepare the replicas that are processes."""
        if not self._processes:
            return
        if find_spec("kubernetes") is None:
            raise ServeError(f"--operator-process needs the extra `live`: {install_command('live')}")
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="lora-twin-")))
        has_skew = any(item.kind == SKEW for item in self.simulation.scenario.faults)
        for name, replica in self._processes.items():
            token = self._access.issue(User(name, (MASTERS, AUTHENTICATED)))
            file = folder / f"{name}.kubeconfig"
            kubeconfig.write(file, kubeconfig.kubeconfig(served.api.url, token, ca=served.ca))
            options = ProcessOptions(
                kubeconfig=file,
                proxy=served.gateway.url,
                speed=self._options.speed,
                scaled=self._options.speed != 1 or has_skew,
                now=self.simulation.wall_time,
            )
            await replica.open(options)
        self._clock.fix()

    def _gateway_socket(self) -> socket.socket:
        """Return port 80 of the gateway's own address if it is available, else any port, else any loopback port."""
        if not self._loopback:
            return _bind(self._options.host, 0, "--host")
        for host, port in ((GATEWAY_HOST, _HTTP_PORT), (GATEWAY_HOST, 0)):
            try:
                return bind(host, port)
            except OSError:
                continue
        return _bind("127.0.0.1", 0, "--host")

    def _on_engine(self, host: EngineHost, event: Event, adapter: str, root: str) -> None:
        self._engines.engine_changed(host, event)
        self._logs.engine_changed(host, event, adapter, root)

    async def _until_end(self) -> None:
        env, duration, until_end = self.simulation.env, self.simulation.scenario.duration, self._options.until_end
        while not (until_end and env.now >= duration):
            left = duration - env.now
            await asyncio.sleep(min(_CHECK_INTERVAL, left) if until_end and left > 0 else _CHECK_INTERVAL)
            for replica in self.simulation.replicas:
                replica.check()

    async def _stop(self) -> None:
        await self.simulation.stop()
        await self._engines.close()


def _by_path(api: ApiServer, control: ASGIApp) -> ASGIApp:
    """Return an application with the Kubernetes API and the control API at one address."""

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        is_control = scope["type"] == "http" and (path in ("/", *DOCS) or path.startswith(PREFIX))
        application: ASGIApp = control if is_control else api
        await application(scope, receive, send)

    return route


def _epoch(duration: float, speed: float) -> datetime:
    """Return the wall time at which the world starts.

    A world that is faster than the machine starts so far back that its time never passes the machine's: kubectl
    computes ages in `kubectl describe` with its own clock and shows those of the future as `<invalid>`.
    """
    return _wall_time() - timedelta(seconds=duration if speed > 1 else 0.0)


def _wall_time() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - time is real here


def _bind(host: str, port: int, flag: str) -> socket.socket:
    try:
        return bind(host, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServeError(f"{flag}: cannot listen on {host}:{port}: {reason}; choose another address") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
