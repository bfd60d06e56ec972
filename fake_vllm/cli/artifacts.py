"""Resolution of an adapter's path: local files, and a catalogue of repositories.

A local path that exists is read as vLLM reads it: `adapter_config.json`, then the header of the safetensors file.
Errors have vLLM's texts (`vllm/lora/peft_helper.py`, `vllm/lora/lora_model.py`). A repository is resolved with the
catalogue; without one, every repository exists and is valid.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fake_vllm.cli.artifact_digest import digest_of
from fake_vllm.cli.profile import ProfileError, document, mapping
from fake_vllm.engine.lora import DEFAULT_ARTIFACT_SIZE, Artifact
from formats.durations import parse_duration
from formats.quantities import parse_size

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "embed_tokens", "lm_head")
"""Target modules of the fake's base model: those of Llama, Qwen and Mistral."""
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt")
_ENTRY = ("rank", "size", "base", "missing", "broken", "fetch")


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One adapter of a catalogue; `fetch`: seconds to download it."""

    artifact: Artifact
    base: str = ""
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
    """Resolves the adapters of an engine that serves `model`."""

    def __init__(self, model: str, catalogue: ArtifactCatalogue | None = None) -> None:
        self._model = model
        self._catalogue = catalogue
        self._fetched: set[str] = set()

    def find(self, path: str) -> Artifact | None:
        """Return the artifact at a path, None if it does not exist."""
        local = os.path.expanduser(path)
        if local and "\0" not in local and os.path.exists(local):
            artifact = look_at(Path(local), self._model)
            return None if artifact is None else replace(artifact, digest=digest_of(Path(local)))
        if self._catalogue is None:
            return Artifact()
        entry = self._catalogue.entries.get(path)
        if entry is None:
            return None
        if entry.base and entry.base != self._model and not entry.artifact.broken:
            return Artifact(entry.artifact.rank, entry.artifact.size, broken=_other_base(path, entry.base))
        return entry.artifact

    def fetch(self, path: str) -> float:
        """Return the seconds that the download takes; 0 if it was downloaded before."""
        entry = self._catalogue.entries.get(path) if self._catalogue is not None else None
        if entry is None or path in self._fetched:
            return 0.0
        self._fetched.add(path)
        return entry.fetch


def look_at(folder: Path, model: str) -> Artifact | None:
    """Return the adapter in a folder; None if `adapter_config.json` is missing, which vLLM reads first."""
    try:
        config = json.loads((folder / "adapter_config.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        return Artifact(broken=f"adapter_config.json: {error}")
    if not isinstance(config, dict) or not isinstance(config.get("r"), int):
        return Artifact(
            broken="PEFTHelper.__init__() missing 1 required positional argument: 'r' in adapter_config.json"
        )
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        return Artifact(rank=config["r"], broken=f"{folder} doesn't contain tensors, adapter_config.json aside")
    broken = _unsupported(config) or _wrong_base(folder, config, model) or _wrong_weights(folder, weights)
    return Artifact(rank=config["r"], size=weights.stat().st_size, broken=broken)


def _unsupported(config: Mapping[str, Any]) -> str:
    """Return the error of `PEFTHelper.validate_legal` for a configuration, except for its rank; empty if valid."""
    if config.get("bias", "none") != "none":
        return "Adapter bias is not supported: bias in adapter_config.json."
    if config.get("modules_to_save"):
        return "vLLM only supports modules_to_save being None, see adapter_config.json."
    if config.get("use_dora"):
        return "vLLM does not yet support DoRA, see use_dora in adapter_config.json."
    return ""


def _wrong_base(folder: Path, config: Mapping[str, Any], model: str) -> str:
    """Return the error for another base model; only repository names are compared, since paths have no meaning."""
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not _is_repository(base) or not _is_repository(model) or base == model:
        return ""
    return _other_base(str(folder), base)


def _other_base(where: str, base: str) -> str:
    return (
        f"While loading {where}, expected target modules in {list(MODULES)} but received those of {base}."
        " Please verify that the loaded LoRA module is correct"
    )


def _wrong_weights(folder: Path, weights: Path) -> str:
    if weights.suffix != ".safetensors":
        return ""
    from safetensors import SafetensorError, safe_open  # imported only if there are real adapters

    try:
        with safe_open(weights, framework="numpy") as file:
            names = list(file.keys())
    except (SafetensorError, OSError) as error:
        return f"{error} ({weights.name}, safetensors)"
    received = {module for name in names if (module := _module(name)) not in MODULES}
    if not received:
        return ""
    return (
        f"While loading {folder}, expected target modules in {list(MODULES)} but received {sorted(received)}."
        " Please verify that the loaded LoRA module is correct"
    )


def _module(tensor: str) -> str:
    """Return the module of a tensor such as `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`."""
    parts = tensor.split(".")
    at = next((at for at, part in enumerate(parts) if part.startswith(("lora_A", "lora_B", "lora_embedding"))), 0)
    return parts[at - 1] if at else tensor


def _is_repository(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith(("/", "."))


def _entry(config: object, path: str, name: str) -> CatalogueEntry:
    entry = mapping(config, path, f"{name}.", _ENTRY)
    rank, base, broken = entry.get("rank", 8), entry.get("base", ""), entry.get("broken", "")
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ProfileError(f"{path}: {name}.rank: {rank!r} is not a whole number above 0")
    for key, value in (("base", base), ("broken", broken)):
        if not isinstance(value, str):
            raise ProfileError(f"{path}: {name}.{key}: {value!r} is not text")
    missing = entry.get("missing", False)
    if not isinstance(missing, bool):
        raise ProfileError(f"{path}: {name}.missing: {missing!r} is neither true nor false")
    try:
        size = int(parse_size(entry["size"])) if "size" in entry else DEFAULT_ARTIFACT_SIZE
        fetch = parse_duration(entry["fetch"]) if "fetch" in entry else 0.0
    except ValueError as error:
        raise ProfileError(f"{path}: {name}: {error}") from error
    return CatalogueEntry(Artifact(rank, size, missing, broken), base, fetch)
