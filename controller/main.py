"""`lora-controller`: the operator on a live cluster, as its own process.

Here the operator gets what the twin gives it otherwise: the machine's clock and random numbers, real sockets, a real
API server (`kube.py`). Options are in `options.py`; what must be true before it starts, in `kube_preflight.py`.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from uuid import uuid4

import httpx
from structlog.typing import FilteringBoundLogger

from controller.client.interface import Client
from controller.clock import Clock, SystemClock
from controller.dependencies import Dependencies
from controller.logging import logger
from controller.metrics.server import probes
from controller.operator import Operator
from controller.option_types import OptionError
from controller.options import Options, flag, parse

STOPPED, FAILED, UNUSABLE = 0, 1, 2
_INSTALL = "lora-controller needs the kubernetes package: pip install 'lora-twin[live]'"


@dataclass(frozen=True, slots=True)
class _Reached:
    """A cluster that the operator may start on."""

    cluster: Client
    server: str
    lease_namespace: str


def main() -> None:
    """The command, from its words to its exit code."""
    try:
        options = parse(sys.argv[1:], os.environ)
        code = asyncio.run(operate(options, SystemClock()))
    except OptionError as error:
        code = _refused(str(error))
    except KeyboardInterrupt:
        code = STOPPED
    sys.exit(code)


def _refused(why: str) -> int:
    print(f"lora-controller: {why}", file=sys.stderr)
    return UNUSABLE


async def operate(options: Options, clock: Clock) -> int:
    """The operator from its start to its end; returns the exit code."""
    log = logger(clock, sys.stderr, format=options.log_format, level=options.log_level)  # type: ignore[arg-type]
    try:
        from controller.client.config import ConfigError
        from controller.preflight import PreflightError
    except ModuleNotFoundError:
        return _refused(_INSTALL)
    async with AsyncExitStack() as stack:
        try:
            reached = await _reach(options, clock, log, stack)
        except (ConfigError, PreflightError) as error:
            return _refused(str(error))
        operator = _operator(options, reached, clock, log)
        for name in ("metrics_bind_address", "health_probe_bind_address"):
            place: tuple[str, int] | None = getattr(options, name)
            if place is None:
                continue
            pages = probes(
                operator.metrics, operator.liveness_error, operator.readiness_error, port=place[1], host=place[0]
            )
            try:
                await stack.enter_async_context(pages)
            except OSError as error:
                return _refused(f"{flag(name)}: cannot listen on {place[0]}:{place[1]}: {error.strerror}")
        return await _until_stopped(operator, log, reached.server, options.namespaces)


async def _reach(options: Options, clock: Clock, log: FilteringBoundLogger, stack: AsyncExitStack) -> _Reached:
    """Connects, and looks whether the operator can work there."""
    from controller import preflight as kube_preflight
    from controller.client import config as kube_access
    from controller.client.namespaced import NamespacedClient
    from controller.client.ratelimit import RateLimit
    from controller.client.rest import RestClient
    from controller.client.transport import Connection

    rng = Random()
    access = kube_access.find(options.kubeconfig, options.context, clock)
    limit = RateLimit(options.kube_api_qps, options.kube_api_burst)
    connection = await stack.enter_async_context(
        Connection(access, limit=limit, timeout=options.kube_api_timeout, rng=rng)
    )
    namespace = options.leader_elect_namespace or access.namespace
    left_out = await kube_preflight.check(connection, options.namespaces, namespace)
    cluster: Client = RestClient(connection, rng, log)
    if not options.leader_elect:
        await kube_preflight.check_no_other_operator(cluster, namespace)
    if options.namespaces:
        cluster = NamespacedClient(cluster, options.namespaces, left_out)
    if left_out:
        log.warning("the account may not read nodes: zones are unknown to placement and to endpoints")
    return _Reached(cluster, connection.server, namespace)


def _operator(options: Options, reached: _Reached, clock: Clock, log: FilteringBoundLogger) -> Operator:
    proxy = httpx.Proxy(options.engine_proxy) if options.engine_proxy else None
    # As many connections as engines are asked at once; how many that is, the operator decides itself.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200, keepalive_expiry=30)
    dependencies = Dependencies(
        client=reached.cluster,
        transport=httpx.AsyncHTTPTransport(limits=limits, proxy=proxy, trust_env=False),
        clock=clock,
        rng=Random(),
        settings=options.settings(reached.lease_namespace),
        identity=options.leader_elect_identity or f"{socket.gethostname()}_{uuid4().hex[:8]}",
        log=log,
    )
    return Operator(dependencies)


async def _until_stopped(operator: Operator, log: FilteringBoundLogger, server: str, namespaces: Sequence[str]) -> int:
    """Runs until it is told to stop: the first signal lets what is under way end, the second ends at once."""
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(operator.run())
    asked: list[int] = []

    def stop(number: int) -> None:
        log.info("told to stop", signal=signal.Signals(number).name)
        if asked:
            running.cancel()
        asked.append(number)
        operator.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    log.info("started", server=server, namespaces=list(namespaces) or "all")
    try:
        await running
    except asyncio.CancelledError:
        log.warning("stopped at once")
        return FAILED
    except Exception:  # whatever it is: said once, and the process ends, for its memory can't be trusted
        log.error("failed", exc_info=True)
        return FAILED
    log.info("stopped")
    return STOPPED
