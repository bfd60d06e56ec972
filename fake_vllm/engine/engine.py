"""The engine: loads and unloads adapters and computes completions, each in its time.

It has no HTTP (see `router.py`) and no clock of its own: durations are drawn from the latencies it is given and waited
for with asyncio, so the same engine runs on sockets and in a simulation. Adapters are in `adapters/`, computing is in
`runner.py`.

A client that leaves does not cancel a load or unload: each runs in a task of the engine (`background.py`), and only
`close`, the end of the container, cancels it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Mapping
from hashlib import blake2b
from typing import Any, TypeVar

from prometheus_client.metrics_core import Metric

from fake_vllm.engine.adapters.costs import NO_COSTS
from fake_vllm.engine.adapters.registry import LoraRegistry
from fake_vllm.engine.background import BackgroundTasks
from fake_vllm.engine.config import EngineConfig, EngineConfigError
from fake_vllm.engine.context import DEFAULT_CONTEXT, EngineContext, Randomness
from fake_vllm.engine.control import EngineControl
from fake_vllm.engine.flavor import EngineFlavor
from fake_vllm.engine.lora import (
    AdapterEvent,
    Artifact,
    EngineClosed,
    EngineError,
    LoraIdentity,
    Model,
    ReloadError,
)
from fake_vllm.engine.prometheus import metric
from fake_vllm.engine.runner import Completion, ModelRunner, completion_of
from fake_vllm.engine.timing import EngineTimes

__all__ = [
    "AdapterEvent",
    "Artifact",
    "Completion",
    "Engine",
    "EngineClosed",
    "EngineConfig",
    "EngineConfigError",
    "EngineError",
    "Model",
]

State = TypeVar("State")


class Engine:
    """A running engine. Adapters of the command line are loaded from the start, without an event."""

    def __init__(
        self,
        config: EngineConfig,
        flavor: EngineFlavor,
        times: EngineTimes,
        randomness: Randomness,
        context: EngineContext = DEFAULT_CONTEXT,
    ) -> None:
        """Create the engine.

        Args:
            config: settings of the command line.
            flavor: error texts, model cards and metrics of vLLM or SGLang.
            times: durations of loads, unloads and steps.
            randomness: random streams.
            context: the container around the engine.
        """
        seed, created = randomness.seed, context.created
        self.config, self.seed, self.epoch = config, seed, context.epoch
        self.healthy = self.reports_healthy = True
        self._load_latency, self._unload_latency, self._rng = times.load, times.unload, randomness.latencies
        self._on_change, self._fetch, self._created = context.on_change, context.fetch, created
        self._on_death = context.on_death
        self._process_page = context.process_page
        self._generation_rng = randomness.for_generation()
        self.lora_registry = LoraRegistry(config, flavor, context.find_artifact)
        self.runner = ModelRunner(
            config,
            flavor,
            times.steps,
            normal=self._generation_rng.standard_normal,
            activate=self._activate,
            identify=self._identify,
        )
        self.control = EngineControl(self.runner)
        self._id_prefix = f"{seed}/{created}/{config.port}/{self._generation_rng.integers(1 << 32)}"
        self._responses = 0
        self._error_texts = flavor.errors
        self.adapters: Mapping[str, str] = self.lora_registry.roots
        """Paths of the registered adapters by name, oldest first."""
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._evicted: dict[str, str] = {}
        self._background = BackgroundTasks()
        self._route_state: dict[type, Any] = {}
        self._closed = False

    # State

    @property
    def closed(self) -> bool:
        """True after the container has stopped."""
        return self._closed

    @property
    def resident(self) -> tuple[str, ...]:
        """Registered adapters whose weights are in memory, least recently used first."""
        return self.lora_registry.resident

    @property
    def active(self) -> tuple[str, ...]:
        """Registered adapters in one of the `max_loras` GPU slots, least recently used first."""
        return self.lora_registry.active

    @property
    def memory(self) -> int:
        """Bytes of weights in memory, including those of unregistered names."""
        return self.lora_registry.memory

    def models(self) -> list[Model]:
        """Return base models, then adapters in the order of their loads."""
        return self.lora_registry.models()

    def models_body(self) -> bytes:
        """Return the body of `GET /v1/models`."""
        return self.lora_registry.models_json(self._created)

    def is_resident(self, name: str) -> bool:
        """Return whether an adapter is registered and its weights are in memory."""
        return self.lora_registry.is_resident(name)

    def resolve_model(self, model: str) -> str:
        """Return the adapter that a model's name stands for, empty for a base model.

        Raises:
            EngineError: if there is no such model.
        """
        if model in self.lora_registry:
            return model
        if model in self.config.served_model_names:
            return ""
        text = f"The model `{model}` does not exist."
        if self.config.quirks.lists_aliases:
            text += f" Valid aliases: {', '.join(self.config.served_model_names)}."
        raise EngineError(404, "NotFoundError", text, param="model")

    def state(self, kind: type[State]) -> State:
        """Return the server's one object of a class, which a route keeps until the container ends."""
        if kind not in self._route_state:
            self._route_state[kind] = kind()
        state: State = self._route_state[kind]
        return state

    def start_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` in a task that the end of the container cancels."""
        return self._background.start(work)

    def now(self) -> float:
        """Return the seconds since 1970, by the event loop's clock."""
        return self.epoch + asyncio.get_running_loop().time()

    def metrics_page(self) -> str:
        """Return the text of `/metrics`."""
        return self._process_page() + self.runner.metrics_page(self.now(), float(self._created))

    def metrics(self) -> list[Metric]:
        """Return the metrics of `/metrics` as prometheus-client takes them."""
        created = float(self._created)
        return [metric(family, created) for family in self.runner.metric_families(self.now(), created)]

    def new_id(self) -> str:
        """Return an id that no other response has, of this engine or another."""
        self._responses += 1
        return blake2b(f"{self._id_prefix}/{self._responses}".encode(), digest_size=16).hexdigest()

    def ensure_alive(self) -> None:
        """Raise `EngineError` if the engine's core is dead."""
        if not self.healthy:
            raise _core_failed()

    def ensure_open(self) -> None:
        """Raise `EngineClosed` if the container has stopped."""
        if self._closed:
            raise _closed_error()

    # Operations

    async def complete(self, model: str, prompt_tokens: int, output_tokens: int) -> Completion:
        """Complete a prompt of a given length with a given number of tokens, without HTTP and text.

        Cancelling the caller aborts the request.

        Raises:
            EngineError: if the engine refuses, as vLLM would.
            EngineClosed: if the container stops first.
        """
        self.ensure_open()
        adapter = self.resolve_model(model)
        self.ensure_alive()
        if prompt_tokens + output_tokens > self.config.max_model_len:
            limit = self.config.max_model_len
            text = f"This model's maximum context length is {limit} tokens. However, you requested more."
            raise EngineError(400, "BadRequestError", text)
        sequence = self.runner.submit(adapter, prompt_tokens, output_tokens, limit=output_tokens, ending="length")
        await self.runner.wait_finished(sequence)
        return completion_of(model, sequence)

    async def load(self, name: str, path: str, *, load_inplace: bool = False, slow: float = 1.0) -> None:
        """Load the adapter `name`; `slow` multiplies the time.

        Raises:
            EngineError: if the engine refuses, with the text of its flavor.
            EngineClosed: if the container stops first.
        """
        self.ensure_open()
        await self._background.run(self._load(name, path, load_inplace, slow))

    async def unload(self, name: str, *, slow: float = 1.0) -> None:
        """Unload the adapter `name`; `slow` multiplies the time.

        Raises:
            EngineError: if the engine refuses, with the text of its flavor.
            EngineClosed: if the container stops first.
        """
        self.ensure_open()
        await self._background.run(self._unload(name, slow))

    def is_reloadable(self, name: str) -> bool:
        """Return whether an adapter is registered, or was until others evicted it from the registry."""
        return name in self.lora_registry or name in self._evicted

    async def reload_evicted(self, name: str, *, slow: float = 1.0) -> None:
        """Load an adapter again that was evicted from the registry and is requested now."""
        if name in self._evicted and name not in self.lora_registry:
            await self.load(name, self._evicted[name], slow=slow)

    def use(self, name: str) -> bool:
        """Mark an adapter as used. Return whether its weights were in memory; if not, they have to be loaded.

        Raises:
            EngineError: if the adapter is not registered.
        """
        return self.lora_registry.use(name)

    def kill_core(self) -> None:
        """Kill the engine's core: as `crash_core`, but `/health` stays 200 until the server ends, as recorded."""
        self.crash_core("the engine core was killed")
        self.reports_healthy = True

    def crash_core(self, reason: str) -> None:
        """Fail the engine's core: all requests fail from now on, `/health` returns 503, and the server ends soon."""
        if not self.healthy:
            return
        self.healthy = self.reports_healthy = False
        self.runner.frontend.fail(_core_failed)
        if self._on_death is not None:
            self._on_death(reason)

    def shut_down(self) -> None:
        """End all requests, as vLLM does after SIGTERM and its `--shutdown-timeout`; in older releases they hang."""
        if self.config.quirks.aborts_at_sigterm:
            self.runner.frontend.abort_all()
        else:
            self.runner.scheduler.hold()

    def close(self) -> None:
        """Stop the container: waiting callers get `EngineClosed`, and there are no more events."""
        self._closed = True
        self.healthy = self.reports_healthy = False
        self.runner.frontend.fail(_closed_error)
        self._background.cancel_all(_closed_error)

    # Implementation

    async def _load(self, name: str, path: str, load_inplace: bool, slow: float) -> None:
        if not name or not path:
            raise self._error_texts.incomplete_load()
        async with self._lock(name):
            self.lora_registry.ensure_available(name, load_inplace=load_inplace)
            self.ensure_alive()
            seconds = self._load_latency.draw(self._rng)
            artifact = self.lora_registry.resolve(name, path)
            seconds += artifact.size / self.runner.timing.disk
            fetch_seconds = self._fetch(path) if self._fetch else 0.0
            error = self.lora_registry.validate(name, artifact)
            if error:
                await asyncio.sleep(fetch_seconds * slow)
            else:
                await self._load_weights((fetch_seconds + seconds) * slow, after=fetch_seconds * slow)
            self.ensure_alive()
            if error:
                raise error
            self.lora_registry.register(name, path, artifact, in_place=load_inplace)
            self._notify(AdapterEvent("loaded", name, path))
            await self._evict(slow)

    async def _unload(self, name: str, slow: float) -> None:
        if not name:
            raise self._error_texts.missing_unload_name()
        async with self._lock(name):
            await self._remove(name, slow)
            self._evicted.pop(name, None)

    async def _remove(self, name: str, slow: float) -> None:
        """Unload a name whose lock the caller has."""
        quirks = self.config.quirks
        entry = self.lora_registry.entry(name)
        seconds = self._unload_latency.draw(self._rng)
        if quirks.unload_drains:
            self.lora_registry.unregister(name)
            await self.runner.wait_drained(name)
        await asyncio.sleep(seconds * slow)
        if quirks.unload_removes:
            self.ensure_alive()
            self.lora_registry.drop(entry)
        if not quirks.unload_drains:
            self.lora_registry.unregister(name)
        self._notify(AdapterEvent("unloaded", name, entry.root))

    async def _evict(self, slow: float) -> None:
        """Evict the least recently used adapters from a limited registry; the newest one is never among them."""
        limit = self.config.max_listed
        while limit and len(self.adapters) > limit:
            oldest = self.resident[0]
            self._evicted[oldest] = self.adapters[oldest]
            await self._remove(oldest, slow)

    def _lock(self, name: str) -> asyncio.Lock:
        """Return the lock for changes of one name, or of all names if the flavor has one lock."""
        return self._locks["" if self.config.quirks.changes_in_line else name]

    async def _load_weights(self, seconds: float, *, after: float) -> None:
        """Load weights; from `after` seconds on they go to the GPU, which slows the scheduler's steps."""
        started = False

        def start() -> None:
            nonlocal started
            started = True
            self.runner.scheduler.add_loading(1)

        timer = asyncio.get_running_loop().call_later(after, start)
        try:
            await asyncio.sleep(seconds)
        finally:
            timer.cancel()
            if started:
                self.runner.scheduler.add_loading(-1)

    def _identify(self, name: str) -> LoraIdentity:
        """Return the weights of a request that arrives now; an adapter that cannot be read again ends the core."""
        try:
            return self.lora_registry.identify(name)
        except ReloadError as error:
            self.crash_core(f"{name}: {error}")
            raise _core_failed() from error

    def _activate(self, name: str) -> float:
        """Return the seconds by which a step is delayed because a sequence of this adapter joins the batch."""
        if name not in self.lora_registry:  # unloaded while the request waited: its weights are still there
            return 0.0
        costs = self.runner.timing.lora or NO_COSTS
        copy = costs.cpu_to_gpu if costs.cpu_to_gpu and not self.lora_registry.is_active(name) else 0.0
        if self.lora_registry.use(name):
            return copy
        if costs.disk_to_cpu is not None:
            return costs.disk_to_cpu + copy
        size = self.lora_registry.entry(name).artifact.size
        return copy + self._load_latency.draw(self._generation_rng) + size / self.runner.timing.disk

    def _notify(self, event: AdapterEvent) -> None:
        if self._on_change is not None and not self._closed:
            self._on_change(event)


def _core_failed() -> EngineError:
    message = "EngineCore encountered an issue. See stack trace (above) for the root cause."
    return EngineError(500, "InternalServerError", message, exception="engine")


def _closed_error() -> EngineClosed:
    return EngineClosed("the engine's container has stopped")
