"""Registry of an engine's adapters: the names that it lists, and the weights that are in memory.

*Registered* adapters are a table of names; *resident* ones have weights in a cache that evicts the least recently used.
They differ if more adapters are registered than `--max-cpu-loras`, and after unloads by releases that only remove the
name (see `versions.py`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from fake_vllm.engine.adapters.cache import LoraCache
from fake_vllm.engine.config import EngineConfig, EngineConfigError
from fake_vllm.engine.flavor import EngineFlavor
from fake_vllm.engine.lora import Artifact, EngineError, LoraIdentity, Model, ReloadError, weights_digest
from fake_vllm.peft.adapter_config import config_error


@dataclass(frozen=True, slots=True)
class RegisteredAdapter:
    """A registered name; `weights` is its key in the cache, since a name can be loaded again while old weights stay."""

    root: str
    weights: int
    artifact: Artifact
    identity: LoraIdentity
    in_place: bool = False
    """Loaded in place, so that the engine reads the files again at each use."""


class LoraRegistry:
    """Names and weights of one engine's adapters. Errors have the texts of the engine's flavor."""

    def __init__(
        self, config: EngineConfig, flavor: EngineFlavor, artifacts: Callable[[str], Artifact | None] | None
    ) -> None:
        """Create the registry with the adapters of the command line.

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
        self._base = LoraIdentity(weights_digest(config.model), "")
        self._body: bytes | None = None
        self.roots: Mapping[str, str] = MappingProxyType(self._roots)
        """Paths of the registered adapters by name, oldest first."""
        self._load_static()

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    # State

    @property
    def resident(self) -> tuple[str, ...]:
        """Registered adapters whose weights are in memory, least recently used first."""
        return self._names(self._cache.keys())

    @property
    def active(self) -> tuple[str, ...]:
        """Registered adapters in one of the `max_loras` GPU slots, least recently used first."""
        return self._names(self._cache.keys()[-self._config.max_loras :])

    @property
    def memory(self) -> int:
        """Bytes of weights in memory, including those of unregistered names."""
        return self._cache.used_bytes

    def models(self) -> list[Model]:
        """Return base models, then adapters in the order of their loads."""
        config = self._config
        base = [Model(name, config.model, None, config.max_model_len) for name in config.served_model_names]
        parent = config.served_model_names[0]
        return base + [Model(name, root, parent, None) for name, root in self._roots.items()]

    def models_json(self, created: int) -> bytes:
        """Return the body of `GET /v1/models`, cached until the list changes, since audits request it very often."""
        if self._body is None:
            cards = [self._flavor.model_card(model, created) for model in self.models()]
            text = json.dumps({"object": "list", "data": cards}, separators=(",", ":"), ensure_ascii=False)
            self._body = text.encode()
        return self._body

    def entry(self, name: str) -> RegisteredAdapter:
        """Return the adapter of a name.

        Raises:
            EngineError: if it is not registered.
        """
        if name not in self._entries:
            raise self._flavor.errors.not_loaded(name, self._entries)
        return self._entries[name]

    def is_resident(self, name: str) -> bool:
        """Return whether an adapter is registered and its weights are in memory."""
        entry = self._entries.get(name)
        return entry is not None and entry.weights in self._cache

    def is_active(self, name: str) -> bool:
        """Return whether an adapter is registered and in a GPU slot."""
        entry = self._entries.get(name)
        return entry is not None and entry.weights in self._cache.keys()[-self._config.max_loras :]

    # Loading

    def ensure_available(self, name: str, *, load_inplace: bool) -> None:
        """Raise `EngineError` if the name is the base model's, or registered and must not be replaced."""
        if self._config.quirks.base_names_conflict and name in self._config.served_model_names:
            raise self._flavor.errors.base_model_name(name)
        replaceable = self._config.quirks.load_inplace
        if name in self._entries and not (load_inplace and replaceable):
            raise self._flavor.errors.already_loaded(name, replaceable=replaceable)

    def resolve(self, name: str, path: str) -> Artifact:
        """Return the artifact at a path.

        Raises:
            EngineError: if it does not exist, or if the server takes no adapters.
        """
        if not self._config.enable_lora:
            raise self._flavor.errors.lora_disabled()
        artifact = self._artifacts(path) if self._artifacts else Artifact()
        if artifact is None or artifact.missing:
            raise self._flavor.errors.not_found(name, path)
        return artifact

    def validate(self, name: str, artifact: Artifact) -> EngineError | None:
        """Return the error of weights that exist but cannot be loaded, None if they can."""
        texts = self._flavor.errors
        if artifact.config is not None:
            error = config_error(artifact.config, self._config.quirks.peft, self._rank_limit)
            if error is not None:
                return texts.load_failed(error)
        elif artifact.rank > self._rank_limit:
            return texts.rank_too_high(name, artifact.rank, self._rank_limit)
        return None if artifact.broken is None else texts.load_failed(artifact.broken)

    def register(self, name: str, root: str, artifact: Artifact, *, in_place: bool = False) -> None:
        """Store the weights and register the name.

        Raises:
            EngineError: if there is not enough memory.
        """
        current = self._entries.get(name)
        weights = current.weights if current else self._cache.new_key()
        if not self._cache.fits(weights, artifact.size):
            raise self._flavor.errors.out_of_memory(artifact.size)
        self._cache.put(weights, artifact.size)
        self._entries[name] = RegisteredAdapter(
            root, weights, artifact, self._identity(name, root, weights, artifact), in_place
        )
        self._roots[name] = root
        self._body = None

    def use(self, name: str) -> bool:
        """Make an adapter's weights the most recently used ones. Return whether they were in memory before.

        Raises:
            EngineError: if the adapter is not registered.
        """
        entry = self.entry(name)
        resident = entry.weights in self._cache
        self._cache.put(entry.weights, entry.artifact.size)
        return resident

    def identify(self, name: str) -> LoraIdentity:
        """Return the weights that a request gets which arrives now; an empty name is the base model.

        Evicted weights are read from their path again, as those loaded in place are at each use. Changed files become
        the adapter's weights then.

        Raises:
            EngineError: if the adapter is not registered.
            ReloadError: if its files cannot be read again.
        """
        if not name:
            return self._base
        entry = self.entry(name)
        if entry.in_place or entry.weights not in self._cache:
            entry = self._read_again(name, entry)
        return entry.identity

    # Unloading

    def drop(self, entry: RegisteredAdapter) -> None:
        """Remove an adapter's weights, if they are in memory."""
        self._cache.remove(entry.weights)

    def unregister(self, name: str) -> None:
        """Remove a name."""
        del self._entries[name]
        del self._roots[name]
        self._body = None

    def _read_again(self, name: str, entry: RegisteredAdapter) -> RegisteredAdapter:
        """Return the adapter with the files that are at its path now.

        Raises:
            ReloadError: if they are missing, or refused as in a load.
        """
        if self._artifacts is None:
            return entry
        try:
            artifact = self.resolve(name, entry.root)
        except EngineError as error:
            raise ReloadError(error.message) from error
        if (refusal := self.validate(name, artifact)) is not None:
            raise ReloadError(refusal.message)
        if artifact == entry.artifact:
            return entry
        identity = self._identity(name, entry.root, entry.weights, artifact)
        self._entries[name] = entry = replace(entry, artifact=artifact, identity=identity)
        return entry

    def _identity(self, name: str, root: str, weights: int, artifact: Artifact) -> LoraIdentity:
        match self._config.quirks.prefix_key:
            case "path":
                cache_key = f"{name}\0{root}"
            case "name":
                cache_key = name
            case "load":
                cache_key = f"{weights}"
        return LoraIdentity(artifact.digest or weights_digest(root), cache_key)

    def _load_static(self) -> None:
        """Load the adapters of the command line; without a rank limit there, their highest rank is the limit."""
        artifacts: list[tuple[str, str, Artifact]] = []
        for name, path in self._config.lora_modules:
            try:
                artifacts.append((name, path, self.resolve(name, path)))
            except EngineError as error:
                raise self._refusal(error) from error
        self._rank_limit = self._rank_limit or max((artifact.rank for _, _, artifact in artifacts), default=0)
        for name, path, artifact in artifacts:
            try:
                self.ensure_available(name, load_inplace=False)
                if refusal := self.validate(name, artifact):
                    raise refusal
                self.register(name, path, artifact)
            except EngineError as error:
                raise self._refusal(error) from error

    def _refusal(self, error: EngineError) -> EngineConfigError:
        return EngineConfigError(error.message, flag=self._config.static_flag)

    def _names(self, weights: list[int]) -> tuple[str, ...]:
        names = {entry.weights: name for name, entry in self._entries.items()}
        return tuple(names[number] for number in weights if number in names)
