"""Adapters' files: how large they are, and how long it takes to get them onto a pod.

What is known of an artifact comes from the ModelAdapters in the store (`additionalConfig.rank`), looked up by
the path under which an engine is asked for it. A download takes size over bandwidth; each has the bandwidth to
itself: a link shared by many pods is not simulated. An absolute path is on the pod already.
"""

from dataclasses import dataclass

from fake_vllm.adapters import DEFAULT_ARTIFACT_SIZE, Artifact
from twin.apiserver import Change, Store

MODEL_ADAPTERS = "modeladapters.model.aibrix.ai"
_HUB_SCHEMES = ("huggingface://", "hf://")  # sent to an engine without the scheme: it asks the hub by itself


@dataclass(frozen=True, slots=True)
class ArtifactSettings:
    """Sizes in bytes, bandwidth in bytes per second."""

    bandwidth: float = 250e6  # 2 Gbit/s
    size: int = DEFAULT_ARTIFACT_SIZE
    """Of an adapter that gives no rank, or where `per_rank` is not set."""
    per_rank: int | None = None
    """For each unit of rank: LoRA weights grow with it."""


class Artifacts:
    """What lies behind the paths that engines are asked to load."""

    def __init__(self, store: Store, settings: ArtifactSettings) -> None:
        self._settings = settings
        self._known: dict[str, Artifact] = {}
        self._unknown = Artifact(size=settings.size)
        store.subscribe(self._on_adapter, MODEL_ADAPTERS)

    def find(self, path: str) -> Artifact:
        """The artifact of a path as sent to an engine; one of the default size if no adapter said more."""
        return self._known.get(path, self._unknown)

    def seconds(self, path: str) -> float:
        """How long the download takes."""
        if path.startswith("/"):
            return 0.0
        return self.find(path).size / self._settings.bandwidth

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
