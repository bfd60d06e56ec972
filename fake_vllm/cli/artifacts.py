"""Resolution of an adapter's path: local files, and a catalogue of repositories.

A local path that exists is checked as vLLM checks it (`fake_vllm/peft`). Anything else is resolved with the catalogue;
without one, every repository and every folder exists and is valid.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake_vllm.cli.artifact_digest import digest_of
from fake_vllm.cli.profile import ProfileError, document, mapping
from fake_vllm.engine.lora import DEFAULT_ARTIFACT_SIZE, Artifact
from fake_vllm.peft.folder import AdapterCheck, read_adapter
from fake_vllm.peft.rules import AdapterRefusedError
from formats.durations import parse_duration
from formats.quantities import parse_size

_ENTRY = ("rank", "size", "missing", "broken", "config", "fetch")


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One adapter of a catalogue; `fetch`: seconds to download it."""

    artifact: Artifact
    fetch: float = 0.0


@dataclass(frozen=True, slots=True)
class ArtifactCatalogue:
    """Repositories by name. Other repositories do not exist."""

    entries: Mapping[str, CatalogueEntry] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str) -> "ArtifactCatalogue":
        """Return the catalogue in a YAML file.

        Raises:
            ProfileError: if it cannot be read or used.
        """
        content = document(path)
        if not isinstance(content, Mapping):
            raise ProfileError(f"{path}: must be a mapping from repository to some of {', '.join(_ENTRY)}")
        return cls({str(name): _entry(config or {}, path, str(name)) for name, config in content.items()})


class ArtifactResolver:
    """Resolves the adapters of an engine.

    Args:
        check: what adapters in folders are checked against.
        catalogue: the repositories that exist; None: all that are asked for, and all folders.
    """

    def __init__(self, check: AdapterCheck, catalogue: ArtifactCatalogue | None = None) -> None:
        self._check = check
        self._catalogue = catalogue
        self._fetched: set[str] = set()

    def find(self, path: str) -> Artifact | None:
        """Return the artifact at a path, None if it does not exist."""
        local = _absolute(path)
        if local is not None:
            return self._look_at(local)
        if self._catalogue is None:
            return Artifact()
        entry = self._catalogue.entries.get(path)
        return None if entry is None else entry.artifact

    def fetch(self, path: str) -> float:
        """Return the seconds that the download takes; 0 if it was downloaded before."""
        entry = self._catalogue.entries.get(path) if self._catalogue is not None else None
        if entry is None or path in self._fetched:
            return 0.0
        self._fetched.add(path)
        return entry.fetch

    def _look_at(self, folder: str) -> Artifact | None:
        try:
            files = read_adapter(Path(folder), self._check)
        except AdapterRefusedError as error:
            return Artifact(broken=str(error))
        return None if files is None else Artifact(files.rank, files.size, digest=digest_of(Path(folder)))


def _absolute(path: str) -> str | None:
    """Return the folder that a path leads to; None if there is nothing, so that it may be a repository.

    A path that the system refuses to look at is a folder too: vLLM answers with the system's error.
    """
    local = os.path.expanduser(path) if path.startswith("~") else path
    try:
        os.stat(local or ".")
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return local
    return os.path.abspath(local) if path.strip() else None


def _entry(value: object, path: str, name: str) -> CatalogueEntry:
    if isinstance(value, Mapping) and "base" in value:
        raise ProfileError(f"{path}: {name}.base: vLLM does not read an adapter's base model; declare `broken: TEXT`")
    entry = mapping(value, path, f"{name}.", _ENTRY)
    rank, broken, config = entry.get("rank", 8), entry.get("broken"), entry.get("config")
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ProfileError(f"{path}: {name}.rank: {rank!r} is not a whole number above 0")
    if broken is not None and not isinstance(broken, str):
        raise ProfileError(f"{path}: {name}.broken: {broken!r} is not text")
    missing = entry.get("missing", False)
    if not isinstance(missing, bool):
        raise ProfileError(f"{path}: {name}.missing: {missing!r} is neither true nor false")
    if config is not None and not isinstance(config, Mapping):
        raise ProfileError(f"{path}: {name}.config: {config!r} is not a mapping of fields of adapter_config.json")
    try:
        size = int(parse_size(entry["size"])) if "size" in entry else DEFAULT_ARTIFACT_SIZE
        fetch = parse_duration(entry["fetch"]) if "fetch" in entry else 0.0
    except ValueError as error:
        raise ProfileError(f"{path}: {name}: {error}") from error
    return CatalogueEntry(Artifact(rank, size, missing, broken, config and adapter_config(rank, config)), fetch)


def adapter_config(rank: int, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the `adapter_config.json` of a good adapter with some fields replaced."""
    return {"r": rank, "lora_alpha": 2 * rank, "target_modules": ["q_proj", "v_proj"], **fields}
