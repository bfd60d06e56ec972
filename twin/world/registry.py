"""The registry of adapters: sizes, download times, and errors.

Properties of an artifact come from the ModelAdapters in the store (`additionalConfig.rank`), by the path that is sent
to an engine. A download takes size over bandwidth; each download has the whole bandwidth, a shared link is not
simulated. An absolute path is already on the pod and needs no registry; `files` says which of them exist.

`Artifacts.download` is used by engines and sidecars; what they keep on their own disk is their own state.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from controller.api.spec import artifact_of
from fake_vllm.engine.lora import DEFAULT_ARTIFACT_SIZE, Artifact
from twin.apiserver import Change, Store

MODEL_ADAPTERS = "modeladapters.model.aibrix.ai"
_HUB_SCHEMES = ("huggingface://", "hf://")  # sent to an engine without the scheme
_NO_FILE = Artifact(missing=True)
_BROKEN = "Error while deserializing header: invalid header length"  # safetensors' error for a truncated file

RegistryError = Literal["", "unreachable", "missing", "forbidden", "corrupt", "deleted"]
"""`deleted`: the files are gone from the pods' disks; the registry has no fault."""


@dataclass(frozen=True, slots=True)
class ArtifactSettings:
    """Sizes in bytes, bandwidth in bytes per second."""

    bandwidth: float = 250e6  # 2 Gbit/s
    size: int = DEFAULT_ARTIFACT_SIZE
    """Size of an adapter without a rank, or if `per_rank` is not set."""
    per_rank: int | None = None
    """Bytes per unit of rank; LoRA weights grow with it."""
    files: Mapping[str, Artifact] | None = None
    """Adapters by their absolute path on the pods; no others exist there. None: every path has a valid one."""
    latency: float = 0.05
    """Seconds for the registry's list of files. Engines that download by themselves do not request it."""


@dataclass(frozen=True, slots=True)
class RegistryRule:
    """A fault of the registry. `artifacts` are URLs with `*` as in a shell; empty matches all."""

    error: RegistryError = ""
    artifacts: Sequence[str] = ()
    factor: float = 1.0
    """Factor by which downloads are slower."""

    def matches(self, path: str) -> bool:
        """Return True if the fault applies to the artifact at an engine's `path`."""
        return not self.artifacts or any(fnmatchcase(path, engine_path(pattern)) for pattern in self.artifacts)


@dataclass(frozen=True, slots=True)
class Download:
    """Result of a download."""

    artifact: Artifact
    """The artifact; `missing` if there was no download, `broken` if the file is corrupt."""
    seconds: float
    """Duration of the download."""
    error: RegistryError = ""
    """The registry's error; engines treat `forbidden` and `unreachable` like `missing`."""


class Artifacts:
    """The artifacts behind the paths that engines load."""

    def __init__(self, store: Store, settings: ArtifactSettings) -> None:
        self._settings = settings
        self.latency = settings.latency
        self._by_path: dict[str, Artifact] = {}
        self._default = Artifact(size=settings.size)
        self._found: dict[str, Artifact] = {}
        self._rules: dict[int, RegistryRule] = {}
        store.subscribe(self._on_adapter, MODEL_ADAPTERS)

    def add(self, fault: int, rule: RegistryRule) -> Callable[[], object]:
        """Activate a fault; return the function that ends it."""
        self._rules[fault] = rule
        return lambda: self._rules.pop(fault, None)

    def find(self, path: str) -> Artifact:
        """Return the artifact of an engine's path; one of the default size if no adapter has a rank for it."""
        artifact = self._found.get(path)
        if artifact is None:
            artifact = self._found[path] = replace(self._known(path), digest=artifact_of(path))
        return artifact

    def stored(self, path: str) -> Artifact:
        """Return the artifact that a pod has on its disk; missing while a fault has deleted a file there."""
        rules = [rule for rule in self._rules.values() if rule.error == "deleted" and rule.matches(path)]
        return _NO_FILE if rules and path.startswith("/") else self.find(path)

    def download(self, url: str) -> Download:
        """Download a URL, or the artifact of an engine's path."""
        path = engine_path(url)
        artifact = self.stored(path)
        if path.startswith("/"):
            return Download(artifact, 0.0)
        rules = [rule for rule in self._rules.values() if rule.matches(path) and rule.error != "deleted"]
        seconds = artifact.size / self._settings.bandwidth
        for rule in rules:
            seconds *= rule.factor
        error: RegistryError = next((rule.error for rule in rules if rule.error), "")
        match error:
            case "":
                return Download(artifact, seconds)
            case "corrupt":
                return Download(replace(artifact, broken=_BROKEN), seconds, error)
        return Download(replace(artifact, missing=True), 0.0, error)

    def _known(self, path: str) -> Artifact:
        """Return the artifact of a path: as declared for a file, else as the adapters' ranks say."""
        if self._settings.files is not None and path.startswith("/"):
            return self._settings.files.get(path, _NO_FILE)
        return self._by_path.get(path, self._default)

    def _on_adapter(self, change: Change) -> None:
        spec = change.object.get("spec") or {}
        rank = (spec.get("additionalConfig") or {}).get("rank", "")
        if change.type != "DELETED" and rank.isdecimal() and int(rank) > 0:
            path = engine_path(spec["artifactURL"])
            self._by_path[path] = Artifact(rank=int(rank), size=self._size(int(rank)))
            self._found.pop(path, None)

    def _size(self, rank: int) -> int:
        per_rank = self._settings.per_rank
        return self._settings.size if per_rank is None else per_rank * rank


def engine_path(url: str) -> str:
    """Return the path that is sent to an engine for an artifact URL."""
    for scheme in _HUB_SCHEMES:
        if url.startswith(scheme):
            return url.removeprefix(scheme)
    return url
