"""One container as a process of this machine: its runs, its probes, and the back-off between restarts.

Done like a kubelet: `$(NAME)` in command and arguments, startup and readiness probes by HTTP, restarts in place with
back-off, SIGTERM before SIGKILL. Not supported: images, volumes (a path is one of this machine), resource limits,
liveness probes. A command is looked up next to this Python first, so that `fake-vllm` and `lora-runtime` are those of
the same installation.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import httpx

from controller.clock import Clock
from formats.engine_command import expand_variables
from twin.apiserver.meta.objects import Object
from twin.serve.network.node_transport import PROCESS
from twin.world.kubelet.container_state import ContainerState, Exit
from twin.world.kubelet.crash_loop_backoff import CrashLoopBackoff
from twin.world.kubelet.pod_spec import command_of, port_of
from twin.world.probes import Probe, Role

_PROBE_TIMEOUT = 1.0  # seconds; Kubernetes' default


class ProcessContainer(ContainerState):
    """State of one container; `on_change` is called when it has changed."""

    def __init__(
        self,
        spec: Object,
        ip: str,
        environment: Mapping[str, str],
        log: Path,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        super().__init__(spec["name"], spec.get("image", ""), is_init=spec.get("restartPolicy") == "Always")
        self._started = False
        self._ready = False
        self._spec = spec
        self._ip = ip
        self._environment = environment
        self._log = log
        self._clock = clock
        self._on_change = on_change

    @property
    def started(self) -> bool:
        return self._started

    @property
    def ready(self) -> bool:
        return self._ready

    async def run(self, grace: float) -> None:
        """Keep a process running until cancelled, then end it, by force after `grace` seconds."""
        backoff = CrashLoopBackoff()
        while True:
            code = await self._run_once(grace)
            now = self._clock.now().timestamp()
            self.last = Exit(
                self.container_id, self.started_at, now, code, "Error" if code else "Completed", self.message
            )
            wait = backoff.next_wait(now - self.started_at)
            self._set_state("waiting", "CrashLoopBackOff" if wait else "ContainerCreating")
            await asyncio.sleep(wait)
            self.restarts += 1

    async def _run_once(self, grace: float) -> int:
        """Run one process to its end; return its exit code as a shell would."""
        self.started_at = self._clock.now().timestamp()
        with self._log.open("ab") as log:
            try:
                process = await self._process(log)
            except OSError as error:
                self.message = f"{' '.join(command_of(self._spec)[:1]) or self.name}: {error.strerror}"
                return 127
        self.container_id, self.message = f"{PROCESS}{process.pid}-{self.restarts}", ""
        self._set_state("running", "")
        probing = asyncio.ensure_future(self._probe())
        try:
            code = await process.wait()
        finally:
            probing.cancel()
            await _finish(asyncio.ensure_future(_terminate(process, grace)))
            await asyncio.gather(probing, return_exceptions=True)
        return code if code >= 0 else 128 - code

    async def _process(self, log: BinaryIO) -> asyncio.subprocess.Process:
        command = [expand_variables(word, self._environment) for word in command_of(self._spec)]
        if not command:
            raise FileNotFoundError(0, "the container has no command, and the image's default command is not available")
        bin_folder = str(Path(sys.executable).parent)
        path = f"{bin_folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        program = shutil.which(command[0], path=path) or command[0]
        environment = {"PATH": path, "HOME": os.environ.get("HOME", "/"), **self._environment}
        return await asyncio.create_subprocess_exec(
            program,
            *command[1:],
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    async def _probe(self) -> None:
        """Run the startup probe, then the readiness probe while the process runs.

        Without probes the container is ready.
        """
        async with httpx.AsyncClient(trust_env=False, timeout=_PROBE_TIMEOUT) as client:
            startup, readiness = self._probe_of("startup"), self._probe_of("readiness")
            if startup is not None:
                await self._until_passed(client, startup)
            self._started, self._ready = True, readiness is None
            self._on_change()
            if readiness is not None:
                await self._follow(client, readiness)

    async def _until_passed(self, client: httpx.AsyncClient, probe: Probe) -> None:
        wait = probe.initial_delay
        while True:
            await asyncio.sleep(wait)
            if await self._passes(client, probe):
                return
            wait = probe.period

    async def _follow(self, client: httpx.AsyncClient, probe: Probe) -> None:
        await asyncio.sleep(probe.initial_delay)
        in_a_row = 0
        while True:
            passes = await self._passes(client, probe)
            in_a_row = 0 if passes == self._ready else in_a_row + 1
            if in_a_row >= (probe.success if passes else probe.failure):
                self._ready, in_a_row = passes, 0
                self._on_change()
            await asyncio.sleep(probe.period)

    def _probe_of(self, role: Role) -> Probe | None:
        manifest: Any = self._spec.get(f"{role}Probe")
        return Probe.of(role, manifest) if manifest and manifest.get("httpGet") else None

    async def _passes(self, client: httpx.AsyncClient, probe: Probe) -> bool:
        url = f"http://{self._ip}:{port_of(self._spec, probe.port)}{probe.path}"
        try:
            return 200 <= (await client.get(url, headers=list(probe.headers))).status_code < 400
        except httpx.TransportError:
            return False

    def _set_state(self, state: Literal["waiting", "running"], reason: str) -> None:
        self.state, self.reason = state, reason
        self._started = self._ready = False
        self._on_change()


async def _finish(task: asyncio.Task[None]) -> None:
    """Wait for a task to its end. A cancellation meanwhile is raised afterwards.

    An interrupted command cancels all its tasks, and then each of them cancels those that it started: twice in all.
    """
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is not None:
        raise cancellation


async def _terminate(process: asyncio.subprocess.Process, grace: float) -> None:
    """End all processes of the container's session."""
    try:
        async with asyncio.timeout(grace):
            _signal(process, signal.SIGTERM)
            await process.wait()
    except TimeoutError:
        pass  # the grace period is over
    _signal(process, signal.SIGKILL)
    await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
