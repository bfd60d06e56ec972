"""The engine container of a pod, seen as a machine on the network.

`EngineHost` is what an IP address leads to. It outlives the engine: a container that restarts in place keeps
its pod's host and its faults, and gets a new `Engine` that has forgotten every adapter.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import simpy

from fake_vllm.distributions import Constant, Latency, LogNormal
from fake_vllm.engine.engine import AdapterEvent, Artifact, Engine, EngineConfig, EngineConfigError
from fake_vllm.engine.timing import DEFAULT_TIMING, StepTimeModel
from fake_vllm.faults.rules import FaultRules
from fake_vllm.router import Request, handle_immediate
from twin.kernel.random_streams import Streams
from twin.world.network.link import Link
from twin.world.network.sidecar_host import SidecarHost
from twin.world.probes import Probe
from twin.world.registry import Artifacts
from twin.world.work import Timer

Event = Literal["started", "stopped", "loaded", "unloaded"]
OnEngine = Callable[["EngineHost", Event, str, str], None]
"""Told of host, event, adapter and its root (both empty unless an adapter came or went)."""


STARTUP = LogNormal(45.0, 90.0)  # seconds; weights and graphs take tens of seconds to minutes
LOAD = LogNormal(1.8, 6.0)  # seconds, once the artifact is on the pod; reports go from tens of ms to 8 s
UNLOAD = Constant(0.02)  # seconds; forgetting a name, or dropping weights


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What manifests don't say about a Deployment's engines. Latencies in seconds."""

    startup: Latency = STARTUP
    load: Latency = LOAD
    unload: Latency = UNLOAD
    lora_budget: int | None = None
    """Bytes of adapters' weights in all."""
    version: str = ""
    """vLLM's; empty: as the image tag says."""
    timing: StepTimeModel = DEFAULT_TIMING
    """How fast the engine computes."""


class EngineHost:
    """Where a pod's engine listens, once it does."""

    def __init__(
        self,
        env: simpy.Environment,
        streams: Streams,
        pod: str,
        uid: str,
        settings: EngineSettings,
        artifacts: Artifacts,
        on_engine: OnEngine,
        epoch: int,
    ) -> None:
        self.pod = pod
        self.uid = uid
        self.ip = ""
        self.port = 0
        self.container_id = ""
        self.faults = FaultRules()
        self.link = Link()
        """From callers to here."""
        self.engine: Engine | None = None
        """None: nothing runs there, or it is still starting up."""
        self.listening = False
        self.reachable = True
        """False: its node is down, a connection attempt gets no answer at all."""
        self.sidecar: SidecarHost | None = None
        """The runtime sidecar beside the engine, if the pod has one."""
        self.rng = streams.get(f"pod/{pod}/faults")
        self.traffic_rng = streams.get(f"pod/{pod}/traffic-faults")
        self.on_change: list[Callable[[], None]] = []
        """Called when the engine begins or ceases to listen."""
        self.on_crash: Callable[[str], None] = lambda _: None
        """Called with the reason when the engine gives up while it starts."""
        self.version = settings.version
        """vLLM's version if the scenario gives it, else empty."""
        self._env = env
        self._streams = streams
        self._settings = settings
        self._artifacts = artifacts
        self._on_engine = on_engine
        self._epoch = epoch
        self._config: EngineConfig | None = None
        self._disk: set[str] = set()
        self._startup = Timer(env, self._listen)
        self._probe_rng = streams.get(f"pod/{pod}/probe-faults")

    def start(self, container_id: str, config: EngineConfig) -> None:
        """The container runs; the engine will listen once weights are loaded and graphs captured."""
        self.container_id = container_id
        self.port = config.port
        self._config = replace(config, lora_budget=self._settings.lora_budget)
        self._startup.set(self._env.now + self._settings.startup.draw(self._streams.get(f"pod/{self.pod}/startup")))

    def stop(self) -> None:
        """The container is gone, and with it the adapters in memory and the hub's cache on its disk."""
        self._startup.cancel()
        self._disk.clear()
        engine, self.engine, self.listening = self.engine, None, False
        if engine is not None:
            engine.close()
            self._on_engine(self, "stopped", "", "")
            self._tell()

    def answers(self, probe: Probe, port: int) -> bool:
        """Whether a probe of the engine container passes at this moment; draws where a fault leaves it to chance."""
        if self.engine is None or not self.reachable:
            return False
        if not probe.port:  # a command: taken to look at the engine
            return True
        if port != self.port:
            return False
        verdict = self.faults.verdict("probes", probe.path, "", self._probe_rng.random)
        if verdict is not None and verdict.kind != "slow":
            if not probe.path:  # opening the port is enough
                return verdict.kind != "refuse"
            return verdict.response is not None and verdict.response.status < 400
        if not probe.path:
            return True
        response = handle_immediate(self.engine, Request("GET", probe.path.partition("?")[0], dict(probe.headers), b""))
        return response is None or response.status < 400

    def _listen(self) -> None:
        try:
            self.engine = self._new_engine()
        except EngineConfigError as error:
            self.on_crash(str(error))
            return
        self.listening = True
        self._on_engine(self, "started", "", "")
        for name, root in self.engine.adapters.items():
            self._on_engine(self, "loaded", name, root)
        self._tell()

    def _new_engine(self) -> Engine:
        assert self._config is not None, "a container starts before its engine listens"
        return Engine(
            self._config,
            load=self._settings.load,
            unload=self._settings.unload,
            rng=self._streams.get(f"pod/{self.pod}/load-latency"),
            on_change=self._changed,
            artifacts=self._find,
            fetch=self._fetch,
            created=self._epoch + int(self._env.now),
            timing=self._settings.timing,
            seed=self._streams.python("answers").getrandbits(32),
            chance=self._streams.get(f"pod/{self.pod}/generation"),
            epoch=self._epoch,
        )

    def _changed(self, change: AdapterEvent) -> None:
        self._on_engine(self, change.event, change.adapter, change.root)

    def _find(self, path: str) -> Artifact:
        """What is found under a path: where the sidecar put it, on this container's disk, or else at the registry."""
        kept = self.sidecar.provider.at(path) if self.sidecar is not None else None
        if kept is not None:
            return kept
        return self._artifacts.find(path) if path in self._disk else self._artifacts.deliver(path).artifact

    def _fetch(self, path: str) -> float:
        """Seconds to get the artifact; what this container has got once, and whole, it needs not get again."""
        if path in self._disk:
            return 0.0
        delivery = self._artifacts.deliver(path)
        if not delivery.trouble:
            self._disk.add(path)
        return delivery.seconds

    def _tell(self) -> None:
        for callback in list(self.on_change):
            callback()
