"""Adapters' files: how large they are, how long it takes to get them onto a pod, and what the registry says instead.

What is known of an artifact comes from the ModelAdapters in the store (`additionalConfig.rank`), looked up by
the path under which an engine is asked for it. A download takes size over bandwidth; each has the bandwidth to
itself: a link shared by many pods is not simulated. An absolute path is on the pod already, and no registry is asked.

`Artifacts.deliver` is the seam for whoever downloads; what it keeps on its own disk is its own business.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from fake_vllm.engine.lora import DEFAULT_ARTIFACT_SIZE, Artifact
from twin.apiserver import Change, Store

MODEL_ADAPTERS = "modeladapters.model.aibrix.ai"
_HUB_SCHEMES = ("huggingface://", "hf://")  # sent to an engine without the scheme: it asks the hub by itself
_BROKEN = "Error while deserializing header: invalid header length"  # safetensors, of a file that was cut off

Trouble = Literal["", "unreachable", "missing", "forbidden", "corrupt"]


@dataclass(frozen=True, slots=True)
class ArtifactSettings:
    """Sizes in bytes, bandwidth in bytes per second."""

    bandwidth: float = 250e6  # 2 Gbit/s
    size: int = DEFAULT_ARTIFACT_SIZE
    """Of an adapter that gives no rank, or where `per_rank` is not set."""
    per_rank: int | None = None
    """For each unit of rank: LoRA weights grow with it."""
    latency: float = 0.05
    """Seconds until the registry has said what an artifact consists of; engines that fetch by themselves don't ask."""


@dataclass(frozen=True, slots=True)
class RegistryRule:
    """One fault of the registry. `artifacts` are URLs, with `*` as in a shell; all if empty."""

    trouble: Trouble = ""
    artifacts: Sequence[str] = ()
    factor: float = 1.0
    """How many times as long a download takes."""

    def strikes(self, path: str) -> bool:
        """Whether it hits what engines call `path`."""
        return not self.artifacts or any(fnmatchcase(path, engine_path(pattern)) for pattern in self.artifacts)


@dataclass(frozen=True, slots=True)
class Download:
    """What comes of asking for an artifact."""

    artifact: Artifact
    """`missing` if none came, `broken` if what came is of no use."""
    seconds: float
    """How long it took to come."""
    trouble: Trouble = ""
    """What the registry did wrong; `forbidden` and `unreachable` look like `missing` to who does not ask more."""


class Artifacts:
    """What lies behind the paths that engines are asked to load."""

    def __init__(self, store: Store, settings: ArtifactSettings) -> None:
        self._settings = settings
        self.latency = settings.latency
        self._known: dict[str, Artifact] = {}
        self._unknown = Artifact(size=settings.size)
        self._rules: dict[int, RegistryRule] = {}
        store.subscribe(self._on_adapter, MODEL_ADAPTERS)

    def add(self, fault: int, rule: RegistryRule) -> Callable[[], object]:
        """Puts a fault into force; returns what ends it."""
        self._rules[fault] = rule
        return lambda: self._rules.pop(fault, None)

    def find(self, path: str) -> Artifact:
        """The artifact of a path as sent to an engine; one of the default size if no adapter said more."""
        return self._known.get(path, self._unknown)

    def deliver(self, url: str) -> Download:
        """What the registry gives now for a URL, or for the path under which an engine asks."""
        path = engine_path(url)
        artifact = self.find(path)
        if path.startswith("/"):
            return Download(artifact, 0.0)
        struck = [rule for rule in self._rules.values() if rule.strikes(path)]
        seconds = artifact.size / self._settings.bandwidth
        for rule in struck:
            seconds *= rule.factor
        trouble: Trouble = next((rule.trouble for rule in struck if rule.trouble), "")
        match trouble:
            case "":
                return Download(artifact, seconds)
            case "corrupt":
                return Download(replace(artifact, broken=_BROKEN), seconds, trouble)
        return Download(replace(artifact, missing=True), 0.0, trouble)

    def _on_adapter(self, change: Change) -> None:
        spec = change.object.get("spec") or {}
        rank = (spec.get("additionalConfig") or {}).get("rank", "")
        if change.type != "DELETED" and rank.isdecimal() and int(rank) > 0:
            self._known[engine_path(spec["artifactURL"])] = Artifact(rank=int(rank), size=self._size(int(rank)))

    def _size(self, rank: int) -> int:
        per_rank = self._settings.per_rank
        return self._settings.size if per_rank is None else per_rank * rank


def engine_path(url: str) -> str:
    """The path under which an engine is asked for an artifact URL."""
    for scheme in _HUB_SCHEMES:
        if url.startswith(scheme):
            return url.removeprefix(scheme)
    return url
