"""`lora-runtime`: the sidecar's command line. Flags come first, then variables, as the known sidecar has them."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import httpx
import structlog
import typer
import uvicorn

from controller.sidecar.artifacts.egress_guard import networks
from controller.sidecar.build import build_app
from controller.sidecar.settings import MOUNT, ROOT, Settings, engine_flavor, metrics_mode
from formats.errors import FormatError
from formats.quantities import parse_size
from formats.sockets import bind

_EPILOGUE = """
Variables: INFERENCE_ENGINE (vllm or sglang), INFERENCE_ENGINE_ENDPOINT, METRICS_ENABLE_TRANSFORMATION,
METRICS_RAW_PASSTHROUGH_MODE, METRIC_SCRAPE_PATH, HF_ENDPOINT, AWS_ENDPOINT_URL, STORAGE_EMULATOR_HOST.
"""


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"lora-runtime {version('lora-twin')}")
        raise typer.Exit


def run(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8080,
    cache: Annotated[Path, typer.Option(help="Folder for adapters, shared with the engine.")] = ROOT,
    credentials: Annotated[Path, typer.Option(help="Where a Secret may be mounted.")] = MOUNT,
    cache_size: Annotated[str, typer.Option(help="Bytes of adapters in all, e.g. 50GiB.")] = "50GiB",
    largest_artifact: Annotated[str, typer.Option(help="Bytes of one adapter, e.g. 20GiB.")] = "20GiB",
    keep_free: Annotated[str, typer.Option(help="Bytes of the disk that stay free.")] = "256MiB",
    connections: Annotated[int, typer.Option(min=1, max=64, help="Ranges that are read at once.")] = 8,
    allow_network: Annotated[
        list[str] | None, typer.Option(help="Network to fetch from that is refused otherwise, e.g. 127.0.0.0/8.")
    ] = None,
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Fetches adapters for the engine in the same pod, and speaks for its metrics."""
    environment = os.environ
    try:
        settings = Settings(
            engine=_url(environment.get("INFERENCE_ENGINE_ENDPOINT", Settings().engine)),
            dialect=engine_flavor(environment),
            root=cache.absolute(),
            mount=credentials,
            budget=_bytes("cache_size", cache_size),
            largest=_bytes("largest_artifact", largest_artifact),
            reserve=_bytes("keep_free", keep_free),
            connections=connections,
            allowed=networks(allow_network or ()),
            metrics=metrics_mode(environment),
            metrics_path=environment.get("METRIC_SCRAPE_PATH", "/metrics"),
            hub=environment.get("HF_ENDPOINT", ""),
            s3=environment.get("AWS_ENDPOINT_URL", ""),
            google=environment.get("STORAGE_EMULATOR_HOST", ""),
        )
    except ValueError as error:
        raise _refused(str(error)) from None
    _without_proxies()
    try:
        listening = bind(host, port)
        listening.listen(2048)
    except OSError as error:
        raise _refused(f"cannot listen: {error.strerror}") from None
    try:
        asyncio.run(_serve(settings, listening))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except OSError as error:
        raise _refused(f"{cache}: {error.strerror}") from None


def _refused(why: str) -> typer.Exit:
    print(f"lora-runtime: {why}", file=sys.stderr)
    return typer.Exit(2)


def _bytes(option: str, text: str) -> int:
    try:
        return int(parse_size(text, plain_bytes=True, allow_zero=True))
    except FormatError as error:
        raise ValueError(f"--{option.replace('_', '-')}: {error}") from None


def _without_proxies() -> None:
    """Stores' own libraries would take proxies from the environment, and past a proxy no address is checked."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for spelled in (name, name.upper()):
            os.environ.pop(spelled, None)


async def _serve(settings: Settings, listening: socket.socket) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * settings.connections + 4))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    app = build_app(settings, httpx.AsyncHTTPTransport(), structlog.get_logger())
    served = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)
    await _Server(served).serve(sockets=[listening])


class _Server(uvicorn.Server):
    """Told to end, it ends with 0; uvicorn's raises the signal once more when all is done, to die of it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)
        yield


def _url(text: str) -> str:
    try:
        parsed = httpx.URL(text)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"INFERENCE_ENGINE_ENDPOINT is an http(s) URL, not {text!r}")
    return text


def main() -> None:
    """The command, from its words to its exit code."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(epilog=_EPILOGUE)(run)
    app(prog_name="lora-runtime")
