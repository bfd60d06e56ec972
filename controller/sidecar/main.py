"""`lora-runtime`: the command line of the sidecar.

Settings of the engine and of stores are environment variables with the names that other sidecars use.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import httpx
import structlog
import typer
import uvicorn
from typer.exceptions import TyperException

from controller.sidecar.artifacts.egress_guard import networks
from controller.sidecar.build import build_app
from controller.sidecar.settings import MOUNT, ROOT, Settings, engine_flavor, engine_key, metrics_mode
from formats.quantities import parse_size
from formats.sockets import bind

_UNUSABLE, _INTERRUPTED = 2, 130
_BACKLOG = 2048
_EPILOG = """
Environment variables: INFERENCE_ENGINE (vllm or sglang), INFERENCE_ENGINE_ENDPOINT, INFERENCE_ENGINE_API_KEY,
METRICS_ENABLE_TRANSFORMATION, METRICS_RAW_PASSTHROUGH_MODE, METRIC_SCRAPE_PATH, HF_ENDPOINT, AWS_ENDPOINT_URL,
STORAGE_EMULATOR_HOST.
"""


def _size(flag: str, text: str) -> int:
    try:
        return int(parse_size(text, plain_bytes=True)) if text != "0" else 0
    except ValueError as error:
        raise ValueError(f"{flag}={text}: {error}") from None


def _show_version(requested: bool) -> None:
    if requested:
        print(f"lora-runtime {version('lora-twin')}")
        raise typer.Exit


def run(
    host: Annotated[str, typer.Option(metavar="string", help="Address to listen on.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(metavar="int", min=0, max=65535, help="Port to listen on.")] = 8080,
    cache: Annotated[Path, typer.Option(metavar="path", help="Folder for adapters, shared with the engine.")] = ROOT,
    credentials: Annotated[Path, typer.Option(metavar="path", help="Folder where a Secret may be mounted.")] = MOUNT,
    cache_size: Annotated[str, typer.Option(metavar="size", help="Maximum size of all adapters on the disk.")] = "50Gi",
    largest_artifact: Annotated[str, typer.Option(metavar="size", help="Maximum size of one adapter.")] = "20Gi",
    keep_free: Annotated[str, typer.Option(metavar="size", help="Disk space that stays free.")] = "256Mi",
    connections: Annotated[
        int, typer.Option(metavar="int", min=1, max=64, help="Maximum ranges fetched concurrently.")
    ] = 8,
    allow_network: Annotated[
        list[str] | None,
        typer.Option(metavar="cidr", help="Network to fetch from that is refused by default, e.g. 127.0.0.0/8."),
    ] = None,
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Sidecar of an engine: fetches LoRA adapters from artifact stores and serves the engine's metrics."""
    try:
        settings = replace(
            _from_environment(os.environ),
            root=cache.absolute(),
            mount=credentials,
            budget=_size("--cache-size", cache_size),
            largest=_size("--largest-artifact", largest_artifact),
            reserve=_size("--keep-free", keep_free),
            connections=connections,
            allowed=networks(allow_network or ()),
        )
    except ValueError as error:
        raise _unusable(str(error)) from None
    _remove_proxies()
    try:
        listener = _listen(host, port)
        asyncio.run(_serve(settings, listener))
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    except OSError as error:
        raise _unusable(f"{cache}: {error.strerror}") from None


def _unusable(message: str) -> typer.Exit:
    print(f"lora-runtime: {message}", file=sys.stderr)
    return typer.Exit(_UNUSABLE)


def _from_environment(environment: Mapping[str, str]) -> Settings:
    """Return the settings that environment variables determine.

    Raises:
        ValueError: if one of them is not valid.
    """
    return Settings(
        engine=_url(environment.get("INFERENCE_ENGINE_ENDPOINT", Settings().engine)),
        engine_key=engine_key(environment),
        dialect=engine_flavor(environment),
        metrics=metrics_mode(environment),
        metrics_path=environment.get("METRIC_SCRAPE_PATH", "/metrics"),
        hub=environment.get("HF_ENDPOINT", ""),
        s3=environment.get("AWS_ENDPOINT_URL", ""),
        google=environment.get("STORAGE_EMULATOR_HOST", ""),
    )


def _url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"INFERENCE_ENGINE_ENDPOINT must be an http or https URL, not {text!r}")
    return text


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = bind(host, port)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise _unusable(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def _remove_proxies() -> None:
    """Remove proxies from the environment: client libraries would use them, and the egress guard cannot check those."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            os.environ.pop(variable, None)


async def _serve(settings: Settings, listener: socket.socket) -> None:
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
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)
    await _Server(config).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Exits with code 0 after a signal; uvicorn would raise the signal again after the shutdown."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)
        yield


def main() -> None:
    """Run the command and exit with its code."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(epilog=_EPILOG)(run)
    try:
        code = app(prog_name="lora-runtime", standalone_mode=False)
    except TyperException as error:
        print(f"lora-runtime: {error.format_message()}; see lora-runtime --help", file=sys.stderr)
        code = _UNUSABLE
    sys.exit(code)
