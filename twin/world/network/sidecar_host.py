"""The runtime sidecar of a pod: the product's own application, with the twin's artifact registry behind it.

The API, downloads, errors and responses of `lora-runtime` are the real ones; only what lies between a store and the
disk (`ArtifactProvider`) is the registry in virtual time. The pod's disk outlives both containers. Not simulated: the
size of that disk, and partial downloads that are resumed.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NoReturn

import httpx
import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from controller.sidecar.adapters import AdapterService
from controller.sidecar.app import Services, create_app
from controller.sidecar.artifacts.credentials import Credentials
from controller.sidecar.artifacts.facts import ArtifactFacts, read_facts
from controller.sidecar.artifacts.progress import DownloadTracker
from controller.sidecar.artifacts.provider import LoadedPaths
from controller.sidecar.artifacts.singleflight import SingleFlight
from controller.sidecar.artifacts.stores import FileList, RemoteFile
from controller.sidecar.artifacts.url import Artifact as Asked
from controller.sidecar.engine import LocalEngine
from controller.sidecar.errors import Code, SidecarError
from controller.sidecar.metrics import MetricsEndpoint
from controller.sidecar.settings import ROOT, Settings
from fake_vllm.cli.artifacts import adapter_config
from fake_vllm.engine.lora import Artifact
from twin.world.registry import Artifacts, RegistryError

_VERSION = 40
"""Length of a version's name, like that of a commit."""


def root_of(digest: str) -> str:
    """Return the folder of an artifact on the sidecar's disk; it never changes in the twin, so it has one version."""
    return f"{ROOT}/{digest}/{digest[:_VERSION]}"


@dataclass(frozen=True, slots=True)
class _SimulatedDownload:
    """A download of known duration."""

    size: int
    started: float
    seconds: float

    @property
    def arrived(self) -> int:
        passed = asyncio.get_running_loop().time() - self.started
        return self.size if passed >= self.seconds else int(self.size * passed / self.seconds)


class RegistryArtifactProvider:
    """The sidecar's source of artifacts; `downloads` is the progress of the present run."""

    def __init__(self, artifacts: Artifacts, downloads: DownloadTracker) -> None:
        self.downloads = downloads
        self._artifacts = artifacts
        self._disk: dict[str, Artifact] = {}
        self._names: dict[str, str] = {}
        self._fetching: SingleFlight[None] = SingleFlight(keep=False)

    def at(self, path: str) -> Artifact | None:
        """Return the artifact at a path on the disk; None if the path is not the sidecar's."""
        digest = self.digest_of(path)
        return self._disk.get(digest, Artifact(missing=True)) if digest else None

    @asynccontextmanager
    async def fetch(
        self,
        name: str,
        artifact: Asked,
        credentials: Credentials,  # noqa: ARG002 - of the protocol
        loaded: LoadedPaths,  # noqa: ARG002 - of the protocol
    ) -> AsyncIterator[str]:
        if artifact.store == "file":
            yield artifact.path
            return
        self._names[name] = artifact.digest
        await self._fetching.do(artifact.digest, lambda: self._fetch(artifact))
        yield root_of(artifact.digest)

    async def facts(
        self,
        artifact: Asked,
        credentials: Credentials,  # noqa: ARG002 - of the protocol
    ) -> ArtifactFacts:
        if artifact.store == "file":
            stored = self._artifacts.stored(artifact.path)
        else:
            await asyncio.sleep(self._artifacts.latency)
            result = self._artifacts.download(artifact.url)
            _check_store(artifact, result.error)
            stored = result.artifact
        if stored.missing:
            return ArtifactFacts()
        config = json.dumps(stored.config or adapter_config(stored.rank, {})).encode()
        return read_facts(config, {"adapter_model.safetensors": stored.size})

    def digest_of(self, root: str) -> str:
        rest = root.removeprefix(f"{ROOT}/")
        return "" if rest == root else rest.partition("/")[0]

    async def delete(self, adapter: str, loaded: LoadedPaths) -> None:
        digest = self._names.pop(adapter, "")
        roots = await loaded()
        if digest and digest not in self._names.values() and roots is not None and root_of(digest) not in roots:
            self._disk.pop(digest, None)

    async def close(self) -> None:
        await self._fetching.close()

    async def _fetch(self, artifact: Asked) -> None:
        """Download an artifact unless it is on the disk."""
        await asyncio.sleep(self._artifacts.latency)
        result = self._artifacts.download(artifact.url)
        here = artifact.digest in self._disk
        if not (here and result.error == "unreachable"):
            _check_store(artifact, result.error)
        if here:
            self.downloads.record_cache_hit()
            return
        size = result.artifact.size
        files = (RemoteFile(path="adapter_model.safetensors", size=size, key=""),)
        with self.downloads.track(artifact, FileList(files=files, version="")) as download:
            download.watch(_SimulatedDownload(size, asyncio.get_running_loop().time(), result.seconds))
            await asyncio.sleep(result.seconds)
            if result.error == "corrupt":
                _fail(Code.ARTIFACT_CORRUPT, f"{artifact.redacted} is no complete adapter")
        self._disk[artifact.digest] = result.artifact


class SidecarHost:
    """The sidecar's container. Its memory is lost whenever it stops."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        self._registry = CollectorRegistry()
        self.provider = RegistryArtifactProvider(artifacts, DownloadTracker(self._registry, self._log))
        self._running = 0
        """Number of the present run; 0 while stopped."""
        self._runs = 0
        self._settings = Settings()
        self._app: FastAPI | None = None
        self._adapters: AdapterService | None = None

    @property
    def running(self) -> bool:
        """True if the container runs; it listens immediately."""
        return self._running > 0

    def start(self, settings: Settings) -> None:
        """Start the container with the settings of its environment."""
        self._settings = settings
        self._registry = CollectorRegistry()
        self.provider.downloads = DownloadTracker(self._registry, self._log)
        self._runs += 1
        self._running = self._runs

    def stop(self) -> None:
        self._running, self._app = 0, None
        adapters, self._adapters = self._adapters, None
        if adapters is not None:
            adapters.cancel()

    async def answer(self, request: httpx.Request, to_engine: Callable[[], httpx.AsyncBaseTransport]) -> httpx.Response:
        """Return the application's response.

        Raises:
            httpx.ConnectError: the container does not run.
            ConnectionResetError: the container stopped before it had answered.
        """
        if not self._running:
            raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
        run = self._running
        response = await httpx.ASGITransport(self._application(to_engine)).handle_async_request(request)
        await response.aread()
        if self._running != run:
            raise ConnectionResetError
        return response

    def _application(self, to_engine: Callable[[], httpx.AsyncBaseTransport]) -> FastAPI:
        if self._app is None:
            settings, registry, log = self._settings, self._registry, self._log
            transport = _AsStream(to_engine())
            engine = LocalEngine(settings.engine, settings.dialect, transport, api_key=settings.engine_key)
            metrics = MetricsEndpoint(engine, settings.metrics_path, settings.metrics, registry, log)
            self._adapters = AdapterService(engine, self.provider, log)
            self._app = create_app(Services(self._adapters, engine, registry, self.provider.downloads, metrics), log)
        return self._app


class _AsStream(httpx.AsyncBaseTransport):
    """Wraps a transport so that complete responses can be read as a stream."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        if not response.is_stream_consumed:
            return response
        stream = httpx.ByteStream(response.content)
        return httpx.Response(response.status_code, headers=response.headers, stream=stream, request=request)


def _check_store(artifact: Asked, error: RegistryError) -> None:
    """Raise the error of a registry that does not list an artifact."""
    match error:
        case "missing":
            _fail(Code.ARTIFACT_NOT_FOUND, f"{artifact.redacted} was not found")
        case "forbidden":
            _fail(Code.ARTIFACT_FORBIDDEN, f"{artifact.redacted}: the registry refuses the credentials")
        case "unreachable":
            _fail(Code.STORE_UNAVAILABLE, f"{artifact.redacted}: no connection to the registry")


def _fail(code: Code, message: str) -> NoReturn:
    raise SidecarError(code, message)
