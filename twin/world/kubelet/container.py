"""One container of a pod: its runs, its probes, and the waits between runs when it crashes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from controller.cache.pod_view import SIDECAR
from controller.sidecar.settings import Settings as SidecarSettings
from controller.sidecar.settings import dialect_of as dialect_of_sidecar
from controller.sidecar.settings import metrics_of
from fake_vllm.cli import command_line as commandline
from fake_vllm.distributions import Uniform
from fake_vllm.engine.engine import EngineConfigError
from twin.apiserver.meta.objects import Object, split
from twin.world.context import WorldContext
from twin.world.kubelet.container_state import ContainerState, Exit
from twin.world.kubelet.crash_loop_backoff import CrashLoopBackoff
from twin.world.kubelet.pod_spec import ConfigMissing, command_of, dialect_of, environment, port_of, version_of
from twin.world.names import container_id
from twin.world.network.engine_host import EngineHost
from twin.world.probes import Probe, Prober, Role
from twin.world.work import Timer

RESTART = Uniform(0.5, 1.5)  # seconds; the kubelet looks for ended containers once a second (PLEG relist period)
REFUSES_AFTER = 3.0  # seconds until a server that does not like its flags has ended; vLLM imports first, then parses
SIGKILL = 137  # exit code of what was killed
_ROLES: tuple[tuple[Role, str], ...] = (
    ("startup", "startupProbe"),
    ("readiness", "readinessProbe"),
    ("liveness", "livenessProbe"),
)


@dataclass(frozen=True, slots=True)
class ContainerContext:
    """What the containers of one pod share.

    Attributes:
        world: the simulated cluster.
        host: the pod on the network.
        restart_policy: the pod's restart policy.
        labels: the pod's labels.
        has_engine: False for a pod without an engine, whose containers are ready without one.
    """

    world: WorldContext
    host: EngineHost
    restart_policy: str = "Always"
    labels: Mapping[str, str] = field(default_factory=dict)
    has_engine: bool = True


class ContainerRuntime(ContainerState):
    """What the kubelet knows of one container. `on_change` is called when its status has changed."""

    def __init__(
        self, spec: Object, context: ContainerContext, *, is_engine: bool, on_change: Callable[[], None]
    ) -> None:
        super().__init__(spec["name"], spec.get("image", ""))
        self._spec = spec
        self._is_engine = is_engine
        self._sidecar = context.host.sidecar if self.name == SIDECAR and not is_engine else None
        self._context = context
        self._env = context.world.env
        self._on_change = on_change
        self._probes = {role: Probe.of(role, spec[field]) for role, field in _ROLES if spec.get(field)}
        self._probers: dict[Role, Prober] = {}
        self._rounds = Timer(self._env, self._on_round)
        self._restart = Timer(self._env, self._start_again)
        self._refusal = Timer(self._env, self._refuse)
        self._loop = CrashLoopBackoff()
        self._runs = 0

    @property
    def started(self) -> bool:
        if self.state != "running":
            return False
        return "startup" not in self._probes or self._probers["startup"].result is True

    @property
    def ready(self) -> bool:
        if not self.started:
            return False
        return "readiness" not in self._probes or self._probers["readiness"].result is True

    def _start(self) -> None:
        if not self._is_engine:
            self._start_other()
            return
        host = self._context.host
        try:
            env = environment(self._context.world.store, split(host.pod)[0], self._spec)
            dialect = dialect_of(self._spec, self._context.labels)
            config = commandline.read(command_of(self._spec), env, version=self._version(), dialect=dialect)
        except ConfigMissing as missing:
            self.state, self.reason, self.message = "waiting", "CreateContainerConfigError", str(missing)
            self._on_change()
            return
        except EngineConfigError as error:
            self._fail_to_start(str(error))
            return
        host.start(self._next_id(), config, self.crash)
        self._run()

    def _start_other(self) -> None:
        """A container that is no engine; the runtime sidecar is told by its environment whom it stands beside."""
        if self._sidecar is not None:
            given = {str(each.get("name")): str(each.get("value", "")) for each in self._spec.get("env") or ()}
            try:
                self._sidecar.start(SidecarSettings(dialect=dialect_of_sidecar(given), metrics=metrics_of(given)))
            except ValueError as error:
                self._fail_to_start(str(error))
                return
        self._run()

    def _fail_to_start(self, why: str) -> None:
        """The process starts, reads what it was told, and ends."""
        self._run()
        self.message = why
        self._refusal.set(self._env.now + REFUSES_AFTER)

    def crash(self, message: str) -> None:
        """The process gives up by itself."""
        self.exit(1, "Error", message)

    def exit(self, code: int, reason: str, message: str = "") -> None:
        """The process has ended; the kubelet starts it again if the restart policy says so."""
        if self.state != "running":
            return
        ran_for = self._env.now - self.started_at
        self._end(code, reason, message)
        policy = self._context.restart_policy
        if policy == "Always" or (policy == "OnFailure" and code != 0):
            wait = self._loop.exited(ran_for)
            if wait > 0:
                self.state, self.reason = "waiting", "CrashLoopBackOff"
                self.message = (
                    f"back-off {wait:.0f}s restarting failed container={self.name} pod={self._context.host.pod}"
                )
            rng = self._context.world.streams.get(f"pod/{self._context.host.pod}/restart")
            self._restart.set(self._env.now + wait + RESTART.draw(rng))
        else:
            self.finished = True
        self._on_change()

    def retry(self) -> None:
        """A Secret or ConfigMap has changed: a container that waits for one is tried again."""
        if self.state == "waiting" and self.reason == "CreateContainerConfigError":
            self._start()

    def power_off(self) -> None:
        """The process is gone and nobody is there to see it."""
        if self.state == "running":
            self._end(255, "Unknown")  # what a kubelet finds after a reboot
        self._restart.cancel()

    def launch(self) -> None:
        """Start in a new sandbox: the first time, or after the node was down, which is no crash to wait after."""
        self._start_again()

    def stop(self) -> None:
        """It ends for good."""
        if self.state == "running":
            self._end(0, "Completed")
        self._restart.cancel()

    def refresh(self) -> None:
        """What a probe would find may have changed."""
        flipped = False
        for prober in self._probers.values():
            flipped |= prober.change(self._env.now, self._passing(prober.probe))
        self._settle(flipped)

    def _version(self) -> str:
        return self._context.host.version or version_of(self._spec)

    def _next_id(self) -> str:
        return container_id(self._context.host.uid, self.name, self._runs)

    def _run(self) -> None:
        self.container_id = self._next_id()
        self._runs += 1
        self.state, self.reason, self.message = "running", "", ""
        self.started_at = self._env.now
        self._probers = {}
        self._add_probers()
        self._rounds.set(self._due())
        self._on_change()

    def _end(self, code: int, reason: str, message: str = "") -> None:
        self.last = Exit(self.container_id, self.started_at, self._env.now, code, reason, message)
        self.state, self.reason, self.message = "terminated", reason, message
        self._probers = {}
        self._rounds.cancel()
        self._refusal.cancel()
        if self._is_engine:
            self._context.host.stop()
        if self._sidecar is not None:
            self._sidecar.stop()

    def _refuse(self) -> None:
        self.crash(self.message)

    def _start_again(self) -> None:
        if self._runs:
            self.restarts += 1
        self._start()

    def _add_probers(self) -> None:
        """The startup probe alone; once it has passed, the others."""
        now, startup = self._env.now, self._probes.get("startup")
        if startup is not None and "startup" not in self._probers:
            self._probers["startup"] = Prober(startup, now, self._passing(startup))
        elif self.started and self._probers.keys() <= {"startup"}:
            for role, probe in self._probes.items():
                if role != "startup":
                    self._probers[role] = Prober(probe, self.started_at, self._passing(probe), not_before=now)

    def _passing(self, probe: Probe) -> bool | None:
        """What a round would find now; None if chance decides."""
        if self._sidecar is not None and not self._sidecar.running:
            return False
        if not self._is_engine:
            return not probe.path.startswith("/ready") or not self._context.has_engine or self._context.host.listening
        if self._context.host.faults.chancy_probes and self._context.host.listening:
            return None
        return self._context.host.answers(probe, port_of(self._spec, probe.port))

    def _due(self) -> float | None:
        times = [due for prober in self._active() if (due := prober.due()) is not None]
        return min(times) if times else None

    def _active(self) -> list[Prober]:
        """Probers that are still asked: the startup probe is not, once it has passed."""
        return [prober for prober in self._probers.values() if not (prober.probe.role == "startup" and prober.result)]

    def _on_round(self) -> None:
        now, flipped = self._env.now, False
        for prober in self._active():
            due = prober.due()
            if due is None or due > now:
                continue
            if prober.passing is None:
                probe = prober.probe
                flipped |= prober.observe(self._context.host.answers(probe, port_of(self._spec, probe.port)))
            else:
                flipped |= prober.reach(now)
        self._settle(flipped)

    def _settle(self, flipped: bool) -> None:
        """Draw the consequences of the probes' results, and see when to look again."""
        for prober in self._probers.values():
            if prober.result is False and prober.probe.role != "readiness":
                self.exit(SIGKILL, "Error", f"{prober.probe.role} probe failed")
                return
        if flipped:
            self._add_probers()
        self._rounds.set(self._due())
        if flipped:
            self._on_change()
