"""The engine behind the HTTP face: its adapters come and go, its answers are computed, and each takes its time.

No HTTP in here (that is `wire.py`) and no clock: durations are drawn from the latencies handed in and waited
for with asyncio, so that the same engine runs on a socket and in a simulation. What is listed and held is in
`listing.py`, what is computed in `generation.py`.

A client that gives up does not stop the engine: each change is a task of the engine's own (`ownwork.py`), and only
`close`, the death of the container, ends it early.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from hashlib import blake2b

import numpy as np

from fake_vllm.distributions import Latency
from fake_vllm.engine.background import BackgroundTasks
from fake_vllm.engine.config import EngineConfig, EngineConfigError
from fake_vllm.engine.lora import AdapterEvent, Artifact, EngineClosed, EngineError, Model
from fake_vllm.engine.lora_registry import LoraRegistry
from fake_vllm.engine.runner import Completion, ModelRunner, completion_of
from fake_vllm.engine.timing import DEFAULT_TIMING, StepTimeModel
from fake_vllm.flavors import FLAVORS

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


class Engine:
    """A running server. Static adapters are there from the start and not announced."""

    def __init__(
        self,
        config: EngineConfig,
        *,
        load: Latency,
        unload: Latency,
        rng: np.random.Generator,
        on_change: Callable[[AdapterEvent], None] | None = None,
        artifacts: Callable[[str], Artifact | None] | None = None,
        fetch: Callable[[str], float] | None = None,
        created: int = 0,
        timing: StepTimeModel = DEFAULT_TIMING,
        seed: int = 0,
        chance: np.random.Generator | None = None,
        epoch: float = 0.0,
    ) -> None:
        """Start with nothing but the base model.

        Args:
            config: what the server was told on its command line.
            load: seconds from an artifact on the pod to an adapter that serves.
            unload: seconds that an unload takes.
            rng: where those are drawn from.
            on_change: told of each adapter that came or went, at once, while the engine lives.
            artifacts: what is under a path, None for nothing; without it everything is there and good.
            fetch: extra seconds until the artifact of a path is on the pod.
            created: when it started, in seconds since 1970.
            timing: how fast it computes.
            seed: what its texts depend on, beside adapter and prompt.
            chance: where generating draws from, so that traffic does not shift loads; if None, made from the seed.
            epoch: what seconds since 1970 were when the event loop's time was 0.
        """
        self.config, self.seed, self.epoch = config, seed, epoch
        self.healthy = True
        self._load_latency, self._unload_latency, self._rng = load, unload, rng
        self._on_change, self._fetch, self._created = on_change, fetch, created
        self._generation_rng = np.random.default_rng(seed) if chance is None else chance
        self.runner = ModelRunner(config, timing, normal=self._generation_rng.standard_normal, activate=self._activate)
        self._id_prefix = f"{seed}/{created}/{config.port}/{self._generation_rng.integers(1 << 32)}"
        self._responses = 0
        self._error_texts = FLAVORS[config.dialect].errors
        self.lora_registry = LoraRegistry(config, FLAVORS[config.dialect], artifacts)
        self.adapters: Mapping[str, str] = self.lora_registry.roots
        """Path by name of every adapter that is listed, oldest first."""
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._evicted: dict[str, str] = {}
        self._background = BackgroundTasks()
        self._closed = False

    # What others see

    @property
    def closed(self) -> bool:
        """Whether the container is gone."""
        return self._closed

    @property
    def resident(self) -> tuple[str, ...]:
        """Listed adapters whose weights are in memory, least recently used first."""
        return self.lora_registry.resident

    @property
    def active(self) -> tuple[str, ...]:
        """Listed adapters that sit in one of the `max_loras` GPU slots, least recently used first."""
        return self.lora_registry.active

    @property
    def memory(self) -> int:
        """Bytes of weights in memory, those of forgotten names included."""
        return self.lora_registry.memory

    def models(self) -> list[Model]:
        """Base models first, then adapters in the order in which they came."""
        return self.lora_registry.models()

    def models_body(self) -> bytes:
        """The body of `GET /v1/models`."""
        return self.lora_registry.models_json(self._created)

    def is_resident(self, name: str) -> bool:
        """Whether an adapter is listed and its weights are in memory."""
        return self.lora_registry.is_resident(name)

    def requested_adapter(self, model: str) -> str:
        """The adapter that a model's name stands for; empty for a base model.

        Raises:
            EngineFault: if there is no such model.
        """
        if model in self.lora_registry:
            return model
        if model in self.config.served_model_names:
            return ""
        raise EngineError(404, "NotFoundError", f"The model `{model}` does not exist.", param="model")

    def now(self) -> float:
        """Seconds since 1970, by the event loop's clock."""
        return self.epoch + asyncio.get_running_loop().time()

    def metrics_page(self) -> str:
        """The text of `/metrics`."""
        return self.runner.metrics_page(self.now(), float(self._created))

    def new_id(self) -> str:
        """An id that no other answer has, of this engine or another."""
        self._responses += 1
        return blake2b(f"{self._id_prefix}/{self._responses}".encode(), digest_size=16).hexdigest()

    def ensure_alive(self) -> None:
        """Raises `EngineFault` if the engine's core is dead."""
        if not self.healthy:
            raise _dead()

    def ensure_open(self) -> None:
        """Raises `EngineClosed` if the container is gone."""
        if self._closed:
            raise _gone()

    # What others do

    async def complete(self, model: str, prompt_tokens: int, output_tokens: int) -> Completion:
        """Have `model` answer a prompt of that length with that many tokens, without any HTTP or text.

        A caller that is cancelled takes its request off the engine.

        Raises:
            EngineFault: if the engine refuses, as vLLM would.
            EngineClosed: if the container dies first.
        """
        self.ensure_open()
        adapter = self.requested_adapter(model)
        self.ensure_alive()
        if prompt_tokens + output_tokens > self.config.max_model_len:
            limit = self.config.max_model_len
            text = f"This model's maximum context length is {limit} tokens. However, you requested more."
            raise EngineError(400, "BadRequestError", text)
        sequence = self.runner.submit(adapter, prompt_tokens, output_tokens, limit=output_tokens, ending="length")
        await self.runner.wait_finished(sequence)
        return completion_of(model, sequence)

    async def load(self, name: str, path: str, *, load_inplace: bool = False, slow: float = 1.0) -> None:
        """Register the adapter `name` and warm its weights; `slow` multiplies the time that takes.

        Raises:
            EngineFault: if the engine refuses, in the words of its dialect.
            EngineClosed: if the container dies first.
        """
        self.ensure_open()
        await self._background.do(self._load(name, path, load_inplace, slow))

    async def unload(self, name: str, *, slow: float = 1.0) -> None:
        """Take the adapter `name` off the list; `slow` multiplies the time that takes.

        Raises:
            EngineFault: if the engine refuses, in the words of its dialect.
            EngineClosed: if the container dies first.
        """
        self.ensure_open()
        await self._background.do(self._unload(name, slow))

    def is_reloadable(self, name: str) -> bool:
        """Whether an adapter is listed, or was until others pushed it off the list."""
        return name in self.lora_registry or name in self._evicted

    async def reload_evicted(self, name: str, *, slow: float = 1.0) -> None:
        """Load an adapter again that was pushed off the list, since somebody wants an answer from it."""
        if name in self._evicted and name not in self.lora_registry:
            await self.load(name, self._evicted[name], slow=slow)

    def use(self, name: str) -> bool:
        """Use an adapter. Returns whether its weights were in memory; if not, reading them costs the caller a load.

        Raises:
            EngineFault: if no such adapter is listed.
        """
        return self.lora_registry.use(name)

    def crash_core(self) -> None:
        """The engine's core fails while its HTTP face still answers: health turns 503, changes fail."""
        self.healthy = False
        self.runner.scheduler.fail(_dead)

    def close(self) -> None:
        """The container is gone: whoever waits gets `EngineClosed`, and nothing is announced any more."""
        self._closed = True
        self.healthy = False
        self.runner.scheduler.fail(_gone)
        self._background.end(_gone)

    # How it is done

    async def _load(self, name: str, path: str, load_inplace: bool, slow: float) -> None:
        if not name or not path:
            raise self._error_texts.incomplete_load()
        async with self._lock(name):
            self.lora_registry.ensure_available(name, load_inplace=load_inplace)
            self.ensure_alive()
            seconds = self._load_latency.draw(self._rng)
            artifact = self.lora_registry.resolve(name, path)
            seconds += artifact.size / self.runner.timing.disk
            fetching = self._fetch(path) if self._fetch else 0.0
            error = self.lora_registry.validate(name, artifact)
            if error:
                await asyncio.sleep(fetching * slow)
            else:
                await self._load_weights((fetching + seconds) * slow, after=fetching * slow)
            self.ensure_alive()
            if error:
                raise error
            self.lora_registry.register(name, path, artifact)
            self._notify(AdapterEvent("loaded", name, path))
            await self._evict(slow)

    async def _unload(self, name: str, slow: float) -> None:
        if not name:
            raise self._error_texts.missing_unload_name()
        async with self._lock(name):
            await self._remove(name, slow)
            self._evicted.pop(name, None)

    async def _remove(self, name: str, slow: float) -> None:
        """Unload a name whose lock is held."""
        quirks = self.config.quirks
        entry = self.lora_registry.entry(name)
        seconds = self._unload_latency.draw(self._rng)
        if quirks.unload_drains:
            self.lora_registry.unregister(name)
            await self.runner.wait_drained(name)
        await asyncio.sleep(seconds * slow)
        if quirks.unload_removes:
            self.ensure_alive()
            if not self.lora_registry.drop(entry):
                raise self._error_texts.remove_failed(name)
        if not quirks.unload_drains:
            self.lora_registry.unregister(name)
        self._notify(AdapterEvent("unloaded", name, entry.root))

    async def _evict(self, slow: float) -> None:
        """Where the list itself has a limit, the least recently used go; the one that just came is not among them."""
        limit = self.config.max_listed
        while limit and len(self.adapters) > limit:
            oldest = self.resident[0]
            self._evicted[oldest] = self.adapters[oldest]
            await self._remove(oldest, slow)

    def _lock(self, name: str) -> asyncio.Lock:
        """Changes of one name take turns, or all changes do."""
        return self._locks["" if self.config.quirks.changes_in_line else name]

    async def _load_weights(self, seconds: float, *, after: float) -> None:
        """Get weights, and from `after` on put them where the GPU can use them, which slows who is being answered."""
        begun = False

        def begin() -> None:
            nonlocal begun
            begun = True
            self.runner.scheduler.add_loading(1)

        timer = asyncio.get_running_loop().call_later(after, begin)
        try:
            await asyncio.sleep(seconds)
        finally:
            timer.cancel()
            if begun:
                self.runner.scheduler.add_loading(-1)

    def _activate(self, name: str) -> float:
        """Seconds that a step is held up because a sequence of this adapter joins the batch."""
        if name not in self.lora_registry:  # unloaded while the request waited: its weights are at hand
            return 0.0
        if self.lora_registry.use(name):
            return 0.0
        size = self.lora_registry.entry(name).artifact.size
        return self._load_latency.draw(self._generation_rng) + size / self.runner.timing.disk

    def _notify(self, change: AdapterEvent) -> None:
        if self._on_change is not None and not self._closed:
            self._on_change(change)


def _dead() -> EngineError:
    message = "EngineCore encountered an issue. See stack trace (above) for the root cause."
    return EngineError(500, "InternalServerError", message)


def _gone() -> EngineClosed:
    return EngineClosed("the engine's container has stopped")
