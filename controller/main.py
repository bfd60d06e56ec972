"""`lora-controller`: the operator on a live cluster, as its own process.

Start reading at `operate`. It gives the operator what the twin simulates: the system clock and random numbers,
sockets, and a live API server (`client/rest.py`). Flags are in `options.py`, the checks before the start in
`preflight.py`.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from random import Random
from uuid import uuid4

import httpx
from structlog.typing import FilteringBoundLogger

from controller import plan_command
from controller.activator import server as activator_server
from controller.client.interface import Client, ClientError
from controller.client.traced import TracedClient
from controller.clock import Clock, SystemClock
from controller.dependencies import Dependencies
from controller.logging import logger
from controller.metrics.server import serve
from controller.operator import Operator
from controller.option_types import OptionError
from controller.options import Options, flag, parse
from controller.tracing.endpoint import EndpointError, traces_url
from controller.tracing.interface import NO_TRACES, Tracer
from formats.installation import install_command

STOPPED, FAILED, UNUSABLE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class _Connected:
    """A cluster that passed the preflight checks."""

    client: Client
    server: str
    lease_namespace: str


def main() -> None:
    """Run the command and exit with its code."""
    if sys.argv[1:2] == ["plan"]:
        sys.exit(_plan(sys.argv[2:]))
    try:
        options = parse(sys.argv[1:], os.environ)
        code = asyncio.run(operate(options, SystemClock()))
    except OptionError as error:
        code = _unusable(str(error))
    except KeyboardInterrupt:
        code = STOPPED
    sys.exit(code)


def _plan(arguments: Sequence[str]) -> int:
    """Run `lora-controller plan`; return the exit code."""
    if {"-h", "--help"} & set(arguments):
        print(plan_command.HELP.strip())
        return STOPPED
    try:
        asyncio.run(plan_command.show_plan(plan_command.parse_arguments(arguments, os.environ), SystemClock()))
    except ModuleNotFoundError:
        return _without_client()
    except OptionError as error:
        return _unusable(str(error))
    except ClientError as error:
        print(f"lora-controller: {error}", file=sys.stderr)
        return FAILED
    return STOPPED


def _without_client() -> int:
    return _unusable(f"the kubernetes package is missing: {install_command('live')}")


def _unusable(message: str) -> int:
    print(f"lora-controller: {message}", file=sys.stderr)
    return UNUSABLE


async def operate(options: Options, clock: Clock) -> int:
    """Run the operator until it is stopped; return the exit code."""
    log = logger(clock, sys.stderr, format=options.log_format, level=options.log_level)  # type: ignore[arg-type]
    if not options.leader_elect_identity:
        options = replace(options, leader_elect_identity=f"{socket.gethostname()}_{uuid4().hex[:8]}")
    try:
        from controller.client.config import ConfigError
        from controller.preflight import PreflightError
    except ModuleNotFoundError:
        return _without_client()
    async with AsyncExitStack() as stack:
        try:
            tracer = await _tracer(options, log, stack)
            connected = await _connect(options, clock, log, stack)
            operator = _operator(options, connected, clock, log, tracer)
            await _serve_pages(options, operator, stack)
            await _serve_activator(options, operator, stack)
        except (ConfigError, PreflightError, OptionError) as error:
            return _unusable(str(error))
        return await _run_until_stopped(operator, log, connected.server, options.namespaces)


async def _connect(options: Options, clock: Clock, log: FilteringBoundLogger, stack: AsyncExitStack) -> _Connected:
    """Connect to the API server and run the preflight checks."""
    from controller import preflight
    from controller.client.config import find_config
    from controller.client.namespaced import NamespacedClient
    from controller.client.ratelimit import rate_limits
    from controller.client.rest import RestClient
    from controller.client.transport import Connection

    rng = Random()
    config = find_config(options.kubeconfig, options.context, clock)
    limits = rate_limits(options.kube_api_qps, options.kube_api_burst)
    connection = await stack.enter_async_context(
        Connection(config, limits=limits, timeout=options.kube_api_timeout, rng=rng)
    )
    namespace = options.leader_elect_namespace or config.namespace
    omitted = await preflight.check(connection, options.namespaces, namespace)
    client: Client = RestClient(connection, rng, log)
    if not options.leader_elect:
        await preflight.check_no_other_operator(client, namespace)
    if options.namespaces:
        client = NamespacedClient(client, options.namespaces, omitted)
    if omitted:
        log.warning("the account may not read nodes: placement and endpoints have no zones")
    return _Connected(client, connection.server, namespace)


async def _tracer(options: Options, log: FilteringBoundLogger, stack: AsyncExitStack) -> Tracer:
    """Return the tracer; traces are sent until `stack` is closed.

    Raises:
        OptionError: traces cannot be sent as the options or variables say.
    """
    try:
        url = traces_url(options.otlp_endpoint, os.environ)
    except EndpointError as error:
        raise OptionError(str(error)) from None
    if not url:
        return NO_TRACES
    try:
        from controller.tracing.otlp import TraceExport
    except ModuleNotFoundError:
        raise OptionError(f"the opentelemetry packages are missing: {install_command('otel')}") from None
    export = TraceExport(url, options.leader_elect_identity, log)
    stack.push_async_callback(asyncio.to_thread, export.close)
    return export.tracer


def _operator(
    options: Options, connected: _Connected, clock: Clock, log: FilteringBoundLogger, tracer: Tracer
) -> Operator:
    client = connected.client if tracer is NO_TRACES else TracedClient(connected.client, tracer)
    dependencies = Dependencies(
        client=client,
        transport=_engine_transport(options),
        clock=clock,
        rng=Random(),
        settings=options.settings(connected.lease_namespace),
        identity=options.leader_elect_identity,
        log=log,
        tracer=tracer,
        isolates_errors=True,
    )
    return Operator(dependencies)


def _engine_transport(options: Options) -> httpx.AsyncHTTPTransport:
    proxy = httpx.Proxy(options.engine_proxy) if options.engine_proxy else None
    # The operator itself limits how many requests are in flight, so the pool does not.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200, keepalive_expiry=30)
    return httpx.AsyncHTTPTransport(limits=limits, proxy=proxy, trust_env=False)


async def _serve_activator(options: Options, operator: Operator, stack: AsyncExitStack) -> None:
    """Hold requests for adapters on demand until `stack` is closed, if there is an address."""
    if options.activator_bind_address is None:
        return
    transport = _engine_transport(options)
    stack.push_async_callback(transport.aclose)
    host, port = options.activator_bind_address
    pages = activator_server.serve(
        lambda: operator.activator, transport, (host, port), options.graceful_shutdown_timeout
    )
    try:
        await stack.enter_async_context(pages)
    except OSError as error:
        raise OptionError(f"--activator-bind-address: cannot listen on {host}:{port}: {error.strerror}") from None


async def _serve_pages(options: Options, operator: Operator, stack: AsyncExitStack) -> None:
    """Serve metrics and probes until `stack` is closed."""
    addresses = {
        "metrics_bind_address": options.metrics_bind_address,
        "health_probe_bind_address": options.health_probe_bind_address,
    }
    for name, address in addresses.items():
        if address is None:
            continue
        host, port = address
        pages = serve(operator.metrics, operator.liveness_error, operator.readiness_error, port=port, host=host)
        try:
            await stack.enter_async_context(pages)
        except OSError as error:
            raise OptionError(f"{flag(name)}: cannot listen on {host}:{port}: {error.strerror}") from None


async def _run_until_stopped(
    operator: Operator, log: FilteringBoundLogger, server: str, namespaces: Sequence[str]
) -> int:
    """Run until a signal: the first one stops gracefully, the second one at once. Return the exit code."""
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(operator.run())
    stopping = False

    def stop(number: int) -> None:
        nonlocal stopping
        log.info("stopping", signal=signal.Signals(number).name)
        if stopping:
            running.cancel()
        stopping = True
        operator.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    log.info("started", server=server, namespaces=list(namespaces) or "all")
    try:
        await running
    except asyncio.CancelledError:
        log.warning("stopped at once")
        return FAILED
    except Exception:  # the process ends, since its memory cannot be trusted after an unexpected error
        log.error("failed", exc_info=True)
        return FAILED
    log.info("stopped")
    return STOPPED
