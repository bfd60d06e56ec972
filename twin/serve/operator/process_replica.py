"""The operator as separate processes: `lora-controller` on the served API, started and killed like a kubelet does.

A replica here has the same interface as `twin.world.controller_replica.Replica`, so that faults, the Deployment and the
record treat both alike, but it has a process, a token and a kubeconfig. It reaches engines through the gateway as HTTP
proxy, with its name in the proxy's URL. A crash is a SIGKILL.
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
from formats.sockets import bind
from twin.serve.errors import ServeError
from twin.world.controller_replica import ApiRate, Replica, ReplicaContext, SimulatedClock

SKEW = "clock-skew"
"""The fault that shifts a replica's clock."""
_LOG_TAIL = 20  # last lines of the log that are kept for an error message


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """Addresses and clock of the served world, for a process."""

    kubeconfig: Path
    proxy: str
    speed: float
    scaled: bool
    """True if processes use the world's time; otherwise they use the machine's and are plain `lora-controller`."""
    now: Callable[[], datetime]


class _RemoteClock(SimulatedClock):
    """A clock whose skew is sent to a process."""

    def __init__(self, context: ReplicaContext, tell: Callable[[float], None]) -> None:
        self._tell = tell
        super().__init__(context.env, context.epoch)

    @property
    def ahead(self) -> float:
        return self._ahead

    @ahead.setter
    def ahead(self, seconds: float) -> None:
        self._ahead = seconds
        self._tell(seconds)


class ProcessReplica(Replica):
    """One replica, one process after the other. `open` has to be called before `start`."""

    def __init__(self, context: ReplicaContext, number: int, on_log: Callable[[str, str], None]) -> None:
        """`on_log` is called with the replica's name and each line that the process writes."""
        super().__init__(context, number)
        self._on_log = on_log
        self._settings = context.settings
        self._rate = context.api_rate
        self._options: ProcessOptions | None = None
        self._spare: asyncio.Task[asyncio.subprocess.Process] | None = None
        """A process that has imported everything and waits, if time runs too fast to wait for the imports."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._process: asyncio.subprocess.Process | None = None
        self._log_tail: list[str] = []
        self.metrics_address = ""
        """Host and port of `/metrics` of the process."""
        self.clock = _RemoteClock(context, self._send_skew)

    async def open(self, options: ProcessOptions) -> None:
        """Set the options and the address of `/metrics`, and start a spare process if time is scaled."""
        self._options = options
        with bind("127.0.0.1", 0) as free:
            self.metrics_address = f"127.0.0.1:{free.getsockname()[1]}"
        if options.scaled:
            self._spare = asyncio.ensure_future(self._spawn())
            await self._spare

    @property
    def can_skew(self) -> bool:
        """True if its clock can be shifted."""
        return self._options is not None and self._options.scaled

    def start(self) -> None:
        if self._task is None:
            self._emit("started")
            self._task = asyncio.get_running_loop().create_task(self._run_process(), name=self.name)
            self._tasks.add(self._task)
            self._task.add_done_callback(self._tasks.discard)

    def crash(self) -> None:
        if self._task is None:
            return
        self._task = None
        self.leading = False
        self._emit("crashed")
        self._kill()

    async def stop(self) -> None:
        """Kill the process at the end of the run, which is not recorded as a crash."""
        self._task = None
        self._kill()
        if self._spare is not None:
            spare = await self._spare
            spare.kill()
            await spare.communicate()
        await asyncio.gather(*self._tasks)
        self.check()

    def set_leading(self, leading: bool) -> None:
        """Note that this replica, or another one, holds the Lease."""
        if leading != self.leading:
            self._observe("leading" if leading else "lost")
            self.leading = leading

    def on_write(self, step: Literal["before", "after"]) -> bool:
        """Note that a write has arrived or has been carried out; return True if the replica still runs."""
        self._on_write(self.writes, step)
        return self.alive

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def _send_skew(self, seconds: float) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{seconds:.6f}\n".encode())

    async def _run_process(self) -> None:
        """Run one process from its start to its end."""
        assert self._options is not None
        spare, self._spare = self._spare, None
        process = await (spare or self._spawn())
        if self._task is asyncio.current_task():
            self._process = process
        else:  # killed while it started
            process.kill()
        if self._options.scaled:
            self._spare = asyncio.ensure_future(self._spawn())
            assert process.stdin is not None
            process.stdin.write(f"{self._options.now().timestamp():.6f}\n{self.clock.ahead:.6f}\n".encode())
        await self._read_log(process)
        code = await process.wait()
        if self._task is asyncio.current_task():
            self._task, self._process, self.leading = None, None, False
            last = " / ".join(self._log_tail[-3:])
            self._failure = ServeError(f"{self.name} exited with code {code}: {last}")

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            text = line.decode(errors="replace").rstrip()
            self._log_tail = [*self._log_tail[-_LOG_TAIL:], text]
            self._on_log(self.name, text)

    async def _spawn(self) -> asyncio.subprocess.Process:
        assert self._options is not None
        scaled = self._options.scaled
        program = ["twin.serve.operator.scaled_clock", f"{self._options.speed:g}"] if scaled else ["controller"]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a folder `controller` in the working directory belongs to someone else
            "-m",
            *program,
            *arguments(self._settings, self._rate, self.name, self._options),
            f"--metrics-bind-address={self.metrics_address}",
            stdin=asyncio.subprocess.PIPE if scaled else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if scaled else asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(os.environ),
            limit=1 << 20,
        )
        if process.stdout is not None:
            await process.stdout.readline()
        return process


def arguments(settings: Settings, rate: ApiRate, name: str, options: ProcessOptions) -> list[str]:
    """Return the flags of `lora-controller` for a scenario's settings."""
    lease, retry, rebalance = settings.lease, settings.backoff, settings.rebalance
    proxy = options.proxy.replace("://", f"://{name}@", 1)
    seconds = {
        "leader-elect-lease-duration": lease.duration,
        "leader-elect-renew-deadline": lease.renew,
        "leader-elect-retry-period": lease.retry,
        "scrape-interval": settings.scrape_interval,
        "rebalance-interval": rebalance.interval,
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
        # The machine does not get faster with the world: one of its seconds is `speed` of the world's.
        "kube-api-timeout": 30 * max(1.0, options.speed),
    }
    others = {
        "kubeconfig": options.kubeconfig,
        "engine-proxy": proxy,
        "leader-elect-identity": name,
        "kube-api-qps": f"{rate.qps:g}",
        "kube-api-burst": rate.burst,
        "policy": settings.policy,
        "policies": ",".join(settings.policies),
        "max-concurrent-reconciles": settings.max_concurrent_reconciles,
        "max-requests-per-pod": settings.max_requests_per_pod,
        "autoscaling-budget": settings.autoscaling_budget,
        "rebalance": rebalance.algorithm,
        "rebalance-by": rebalance.by,
        "rebalance-tolerance": f"{rebalance.tolerance:g}",
        "rebalance-max-concurrent": rebalance.max_concurrent,
        "rebalance-max-per-minute": rebalance.max_per_minute,
        "retries": retry.retries,
        "retry-factor": f"{retry.factor:g}",
        "retry-jitter": f"{retry.jitter:g}",
        "retry-switch": settings.retry_switch,
        "enable-runtime-sidecar": str(settings.enable_runtime_sidecar).lower(),
        "health-probe-bind-address": "0",
    }
    flags = {**{flag: f"{value:.6f}s" for flag, value in seconds.items()}, **others}
    return [f"--{flag}={value}" for flag, value in flags.items()]


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without settings of `lora-controller`, with this process's module path."""
    dropped = ("LORA_CONTROLLER_", "KUBE")
    inherited = {name: value for name, value in environment.items() if not name.startswith(dropped)}
    return {**inherited, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}
