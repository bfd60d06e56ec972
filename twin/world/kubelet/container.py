"""One container of a pod: its runs, its probes, and the back-off between restarts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from controller.sidecar.settings import Settings as SidecarSettings
from controller.sidecar.settings import engine_flavor, metrics_mode
from fake_vllm.cli import command_line
from fake_vllm.distributions import Uniform
from fake_vllm.engine.engine import EngineConfigError
from formats.engine_container import RUNTIME_SIDECAR
from twin.apiserver.meta.objects import Object, split
from twin.world.context import WorldContext
from twin.world.kubelet.container_state import ContainerState, Exit
from twin.world.kubelet.crash_loop_backoff import CrashLoopBackoff
from twin.world.kubelet.images import Images
from twin.world.kubelet.lifecycle import ContainerRuns
from twin.world.kubelet.pod_spec import ConfigMissing, command_of, dialect_of, environment, port_of, version_of
from twin.world.names import container_id
from twin.world.network.engine_host import EngineHost
from twin.world.probes import Probe, Prober, Role
from twin.world.work import Timer

RESTART = Uniform(0.5, 1.5)  # seconds; the kubelet lists ended containers once a second (PLEG relist period)
REFUSES_AFTER = 3.0  # seconds until a server with invalid flags exits; vLLM imports first, then parses
SIGKILL = 137  # exit code of a killed process
_ROLES: tuple[tuple[Role, str], ...] = (
    ("startup", "startupProbe"),
    ("readiness", "readinessProbe"),
    ("liveness", "livenessProbe"),
)


@dataclass(frozen=True, slots=True)
class ContainerContext:
    """Values that the containers of one pod share.

    Attributes:
        world: the simulated cluster.
        host: the pod on the network.
        node: name of the pod's node.
        images: the images on all nodes.
        restart_policy: the pod's restart policy.
        labels: the pod's labels.
        has_engine: False for a pod without an engine, whose containers are ready without one.
        runs: runs of containers that end by themselves.
    """

    world: WorldContext
    host: EngineHost
    node: str
    images: Images
    restart_policy: str = "Always"
    labels: Mapping[str, str] = field(default_factory=dict)
    has_engine: bool = True
    runs: ContainerRuns = field(default_factory=ContainerRuns)


class ContainerRuntime(ContainerState):
    """A container as its kubelet sees it. `on_change` is called when its status has changed."""

    def __init__(
        self,
        spec: Object,
        context: ContainerContext,
        *,
        is_engine: bool,
        is_init: bool = False,
        on_change: Callable[[], None],
    ) -> None:
        is_sidecar = spec.get("restartPolicy") == "Always"
        super().__init__(spec["name"], spec.get("image", ""), is_init=is_init, completes=is_init and not is_sidecar)
        self._restart_policy = _restart_policy(context.restart_policy, self.is_init, self.completes)
        self._spec = spec
        self._is_engine = is_engine
        self._sidecar = context.host.sidecar if self.name == RUNTIME_SIDECAR and not is_engine else None
        self._context = context
        self._env = context.world.env
        self._on_change = on_change
        self._probes = {role: Probe.of(role, spec[field]) for role, field in _ROLES if spec.get(field)}
        self._probers: dict[Role, Prober] = {}
        self._round_timer = Timer(self._env, self._on_round)
        self._restart_timer = Timer(self._env, self._start_again)
        self._pull = context.images.attempts(context.host.pod, context.node, spec)
        self._pull_timer = Timer(self._env, self._start)
        self._refusal_timer = Timer(self._env, self._refuse)
        self._refusal_code = 1
        self._backoff = CrashLoopBackoff()
        self._runs = 0
        run = context.runs.of(self.name, is_init=self.completes, restart_policy=self._restart_policy)
        self._run = None if is_engine else run
        self._end_timer = Timer(self._env, self._end_run)

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
        if self._pull is not None and (waiting := self._pull.next()) is not None:
            self.state, self.reason, self.message = "waiting", waiting.reason, waiting.message
            self._pull_timer.set(self._env.now + waiting.seconds)
            self._on_change()
            return
        if not self._is_engine:
            self._start_other()
            return
        host = self._context.host
        try:
            env = environment(self._context.world.store, split(host.pod)[0], self._spec)
            dialect = dialect_of(self._spec, self._context.labels)
            config = command_line.read(command_of(self._spec), env, version=self._version(), dialect=dialect)
        except ConfigMissing as missing:
            self.state, self.reason, self.message = "waiting", "CreateContainerConfigError", str(missing)
            self._on_change()
            return
        except EngineConfigError as error:
            self._fail_to_start(str(error), error.exit_code)
            return
        host.start(self._next_id(), config, self.end_by_itself)
        self._run_process()

    def _start_other(self) -> None:
        """Start a container that is not an engine.

        The runtime sidecar reads its engine's flavor from the environment.
        """
        if self._sidecar is not None:
            variables = {str(item.get("name")): str(item.get("value", "")) for item in self._spec.get("env") or ()}
            try:
                self._sidecar.start(SidecarSettings(dialect=engine_flavor(variables), metrics=metrics_mode(variables)))
            except ValueError as error:
                self._fail_to_start(str(error))
                return
        self._run_process()
        if self._run is not None:
            rng = self._context.world.streams.get(f"pod/{self._context.host.pod}/{self.name}/run")
            self._end_timer.set(self._env.now + self._run.seconds.draw(rng))

    def _end_run(self) -> None:
        assert self._run is not None, "the timer is only set for a container that ends by itself"
        self.end_by_itself(self._run.exit_code, "")

    def _fail_to_start(self, why: str, code: int = 1) -> None:
        """Start the process, which exits because of its configuration."""
        self._run_process()
        self.message = why
        self._refusal_code = code
        self._refusal_timer.set(self._env.now + REFUSES_AFTER)

    def end_by_itself(self, code: int, message: str) -> None:
        """Handle the end of the process; the reason is the kubelet's for its exit code."""
        self.exit(code, "Error" if code else "Completed", message)

    def exit(self, code: int, reason: str, message: str = "") -> None:
        """End the process; it is restarted if the restart policy says so."""
        if self.state != "running":
            return
        ran_for = self._env.now - self.started_at
        self._end_process(code, reason, message)
        policy = self._restart_policy
        if policy == "Always" or (policy == "OnFailure" and code != 0):
            wait = self._backoff.next_wait(ran_for)
            if wait > 0:
                self.state, self.reason = "waiting", "CrashLoopBackOff"
                self.message = (
                    f"back-off {wait:.0f}s restarting failed container={self.name} pod={self._context.host.pod}"
                )
            rng = self._context.world.streams.get(f"pod/{self._context.host.pod}/restart")
            self._restart_timer.set(self._env.now + wait + RESTART.draw(rng))
        else:
            self.finished = True
        self._on_change()

    def retry(self) -> None:
        """Try again to create a container that waits for a Secret or ConfigMap, after one has changed."""
        if self.state == "waiting" and self.reason == "CreateContainerConfigError":
            self._start()

    def power_off(self) -> None:
        """End the process without a status: the node has lost power."""
        if self.state == "running":
            self._end_process(255, "Unknown")  # as reported by a kubelet after a reboot
        self._restart_timer.cancel()
        self._pull_timer.cancel()

    def launch(self) -> None:
        """Start in a new sandbox, for the first time or after the node was down; there is no back-off."""
        self.finished = False
        self._start_again()

    def stop(self) -> None:
        """End the container for good."""
        if self.state == "running":
            self._end_process(0, "Completed")
        self._restart_timer.cancel()
        self._pull_timer.cancel()

    def refresh(self) -> None:
        """Evaluate the probes again, because their results may have changed."""
        flipped = False
        for prober in self._probers.values():
            flipped |= prober.change(self._env.now, self._probe_result(prober.probe))
        self._apply_results(flipped)

    def _version(self) -> str:
        return self._context.host.version or version_of(self._spec)

    def _next_id(self) -> str:
        return container_id(self._context.host.uid, self.name, self._runs)

    def _run_process(self) -> None:
        self.container_id = self._next_id()
        self._runs += 1
        self.state, self.reason, self.message = "running", "", ""
        self.started_at = self._env.now
        self._probers = {}
        self._add_probers()
        self._round_timer.set(self._next_round())
        self._on_change()

    def _end_process(self, code: int, reason: str, message: str = "") -> None:
        self.last = Exit(self.container_id, self.started_at, self._env.now, code, reason, message)
        self.state, self.reason, self.message = "terminated", reason, message
        self._probers = {}
        self._round_timer.cancel()
        self._refusal_timer.cancel()
        self._end_timer.cancel()
        if self._is_engine:
            self._context.host.stop()
        if self._sidecar is not None:
            self._sidecar.stop()

    def _refuse(self) -> None:
        self.end_by_itself(self._refusal_code, self.message)

    def _start_again(self) -> None:
        if self._runs:
            self.restarts += 1
        self._start()

    def _add_probers(self) -> None:
        """Start the startup probe; start the others once it has passed."""
        now, startup = self._env.now, self._probes.get("startup")
        if startup is not None and "startup" not in self._probers:
            self._probers["startup"] = Prober(startup, now, self._probe_result(startup))
        elif self.started and self._probers.keys() <= {"startup"}:
            for role, probe in self._probes.items():
                if role != "startup":
                    self._probers[role] = Prober(probe, self.started_at, self._probe_result(probe), not_before=now)

    def _probe_result(self, probe: Probe) -> bool | None:
        """Return the result of a probe now; None if it is random."""
        if self._sidecar is not None and not self._sidecar.running:
            return False
        if not self._is_engine:
            return not probe.path.startswith("/ready") or not self._context.has_engine or self._context.host.listening
        if self._context.host.faults.probes_are_random and self._context.host.listening:
            return None
        return self._context.host.probe_passes(probe, port_of(self._spec, probe.port))

    def _next_round(self) -> float | None:
        times = [due for prober in self._active() if (due := prober.due()) is not None]
        return min(times) if times else None

    def _active(self) -> list[Prober]:
        """Return the probers that still run: the startup probe ends when it has passed."""
        return [prober for prober in self._probers.values() if not (prober.probe.role == "startup" and prober.result)]

    def _on_round(self) -> None:
        now, flipped = self._env.now, False
        for prober in self._active():
            due = prober.due()
            if due is None or due > now:
                continue
            if prober.passing is None:
                probe = prober.probe
                flipped |= prober.observe(self._context.host.probe_passes(probe, port_of(self._spec, probe.port)))
            else:
                flipped |= prober.reach(now)
        self._apply_results(flipped)

    def _apply_results(self, flipped: bool) -> None:
        """Act on the probes' results, and schedule the next round."""
        for prober in self._probers.values():
            if prober.result is False and prober.probe.role != "readiness":
                self.exit(SIGKILL, "Error", f"{prober.probe.role} probe failed")
                return
        if flipped:
            self._add_probers()
        self._round_timer.set(self._next_round())
        if flipped:
            self._on_change()


def _restart_policy(pod_policy: str, is_init: bool, completes: bool) -> str:
    """Return the restart policy of a container: that of its pod, but sidecars always and init containers on failure."""
    if not is_init:
        return pod_policy
    if not completes:
        return "Always"
    return "OnFailure" if pod_policy == "Always" else pod_policy
