"""Which adapters an engine lists, and whose weights it holds.

Two things are easily taken for one. What is *listed* is a table of names; what is *resident* is a cache of weights
that drops the least recently used. They come apart when more adapters are registered than `--max-cpu-loras`, and after
unloads by releases that only forget the name (see `versions.py`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fake_vllm.engine.config import EngineConfig, EngineConfigError
from fake_vllm.engine.flavor import EngineFlavor
from fake_vllm.engine.lora import Artifact, EngineError, Model
from fake_vllm.engine.lora_cache import LoraCache


@dataclass(frozen=True, slots=True)
class RegisteredAdapter:
    """A listed name. `weights` numbers what was put into the cache for it: a name can be given twice."""

    root: str
    weights: int
    artifact: Artifact


class LoraRegistry:
    """One engine's table and cache. What it refuses, it refuses in the words of the engine's dialect."""

    def __init__(
        self, config: EngineConfig, flavor: EngineFlavor, artifacts: Callable[[str], Artifact | None] | None
    ) -> None:
        """Static adapters are there from the start.

        Raises:
            EngineConfigError: if one of them cannot be used.
        """
        self._config = config
        self._flavor = flavor
        self._artifacts = artifacts
        self._entries: dict[str, RegisteredAdapter] = {}
        self._roots: dict[str, str] = {}
        self._cache = LoraCache(config.max_cpu_loras, config.lora_budget)
        self._rank_limit = config.max_lora_rank
        self._body: bytes | None = None
        self.roots: Mapping[str, str] = MappingProxyType(self._roots)
        """Path by name of every adapter that is listed, oldest first."""
        self._load_static()

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    # What others see

    @property
    def resident(self) -> tuple[str, ...]:
        """Listed adapters whose weights are in memory, least recently used first."""
        return self._names(self._cache.keys())

    @property
    def active(self) -> tuple[str, ...]:
        """Listed adapters that sit in one of the `max_loras` GPU slots, least recently used first."""
        return self._names(self._cache.keys()[-self._config.max_loras :])

    @property
    def memory(self) -> int:
        """Bytes of weights in memory, those of forgotten names included."""
        return self._cache.used_bytes

    def models(self) -> list[Model]:
        """Base models first, then adapters in the order in which they came."""
        config = self._config
        base = [Model(name, config.model, None, config.max_model_len) for name in config.served_model_names]
        parent = config.served_model_names[0]
        return base + [Model(name, root, parent, None) for name, root in self._roots.items()]

    def models_json(self, created: int) -> bytes:
        """The body of `GET /v1/models`, kept until the list changes: audits ask by the hundred thousand."""
        if self._body is None:
            cards = [self._flavor.model_card(model, created) for model in self.models()]
            text = json.dumps({"object": "list", "data": cards}, separators=(",", ":"), ensure_ascii=False)
            self._body = text.encode()
        return self._body

    def entry(self, name: str) -> RegisteredAdapter:
        """What is listed under a name.

        Raises:
            EngineFault: if nothing is.
        """
        if name not in self._entries:
            raise self._flavor.errors.not_loaded(name, self._entries)
        return self._entries[name]

    def is_resident(self, name: str) -> bool:
        """Whether an adapter is listed and its weights are in memory."""
        entry = self._entries.get(name)
        return entry is not None and entry.weights in self._cache

    # Coming

    def ensure_available(self, name: str, *, load_inplace: bool) -> None:
        """Raises `EngineFault` if the name is taken, and must not be replaced."""
        known = self._config.quirks.load_inplace
        if name in self._entries and not (load_inplace and known):
            raise self._flavor.errors.already_loaded(name, replaceable=known)

    def resolve(self, name: str, path: str) -> Artifact:
        """What is under a path.

        Raises:
            EngineFault: if nothing is.
        """
        artifact = self._artifacts(path) if self._artifacts else Artifact()
        if artifact is None or artifact.missing:
            raise self._flavor.errors.not_found(name, path)
        return artifact

    def validate(self, name: str, artifact: Artifact) -> EngineError | None:
        """What the engine has against weights that it has found."""
        texts = self._flavor.errors
        if not self._config.enable_lora:
            return texts.lora_disabled()
        if artifact.rank > self._rank_limit:
            return texts.rank_too_high(name, artifact.rank, self._rank_limit)
        return texts.load_failed(artifact.broken) if artifact.broken else None

    def register(self, name: str, root: str, artifact: Artifact) -> None:
        """Hold the weights and list the name.

        Raises:
            EngineFault: if memory does not suffice.
        """
        held = self._entries.get(name)
        weights = held.weights if held else self._cache.new_key()
        if not self._cache.fits(weights, artifact.size):
            raise self._flavor.errors.out_of_memory(artifact.size)
        self._cache.put(weights, artifact.size)
        self._entries[name] = RegisteredAdapter(root, weights, artifact)
        self._roots[name] = root
        self._body = None

    def use(self, name: str) -> bool:
        """Use an adapter: its weights become the most recently used ones, and are read again if they were gone.

        Returns whether they were in memory.

        Raises:
            EngineFault: if no such adapter is listed.
        """
        entry = self.entry(name)
        held = entry.weights in self._cache
        self._cache.put(entry.weights, entry.artifact.size)
        return held

    # Going

    def drop(self, entry: RegisteredAdapter) -> bool:
        """Let go of an entry's weights; returns whether they were still held."""
        return self._cache.remove(entry.weights)

    def unregister(self, name: str) -> None:
        """Take a name off the list."""
        del self._entries[name]
        del self._roots[name]
        self._body = None

    def _load_static(self) -> None:
        """Adapters of the command line. Where it names no highest rank, theirs is it."""
        found: list[tuple[str, str, Artifact]] = []
        for name, path in self._config.lora_modules:
            try:
                found.append((name, path, self.resolve(name, path)))
            except EngineError as error:
                raise self._refusal(name, path, error) from error
        self._rank_limit = self._rank_limit or max((artifact.rank for _, _, artifact in found), default=0)
        for name, path, artifact in found:
            try:
                self.ensure_available(name, load_inplace=False)
                if refusal := self.validate(name, artifact):
                    raise refusal
                self.register(name, path, artifact)
            except EngineError as error:
                raise self._refusal(name, path, error) from error

    def _refusal(self, name: str, path: str, error: EngineError) -> EngineConfigError:
        return EngineConfigError(f"{self._config.static_flag} {name}={path}: {error.message}")

    def _names(self, weights: list[int]) -> tuple[str, ...]:
        names = {entry.weights: name for name, entry in self._entries.items()}
        return tuple(names[number] for number in weights if number in names)
