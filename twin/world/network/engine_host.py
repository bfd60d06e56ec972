"""A pod on the network, with its engine container.

An IP address leads to an `EngineHost`. It outlives the engine: a container that restarts in place keeps its pod's host
and its faults, and gets a new `Engine` without adapters.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Literal

from fake_vllm.distributions import Constant, Latency, LogNormal
from fake_vllm.engine.context import EngineContext, Randomness
from fake_vllm.engine.engine import AdapterEvent, Artifact, Engine, EngineConfig, EngineConfigError
from fake_vllm.engine.timing import DEFAULT_TIMING, EngineTimes, StepTimeModel
from fake_vllm.faults.effects import FaultRules
from fake_vllm.flavors import flavor_of
from fake_vllm.router import Request, handle_immediate
from twin.world.context import WorldContext
from twin.world.network.link import Link
from twin.world.probes import Probe
from twin.world.registry import Artifacts
from twin.world.work import Timer

if TYPE_CHECKING:
    from twin.world.network.sidecar_host import SidecarHost

Event = Literal["started", "stopped", "loaded", "unloaded"]
OnExit = Callable[[int, str], None]
"""Called with exit code and reason when the engine's process ends by itself."""
OnEngine = Callable[["EngineHost", Event, str, str], None]
"""Called with host, event, adapter and the adapter's root (both empty unless an adapter was loaded or unloaded)."""


STARTUP = LogNormal(45.0, 90.0)  # seconds; loading weights and capturing graphs takes tens of seconds to minutes
LOAD = LogNormal(1.8, 6.0)  # seconds, once the artifact is on the pod; reported values range from tens of ms to 8 s
UNLOAD = Constant(0.02)  # seconds; removing a name, or dropping weights
PORT_CLOSES = 1.0  # seconds after the end of the engine core; seen on vLLM 0.32.0
_CPU_SHARE = 0.004
"""CPU that the server's process uses while idle and read every few seconds (seen on vLLM 0.32.0, CPU build)."""
PROCESS_ENDS = 6.0  # seconds after it; the same


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Properties of a Deployment's engines that manifests do not contain. Latencies in seconds."""

    startup: Latency = STARTUP
    load: Latency = LOAD
    unload: Latency = UNLOAD
    lora_budget: int | None = None
    """Upper bound of all adapters' weights together, in bytes."""
    version: str = ""
    """The engine's version; empty to use the image tag."""
    timing: StepTimeModel = DEFAULT_TIMING
    """Step-time model of the engine."""


@dataclass(frozen=True, slots=True)
class HostContext:
    """The parts of the simulated cluster that a host uses.

    Attributes:
        world: the simulated cluster.
        settings: settings of the engine.
        artifacts: the registry that adapters come from.
        on_engine: called for each event of the engine.
    """

    world: WorldContext
    settings: EngineSettings
    artifacts: Artifacts
    on_engine: OnEngine


class EngineHost:
    """A pod on the network: its address, its engine while one runs, and faults of both."""

    def __init__(self, context: HostContext, pod: str, uid: str, sidecar: "SidecarHost | None") -> None:
        """Create the host of a pod (`namespace/name`); `sidecar` is None if the pod has no runtime sidecar."""
        world = context.world
        self.pod = pod
        self.uid = uid
        self.ips: tuple[str, ...] = ()
        """Addresses, the primary one first."""
        self.port = 0
        self.container_id = ""
        self.faults = FaultRules()
        self.link = Link()
        """The network link from clients to this host."""
        self.engine: Engine | None = None
        """None if no engine runs or it is still starting."""
        self.listening = False
        self.reachable = True
        """False if the node is down: a connection attempt gets no response."""
        self.sidecar = sidecar
        self.rng = world.streams.get(f"pod/{pod}/faults")
        self.traffic_rng = world.streams.get(f"pod/{pod}/traffic-faults")
        self.on_change: list[Callable[[], None]] = []
        """Called when the engine starts or stops listening."""
        self.version = context.settings.version
        """The engine's version if the scenario sets it, else empty."""
        self._env = world.env
        self._streams = world.streams
        self._epoch = int(world.epoch.timestamp())
        self._settings = context.settings
        self._artifacts = context.artifacts
        self._on_engine = context.on_engine
        self._config: EngineConfig | None = None
        self._on_exit: OnExit = _ignore
        self._disk: set[str] = set()
        self._started = 0.0
        """Time at which the engine began to listen."""
        self._startup = Timer(self._env, self._listen)
        self._port = Timer(self._env, self._close_port)
        self._end = Timer(self._env, self._exit)
        self._end_reason = ""
        self._shutdown = Timer(self._env, self._shut_down)
        self._probe_rng = world.streams.get(f"pod/{pod}/probe-faults")

    @property
    def ip(self) -> str:
        """Primary address; empty before the containers are created."""
        return self.ips[0] if self.ips else ""

    def start(self, container_id: str, config: EngineConfig, on_exit: OnExit) -> None:
        """Start the engine's container; the engine listens after its startup time.

        `on_exit` is called if the engine fails to start, and when its core has ended.
        """
        self.container_id = container_id
        self._on_exit = on_exit
        self.port = config.port
        self._config = replace(config, lora_budget=self._settings.lora_budget)
        self._startup.set(self._env.now + self._settings.startup.draw(self._streams.get(f"pod/{self.pod}/startup")))

    def terminate(self) -> float:
        """Handle SIGTERM: the port closes, and requests are broken off, hang or drain.

        Returns the seconds for which the process waits for requests. They have vLLM's `--shutdown-timeout` to end, 0 by
        default; older releases then leave connections open until their clients go. SGLang waits for all requests.
        """
        if self.engine is None:
            return 0.0
        self._close_port()
        config = self.engine.config
        if config.dialect != "vllm":
            return inf
        if not config.server.shutdown_timeout:
            self._shut_down()
        else:
            self._shutdown.set(self._env.now + config.server.shutdown_timeout)
        return float(config.server.shutdown_timeout) if config.quirks.aborts_at_sigterm else inf

    def _shut_down(self) -> None:
        """End the engine's requests: clients see a broken connection, or nothing any more."""
        if self.engine is None:
            return
        if self.engine.config.quirks.aborts_at_sigterm:
            self.engine.close()
        else:
            self.engine.shut_down()

    def kill_core(self) -> None:
        """Kill the engine core: the server answers with errors and ends soon; one that is still starting ends now."""
        if self.engine is not None:
            self.engine.kill_core()
        elif self._startup.is_set:
            self._startup.cancel()
            self._on_exit(1, "Engine core initialization failed")  # vllm/v1/engine/utils.py

    @property
    def is_idle(self) -> bool:
        """True if the engine computes nothing."""
        return self.engine is None or self.engine.runner.frontend.is_idle

    def stop(self) -> None:
        """Stop the container: the adapters in memory and the download cache on its disk are gone."""
        for timer in (self._startup, self._port, self._end, self._shutdown):
            timer.cancel()
        self._disk.clear()
        engine, self.engine, self.listening = self.engine, None, False
        if engine is not None:
            engine.close()
            self._on_engine(self, "stopped", "", "")
            self._notify()

    def probe_passes(self, probe: Probe, port: int) -> bool:
        """Return True if a probe of the engine container passes now; draws a random number if a fault is random."""
        if self.engine is None or not self.listening or not self.reachable:
            return False
        if not probe.port:  # a command is assumed to check the engine
            return True
        if port != self.port:
            return False
        effect = self.faults.effect("probes", probe.path, "", self._probe_rng.random)
        if effect is not None and effect.kind != "slow":
            if not probe.path:  # a TCP probe only opens the port
                return effect.kind != "refuse"
            return effect.response is not None and effect.response.status < 400
        if not probe.path:
            return True
        response = handle_immediate(self.engine, Request("GET", probe.path.partition("?")[0], dict(probe.headers), b""))
        return response is None or response.status < 400

    def _listen(self) -> None:
        try:
            self.engine = self._new_engine()
        except EngineConfigError as error:
            self._on_exit(error.exit_code, str(error))
            return
        self.listening, self._started = True, float(self._env.now)
        self._on_engine(self, "started", "", "")
        for name, root in self.engine.adapters.items():
            self._on_engine(self, "loaded", name, root)
        self._notify()

    def _new_engine(self) -> Engine:
        assert self._config is not None, "a container starts before its engine listens"
        return Engine(
            self._config,
            flavor_of(self._config),
            EngineTimes(self._settings.load, self._settings.unload, self._settings.timing),
            Randomness(
                self._streams.get(f"pod/{self.pod}/load-latency"),
                seed=self._streams.python("answers").getrandbits(32),
                generation=self._streams.get(f"pod/{self.pod}/generation"),
            ),
            EngineContext(
                find_artifact=self._find_artifact,
                fetch=self._fetch,
                on_change=self._on_adapter_event,
                on_death=self._on_death,
                created=self._epoch + int(self._env.now),
                epoch=self._epoch,
                process_page=self._process_page,
            ),
        )

    def _process_page(self) -> str:
        """Return the metrics of the engine's process that the operator reads."""
        seconds = _CPU_SHARE * (float(self._env.now) - self._started)
        return f"# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total {seconds:.2f}\n"

    def _on_adapter_event(self, change: AdapterEvent) -> None:
        self._on_engine(self, change.event, change.adapter, change.root)

    def _on_death(self, reason: str) -> None:
        """The engine core has ended: the port closes, and later the process ends, with exit code 0."""
        self._end_reason = reason
        self._port.set(self._env.now + PORT_CLOSES)
        self._end.set(self._env.now + PROCESS_ENDS)

    def _close_port(self) -> None:
        self.listening = False
        self._notify()

    def _exit(self) -> None:
        self._on_exit(0, self._end_reason)

    def _find_artifact(self, path: str) -> Artifact:
        """Return the artifact at a path: from the sidecar, from this container's disk, or from the registry."""
        stored = self.sidecar.provider.at(path) if self.sidecar is not None else None
        if stored is not None:
            return stored
        return self._artifacts.stored(path) if path in self._disk else self._artifacts.download(path).artifact

    def _fetch(self, path: str) -> float:
        """Return the seconds to download an artifact; a complete download is kept on the container's disk."""
        if path in self._disk:
            return 0.0
        download = self._artifacts.download(path)
        if not download.error:
            self._disk.add(path)
        return download.seconds

    def _notify(self) -> None:
        for callback in list(self.on_change):
            callback()


def _ignore(_: int, __: str) -> None:
    """Do nothing with the end of a process: no container has been started yet."""
