"""The operator as processes of its own: `lora-controller` on the served API, started and killed as a kubelet would.

A replica here is what `twin.replicas.Replica` is in the simulation, so that faults, the Deployment and the record
treat it alike, but it has a process, a token and a kubeconfig. It reaches engines by the gateway as HTTP proxy, where
its name says who asks. A crash is SIGKILL.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from controller.settings import Settings
from twin.serve.errors import ServeError
from twin.world.controller_replica import ApiRate, Replica, ReplicaContext, SimulatedClock

SKEW = "clock-skew"
"""The fault that makes a replica's clock wrong."""
_KEPT = 20  # last lines of its log, for the message if it fails


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """What a process is told of the world."""

    kubeconfig: Path
    proxy: str
    speed: float
    clocked: bool
    """Whether processes have the world's time; else they have the machine's, and are `lora-controller` itself."""
    now: Callable[[], datetime]


class _RemoteClock(SimulatedClock):
    """A clock whose being wrong is told to a process."""

    def __init__(self, around: ReplicaContext, tell: Callable[[float], None]) -> None:
        self._tell = tell
        super().__init__(around.env, around.epoch)

    @property
    def ahead(self) -> float:
        return self._ahead

    @ahead.setter
    def ahead(self, seconds: float) -> None:
        self._ahead = seconds
        self._tell(seconds)


class ProcessReplica(Replica):
    """One replica, one process after the other. `open` has to be called before `start`."""

    def __init__(self, around: ReplicaContext, number: int) -> None:
        super().__init__(around, number)
        self.on_log: Callable[[str], None] = lambda line: None  # noqa: ARG005
        """Told of each line that it writes."""
        self._settings = around.settings
        self._rate = around.api_rate
        self._doors: ProcessOptions | None = None
        self._spare: asyncio.Task[asyncio.subprocess.Process] | None = None
        """A process that has imported everything and waits, where time goes too fast to wait for that."""
        self._lives: set[asyncio.Task[None]] = set()
        self._process: asyncio.subprocess.Process | None = None
        self._said: list[str] = []
        self.clock = _RemoteClock(around, self._be_wrong)

    async def open(self, doors: ProcessOptions) -> None:
        """The world has doors now."""
        self._doors = doors
        if doors.clocked:
            self._spare = asyncio.ensure_future(self._spawned())
            await self._spare

    @property
    def clocked(self) -> bool:
        """Whether its clock can be made wrong."""
        return self._doors is not None and self._doors.clocked

    def start(self) -> None:
        if self._task is None:
            self._emit("started")
            self._task = asyncio.get_running_loop().create_task(self._live(), name=self.name)
            self._lives.add(self._task)
            self._task.add_done_callback(self._lives.discard)

    def crash(self) -> None:
        if self._task is None:
            return
        self._task = None
        self.leading = False
        self._emit("crashed")
        self._kill()

    async def stop(self) -> None:
        """The world ends, and with it the process; no crash that anybody would see."""
        self._task = None
        self._kill()
        if self._spare is not None:
            spare = await self._spare
            spare.kill()
            await spare.communicate()
        await asyncio.gather(*self._lives)
        self.check()

    def led(self, leading: bool) -> None:
        """The Lease says that it leads, or that another does."""
        if leading != self.leading:
            self._observe("leading" if leading else "lost")
            self.leading = leading

    def wrote(self, moment: Literal["before", "after"]) -> bool:
        """One of its writes has come in, or was carried out; returns whether it still lives."""
        self._wrote(self.writes, moment)
        return self.alive

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def _be_wrong(self, seconds: float) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{seconds:.6f}\n".encode())

    async def _live(self) -> None:
        """One process, from its start to its end."""
        assert self._doors is not None
        spare, self._spare = self._spare, None
        process = await (spare or self._spawned())
        if self._task is asyncio.current_task():
            self._process = process
        else:  # killed while it started
            process.kill()
        if self._doors.clocked:
            self._spare = asyncio.ensure_future(self._spawned())
            assert process.stdin is not None
            process.stdin.write(f"{self._doors.now().timestamp():.6f}\n{self.clock.ahead:.6f}\n".encode())
        await self._listen(process)
        code = await process.wait()
        if self._task is asyncio.current_task():
            self._task, self._process, self.leading = None, None, False
            last = " / ".join(self._said[-3:])
            self._failure = ServeError(f"{self.name} has ended by itself with exit code {code}: {last}")

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            text = line.decode(errors="replace").rstrip()
            self._said = [*self._said[-_KEPT:], text]
            self.on_log(text)

    async def _spawned(self) -> asyncio.subprocess.Process:
        assert self._doors is not None
        clocked = self._doors.clocked
        program = ["twin.serve.operator.scaled_clock", f"{self._doors.speed:g}"] if clocked else ["controller"]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *program,
            *arguments(self._settings, self._rate, self.name, self._doors),
            stdin=asyncio.subprocess.PIPE if clocked else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if clocked else asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(os.environ),
            limit=1 << 20,
        )
        if process.stdout is not None:
            await process.stdout.readline()
        return process


def arguments(settings: Settings, rate: ApiRate, name: str, doors: ProcessOptions) -> list[str]:
    """The flags of `lora-controller` that give it a scenario's settings."""
    lease, retry = settings.lease, settings.backoff
    proxy = doors.proxy.replace("://", f"://{name}@", 1)
    seconds = {
        "leader-elect-lease-duration": lease.duration,
        "leader-elect-renew-deadline": lease.renew,
        "leader-elect-retry-period": lease.retry,
        "scrape-interval": settings.scrape_interval,
        "stable-for": settings.stable_for,
        "unready-grace": settings.unready_grace,
        "retry-base": retry.base,
        "retry-cap": retry.cap,
        "pod-cooldown": settings.pod_cooldown,
        "list-timeout": settings.list_timeout,
        "load-timeout": settings.load_timeout,
        "audit-interval": settings.audit_interval,
        "sync-period": settings.sync_period,
        "graceful-shutdown-timeout": settings.graceful_shutdown_timeout,
        # The machine is not faster because the world is: what takes it a second takes so many of the world's.
        "kube-api-timeout": 30 * max(1.0, doors.speed),
    }
    others = {
        "kubeconfig": doors.kubeconfig,
        "engine-proxy": proxy,
        "leader-elect-identity": name,
        "kube-api-qps": f"{rate.qps:g}",
        "kube-api-burst": rate.burst,
        "policy": settings.policy,
        "policies": ",".join(settings.policies),
        "max-concurrent-reconciles": settings.max_concurrent_reconciles,
        "max-requests-per-pod": settings.max_requests_per_pod,
        "retries": retry.retries,
        "retry-factor": f"{retry.factor:g}",
        "retry-jitter": f"{retry.jitter:g}",
        "enable-runtime-sidecar": str(settings.enable_runtime_sidecar).lower(),
        "metrics-bind-address": "0",
        "health-probe-bind-address": "0",
    }
    given = {**{flag: f"{value:.6f}s" for flag, value in seconds.items()}, **others}
    return [f"--{flag}={value}" for flag, value in given.items()]


def _environment(around: Mapping[str, str]) -> dict[str, str]:
    """Without what would speak to `lora-controller`; with the modules that this process finds (policies of users)."""
    kept = {name: text for name, text in around.items() if not name.startswith(("LORA_CONTROLLER_", "KUBE"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}
