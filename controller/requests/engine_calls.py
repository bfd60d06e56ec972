"""Load, unload and list on one pod's engine: the sequence of HTTP requests behind each.

A load is prepared before it is announced: reading keys and credentials may take any time.

The results are kept in `EngineRecords`. When to send which of these is decided in `reconcile/plan.py`; which are in
flight is kept in `tracker.py`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.api.artifact import READ, artifact_hash
from controller.api.spec import artifact_of, load_timeout, lora_path
from controller.api.types import ArtifactStatus, ModelAdapter
from controller.cache.pod_view import PodView
from controller.cache.routing import route_port, uses_sidecar
from controller.cache.secrets import SecretCache
from controller.engine.client import Address, EngineClient, LoadOrder
from controller.engine.errors import AlreadyLoaded, EngineError
from controller.engine.prefix_cache import PrefixCache
from controller.requests.engine_records import EngineRecords
from controller.requests.outcomes import SEND_WITHIN
from controller.settings import Settings
from controller.tracing.interface import NO_TRACES, Span, Tracer


@dataclass(frozen=True, slots=True)
class PreparedLoad:
    """A load that can be sent without waiting for anything but the engine."""

    adapter: ModelAdapter
    pod: PodView
    address: Address
    order: LoadOrder | None
    """Request for the pod's sidecar; None if the engine is called directly."""
    secret: str
    """Versions of the Secrets with which it was prepared."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """Result of a load or unload."""

    error: EngineError | None = None
    sent: bool = True
    """False if no request was sent, so that no attempt was made."""
    secret: str = ""
    """Versions of the Secrets with which it was sent."""


_UNSENT = CallResult(sent=False)
_INSPECT_SECONDS = 10.0
"""Timeout of a request for the facts about an artifact, for which a first load waits."""


class EngineCalls:
    """Requests to engines for one operator."""

    def __init__(
        self, client: EngineClient, secrets: SecretCache, settings: Settings, tracer: Tracer = NO_TRACES
    ) -> None:
        self.records = EngineRecords()
        self._client = client
        self._secrets = secrets
        self._settings = settings
        self._tracer = tracer

    async def prepare(self, adapter: ModelAdapter, pod: PodView) -> PreparedLoad:
        """Read the keys and credentials for a load.

        Raises:
            EngineError: one of them is missing or may not be sent to this pod.
        """
        address = await self._address(adapter, pod)
        order = await self._order(adapter, pod)
        return PreparedLoad(adapter, pod, address, order, self._secrets.version(adapter))

    async def inspect(self, adapter: ModelAdapter, pod: PodView) -> ArtifactStatus | None:
        """Return the facts that the pod's sidecar reads about the artifact; None if it can tell none.

        Raises:
            EngineError: the sidecar does not answer, cannot read the artifact, or is too old for the request.
        """
        order = await self._order(adapter, pod)
        if order is None:
            return None
        address = Address(pod.ip, route_port(pod, self._settings))
        facts = await self._client.inspect(address, order, _INSPECT_SECONDS)
        if not (facts.rank or facts.size_bytes or facts.base_model):
            return None
        return ArtifactStatus(
            hash=artifact_hash(adapter.spec),
            rank=facts.rank or 0,
            size_bytes=facts.size_bytes or 0,
            target_modules=facts.target_modules or (),
            base_model=facts.base_model or "",
            source=READ,
        )

    async def load(self, prepared: PreparedLoad, confirmed: float) -> CallResult:
        """Send a load whose announcement was confirmed at `confirmed` (loop time)."""
        adapter, pod = prepared.adapter, prepared.pod
        with self._tracer.engine_call("load", adapter.key, pod.key) as span:
            return self._recorded(adapter, pod, await self._load(prepared, confirmed), span)

    async def unload(self, adapter: ModelAdapter, pod: PodView) -> CallResult:
        """Send an unload."""
        with self._tracer.engine_call("unload", adapter.key, pod.key) as span:
            return self._recorded(adapter, pod, await self._unload(adapter, pod), span)

    async def list(self, adapter: ModelAdapter, pod: PodView) -> Mapping[str, str]:
        """List the engine's adapters with the adapter's key, and store them as the pod's inventory.

        Raises:
            EngineError: the engine did not answer, or the key is missing.
        """
        with self._tracer.engine_call("list", adapter.key, pod.key):
            return await self._list(await self._address(adapter, pod), pod)

    async def list_changed_names(self, adapter: ModelAdapter, pod: PodView) -> set[str] | None:
        """List the engine's adapters; return the names that changed since the last list, None without an answer."""
        before = self.records.inventory(pod)
        try:
            models = await self.list(adapter, pod)
        except EngineError as error:
            self._check_key(adapter, error)
            return None
        old = before.models if before is not None else {}
        unclear = set(before.unclear) if before is not None else set()
        if models is old:
            return unclear
        return unclear | {name for name in old.keys() | models.keys() if old.get(name) != models.get(name)}

    def forget(self, pod: PodView) -> None:
        """Drop what is kept for a deleted pod."""
        self.records.forget(pod)
        self._client.forget(pod.ip)

    def _recorded(self, adapter: ModelAdapter, pod: PodView, result: CallResult, span: Span) -> CallResult:
        span.set("lora_controller.sent", result.sent)
        if result.error is not None:
            span.fail(result.error.reason)
        self._check_key(adapter, result.error)
        if result.error is not None and result.error.ambiguous:
            self.records.mark_unclear(pod, adapter.metadata.name)
        return replace(result, secret=result.secret or self._secrets.version(adapter))

    def _check_key(self, adapter: ModelAdapter, error: EngineError | None) -> None:
        if error is not None and error.reason == "Unauthorized":
            self._secrets.invalidate(adapter)

    async def _load(self, prepared: PreparedLoad, confirmed: float) -> CallResult:
        adapter, pod, secret = prepared.adapter, prepared.pod, prepared.secret
        name = adapter.metadata.name
        if asyncio.get_running_loop().time() > confirmed + SEND_WITHIN:
            return replace(_UNSENT, secret=secret)
        try:
            root = await self._send_load(prepared.address, adapter, prepared.order)
        except AlreadyLoaded:
            path = lora_path(adapter.spec.artifact_url)
            return CallResult(await self._check_name(prepared.address, pod, name, path), secret=secret)
        except EngineError as error:
            return CallResult(error, secret=secret)
        self.records.confirm(pod, name, root)
        return CallResult(secret=secret)

    async def _send_load(self, address: Address, adapter: ModelAdapter, order: LoadOrder | None) -> str:
        """Return the `root` under which the engine lists the adapter."""
        timeout = load_timeout(adapter.spec, self._settings.load_timeout)
        if order is not None:
            return await self._client.order(address, order, timeout)
        path = lora_path(adapter.spec.artifact_url)
        await self._client.load(address, adapter.metadata.name, path, timeout)
        return path

    async def _order(self, adapter: ModelAdapter, pod: PodView) -> LoadOrder | None:
        """Return the request for the pod's sidecar; None if the engine is called directly."""
        if not uses_sidecar(pod, self._settings):
            return None
        credentials = await self._secrets.store_credentials(adapter)
        if credentials and not pod.owned:
            message = f"pod {pod.name} has no controller; credentials are sent only to pods that have one"
            raise EngineError("CredentialsWithheld", message, retriable=False)
        config = {name: value for name, value in adapter.spec.additional_config.items() if name != "api-key"}
        return LoadOrder(adapter.metadata.name, adapter.spec.artifact_url, credentials, config)

    async def _check_name(self, address: Address, pod: PodView, name: str, path: str) -> EngineError | None:
        """Return None if the name is loaded from the requested artifact; otherwise the next plan unloads it first."""
        try:
            models = await self._list(address, pod)
        except EngineError as error:
            return error
        if name in models and artifact_of(models[name]) == artifact_of(path):
            return None
        message = f"the name is taken by {models.get(name, 'an adapter that is not listed')!r}"
        return EngineError("NameTaken", message, retriable=True)

    async def _unload(self, adapter: ModelAdapter, pod: PodView) -> CallResult:
        name = adapter.metadata.name
        try:
            address = await self._address(adapter, pod)
            if uses_sidecar(pod, self._settings):
                await self._client.cancel(address, name, self._settings.list_timeout)
            else:
                await self._client.unload(address, name, self._settings.list_timeout)
                if pod.prefix_cache is PrefixCache.RESET:
                    await self._client.reset_prefix_cache(address, self._settings.list_timeout)
        except EngineError as error:
            return CallResult(error)
        self.records.confirm(pod, name, None)
        return CallResult()

    async def _list(self, address: Address, pod: PodView) -> Mapping[str, str]:
        changes = self.records.get(pod).changes
        adapters = await self._client.models(address, self._settings.list_timeout)
        return self.records.store(pod, adapters, changes).models

    async def _address(self, adapter: ModelAdapter, pod: PodView) -> Address:
        key = await self._secrets.engine_key(adapter)
        return Address(pod.ip, route_port(pod, self._settings), key, pod.flavor)
