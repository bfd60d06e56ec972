"""The engine behind the HTTP face: which adapters it lists, whose weights it holds, how long changes take.

No HTTP in here (that is `wire.py`) and no clock: durations are drawn from the latencies handed in and waited
for with asyncio, so that the same engine runs on a socket and in a simulation.

Two things are easily taken for one. What is *listed* is a table of names; what is *resident* is a cache of
weights that drops the least recently used. They come apart when more adapters are registered than
`--max-cpu-loras`, and after unloads by releases that only forget the name (see `versions.py`).

A client that gives up does not stop the engine: each change is a task of the engine's own, and only `close`,
the death of the container, ends it early.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

import numpy as np

from fake_vllm.adapters import Artifact, Change, EngineClosed, EngineFault, Model, card
from fake_vllm.config import EngineConfig, EngineConfigError
from fake_vllm.generation import Completion, Generation, outcome
from fake_vllm.latency import Latency
from fake_vllm.pace import DEFAULT_PACE, Pace
from fake_vllm.weights import Weights

__all__ = [
    "Artifact",
    "Change",
    "Completion",
    "Engine",
    "EngineClosed",
    "EngineConfig",
    "EngineConfigError",
    "EngineFault",
    "Model",
]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A listed name. `weights` numbers what was put into the cache for it: a name can be given twice."""

    root: str
    weights: int
    artifact: Artifact


class Engine:
    """A running server's adapters. Static `--lora-modules` are there from the start and not announced."""

    def __init__(
        self,
        config: EngineConfig,
        *,
        load: Latency,
        unload: Latency,
        rng: np.random.Generator,
        on_change: Callable[[Change], None] | None = None,
        artifacts: Callable[[str], Artifact | None] | None = None,
        fetch: Callable[[str], float] | None = None,
        created: int = 0,
        pace: Pace = DEFAULT_PACE,
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
            artifacts: what is found under a path; None or `missing` is answered with 404. Everything is
                found and good if this is not given.
            fetch: extra seconds until the artifact of a path is on the pod.
            created: what the list of models gives as their time, in seconds since 1970.
            pace: how fast it computes.
            seed: what its texts depend on, beside adapter and prompt.
            chance: where it draws from while it generates, so that traffic does not shift the latencies of loads;
                made from the seed if not given.
            epoch: what seconds since 1970 were when the event loop's time was 0.
        """
        self.config = config
        self.healthy = True
        self._load_latency = load
        self._unload_latency = unload
        self._rng = rng
        self._on_change = on_change
        self._artifacts = artifacts
        self._fetch = fetch
        self._created = created
        self.seed = seed
        self.epoch = epoch
        self._chance = np.random.default_rng(seed) if chance is None else chance
        self.generation = Generation(config, pace, normal=self._chance.standard_normal, activate=self._activate)
        self._birth = f"{seed}/{created}/{config.port}/{self._chance.integers(1 << 32)}"
        self._answers = 0
        self._entries: dict[str, _Entry] = {}
        self._roots: dict[str, str] = {}
        self._weights = Weights(config.max_cpu_loras, config.lora_budget)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._work: dict[asyncio.Task[None], asyncio.Future[None]] = {}
        self._closed = False
        self._body: bytes | None = None
        self.adapters: Mapping[str, str] = MappingProxyType(self._roots)
        """Path by name of every adapter that is listed, oldest first."""
        self._load_static()

    # What others see

    @property
    def closed(self) -> bool:
        """Whether the container is gone."""
        return self._closed

    @property
    def resident(self) -> tuple[str, ...]:
        """Listed adapters whose weights are in memory, least recently used first."""
        return self._names_of(self._weights.numbers())

    @property
    def active(self) -> tuple[str, ...]:
        """Listed adapters that sit in one of the `max_loras` GPU slots, least recently used first."""
        return self._names_of(self._weights.numbers()[-self.config.max_loras :])

    @property
    def memory(self) -> int:
        """Bytes of weights in memory, those of forgotten names included."""
        return self._weights.held

    def models(self) -> list[Model]:
        """Base models first, then adapters in the order in which they came."""
        config = self.config
        base = [Model(name, config.model, None, config.max_model_len) for name in config.served_model_names]
        parent = config.served_model_names[0]
        return base + [Model(name, root, parent, None) for name, root in self._roots.items()]

    def models_body(self) -> bytes:
        """The body of `GET /v1/models`, kept until the list changes: audits ask by the hundred thousand."""
        if self._body is None:
            cards = [card(model, self._created) for model in self.models()]
            text = json.dumps({"object": "list", "data": cards}, separators=(",", ":"), ensure_ascii=False)
            self._body = text.encode()
        return self._body

    def adapter_of(self, model: str) -> str:
        """The adapter that a model's name stands for; empty for a base model.

        Raises:
            EngineFault: if there is no such model.
        """
        if model in self._entries:
            return model
        if model in self.config.served_model_names:
            return ""
        raise EngineFault(404, "NotFoundError", f"The model `{model}` does not exist.", param="model")

    def now(self) -> float:
        """Seconds since 1970, by the event loop's clock."""
        return self.epoch + asyncio.get_running_loop().time()

    def metrics_page(self) -> str:
        """The text of `/metrics`."""
        return self.generation.page(self.now(), float(self._created))

    def new_id(self) -> str:
        """An id that no other answer has, of this engine or another."""
        self._answers += 1
        return blake2b(f"{self._birth}/{self._answers}".encode(), digest_size=16).hexdigest()

    # What others do

    async def complete(self, model: str, prompt_tokens: int, output_tokens: int) -> Completion:
        """Have `model` answer a prompt of that length with that many tokens, without any HTTP or text.

        A caller that is cancelled takes its request off the engine.

        Raises:
            EngineFault: if the engine refuses, as vLLM would.
            EngineClosed: if the container dies first.
        """
        self.check_open()
        adapter = self.adapter_of(model)
        self.check_alive()
        if prompt_tokens + output_tokens > self.config.max_model_len:
            limit = self.config.max_model_len
            text = f"This model's maximum context length is {limit} tokens. However, you requested more."
            raise EngineFault(400, "BadRequestError", text)
        sequence = self.generation.submit(adapter, prompt_tokens, output_tokens, limit=output_tokens, ending="length")
        await self.generation.finished(sequence)
        return outcome(model, sequence)

    async def load(self, name: str, path: str, *, load_inplace: bool = False, slow: float = 1.0) -> None:
        """Register the adapter `name` and warm its weights; `slow` multiplies the time that takes.

        Raises:
            EngineFault: if the engine refuses, as vLLM would.
            EngineClosed: if the container dies first.
        """
        await self._run(self._load(name, path, load_inplace, slow))

    async def unload(self, name: str, *, slow: float = 1.0) -> None:
        """Take the adapter `name` off the list; `slow` multiplies the time that takes.

        Raises:
            EngineFault: if the engine refuses, as vLLM would.
            EngineClosed: if the container dies first.
        """
        await self._run(self._unload(name, slow))

    def warm(self, name: str) -> bool:
        """Whether an adapter is listed and its weights are in memory."""
        entry = self._entries.get(name)
        return entry is not None and entry.weights in self._weights

    def touch(self, name: str) -> bool:
        """Use an adapter: its weights become the most recently used ones.

        Returns whether they were in memory; if not, they have been read again, which costs the caller a load.

        Raises:
            EngineFault: if no such adapter is listed.
        """
        entry = self._entry(name)
        held = entry.weights in self._weights
        self._weights.keep(entry.weights, entry.artifact.size)
        return held

    def die(self) -> None:
        """The engine's core fails while its HTTP face still answers: health turns 503, changes fail."""
        self.healthy = False
        self.generation.batch.fail(_dead)

    def close(self) -> None:
        """The container is gone: whoever waits gets `EngineClosed`, and nothing is announced any more."""
        self._closed = True
        self.healthy = False
        self.generation.batch.fail(_gone)
        for task, answer in list(self._work.items()):
            task.cancel()
            if not answer.done():
                _fail(answer, _gone())

    # How it is done

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` in a task of the engine's own, so that a caller who gives up takes nothing with him."""
        if self._closed:
            work.close()
            raise _gone()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        task = loop.create_task(work)
        self._work[task] = answer
        task.add_done_callback(self._finish)
        await answer

    def _finish(self, task: asyncio.Task[None]) -> None:
        answer = self._work.pop(task)
        if task.cancelled():
            if not answer.done():
                answer.cancel()
            return
        error = task.exception()
        if answer.done():
            return
        if error is None:
            answer.set_result(None)
        else:
            _fail(answer, error)

    async def _load(self, name: str, path: str, load_inplace: bool, slow: float) -> None:
        if not name or not path:
            raise EngineFault(400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.")
        async with self._locks[name]:
            self._check_not_loaded(name, load_inplace)
            self.check_alive()
            seconds = self._load_latency.draw(self._rng)
            artifact = self._find(name, path)
            fetching = self._fetch(path) if self._fetch else 0.0
            complaint = self._unusable(artifact)
            if complaint:
                await asyncio.sleep(fetching * slow)
            else:
                await self._read((fetching + seconds) * slow, after=fetching * slow)
            self.check_alive()
            if complaint:
                raise EngineFault(500, "InternalServerError", complaint)
            held = self._entries.get(name)
            self._take_in(name, _Entry(path, held.weights if held else self._weights.new(), artifact))
            self._announce(Change("loaded", name, path))

    async def _unload(self, name: str, slow: float) -> None:
        if not name:
            raise EngineFault(400, "InvalidUserInput", "'lora_name' needs to be provided to unload a LoRA adapter.")
        async with self._locks[name]:
            entry = self._entry(name)
            seconds = self._unload_latency.draw(self._rng)
            await asyncio.sleep(seconds * slow)
            if self.config.behaviour.unload_removes:
                self.check_alive()
                if not self._weights.drop(entry.weights):
                    message = f"Failed to remove lora adapter '{name}' from the engine."
                    raise EngineFault(500, "InternalServerError", message)
            del self._entries[name]
            del self._roots[name]
            self._body = None
            self._announce(Change("unloaded", name, entry.root))

    def _load_static(self) -> None:
        for name, path in self.config.lora_modules:
            try:
                self._check_not_loaded(name, load_inplace=False)
                artifact = self._find(name, path)
                if complaint := self._unusable(artifact):
                    raise EngineFault(500, "InternalServerError", complaint)
                self._take_in(name, _Entry(path, self._weights.new(), artifact))
            except EngineFault as fault:
                raise EngineConfigError(f"--lora-modules {name}={path}: {fault.message}") from fault

    def _check_not_loaded(self, name: str, load_inplace: bool) -> None:
        known = self.config.behaviour.load_inplace
        if name not in self._entries or (load_inplace and known):
            return
        hint = " If you want to load the adapter in place, set 'load_inplace' to True." if known else ""
        raise EngineFault(400, "InvalidUserInput", f"The lora adapter '{name}' has already been loaded.{hint}")

    def check_alive(self) -> None:
        """Raises `EngineFault` if the engine's core is dead."""
        if not self.healthy:
            raise _dead()

    def check_open(self) -> None:
        """Raises `EngineClosed` if the container is gone."""
        if self._closed:
            raise _gone()

    async def _read(self, seconds: float, *, after: float) -> None:
        """Get weights, and from `after` on put them where the GPU can use them, which slows who is being answered."""
        begun = False

        def begin() -> None:
            nonlocal begun
            begun = True
            self.generation.batch.loading(1)

        timer = asyncio.get_running_loop().call_later(after, begin)
        try:
            await asyncio.sleep(seconds)
        finally:
            timer.cancel()
            if begun:
                self.generation.batch.loading(-1)

    def _activate(self, name: str) -> float:
        """Seconds that a step is held up because a sequence of this adapter joins the batch."""
        entry = self._entries.get(name)
        if entry is None:  # unloaded while the request waited: its weights are at hand
            return 0.0
        held = entry.weights in self._weights
        self._weights.keep(entry.weights, entry.artifact.size)
        return 0.0 if held else self._load_latency.draw(self._chance)

    def _find(self, name: str, path: str) -> Artifact:
        artifact = self._artifacts(path) if self._artifacts else Artifact()
        if artifact is None or artifact.missing:
            raise EngineFault(404, "NotFoundError", f"Loading lora {name} failed: No adapter found for {path}")
        return artifact

    def _unusable(self, artifact: Artifact) -> str:
        """What the engine says about weights that it cannot use; empty if it can."""
        if not self.config.enable_lora:
            return "LoRA is not enabled. Use --enable-lora to enable LoRA."
        limit = self.config.max_lora_rank
        if artifact.rank > limit:
            return f"LoRA rank {artifact.rank} is greater than max_lora_rank {limit}."
        return artifact.broken

    def _take_in(self, name: str, entry: _Entry) -> None:
        """Hold the weights and list the name, unless memory does not suffice."""
        if not self._weights.fits(entry.weights, entry.artifact.size):
            message = f"CUDA out of memory. Tried to allocate {entry.artifact.size / (1 << 20):.2f} MiB."
            raise EngineFault(500, "InternalServerError", message)
        self._weights.keep(entry.weights, entry.artifact.size)
        self._entries[name] = entry
        self._roots[name] = entry.root
        self._body = None

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise EngineFault(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
        return self._entries[name]

    def _names_of(self, weights: list[int]) -> tuple[str, ...]:
        names = {entry.weights: name for name, entry in self._entries.items()}
        return tuple(names[number] for number in weights if number in names)

    def _announce(self, change: Change) -> None:
        if self._on_change is not None and not self._closed:
            self._on_change(change)


def _dead() -> EngineFault:
    message = "EngineCore encountered an issue. See stack trace (above) for the root cause."
    return EngineFault(500, "InternalServerError", message)


def _gone() -> EngineClosed:
    return EngineClosed("the engine's container has stopped")


def _fail(answer: asyncio.Future[None], error: BaseException) -> None:
    answer.set_exception(error)
    answer.exception()  # marks it as seen: a caller cancelled in this very moment will not look
