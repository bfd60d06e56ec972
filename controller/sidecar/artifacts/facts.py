"""Facts about an adapter that its `adapter_config.json` and the sizes of its weights tell, without the weights.

The rank is the largest that vLLM compares with `--max-lora-rank`: `r`, or a larger one in `rank_pattern`
(`PEFTHelper.validate_legal`, vLLM 0.32). A value that no usual adapter has is left out, since facts are shown in the
status of a ModelAdapter and the file may be any document.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.sidecar.artifacts.stores import UNKNOWN

CONFIG = "adapter_config.json"
MAX_CONFIG_BYTES = 4 << 20
_MAX_RANK = (1 << 31) - 1
"""Larger ones, which no engine takes, are shown as this: the field of a status has 32 bits."""
_MAX_MODULES = 64
_WEIGHTS = (".safetensors", ".bin", ".pt")
_MODULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MODEL = re.compile(r"[A-Za-z0-9./_~-][A-Za-z0-9./_~:@+ -]{0,252}")


@dataclass(frozen=True, slots=True)
class ArtifactFacts:
    """Facts about an adapter.

    Attributes:
        rank: largest rank of its weights; 0 if unknown.
        size: bytes of its weights; 0 if unknown.
        target_modules: names of the modules that it changes, sorted; empty if unknown, or if they are a pattern.
        base_model: model that it was trained on; empty if unknown.
    """

    rank: int = 0
    size: int = 0
    target_modules: tuple[str, ...] = ()
    base_model: str = ""


def read_facts(config: bytes, sizes: Mapping[str, int]) -> ArtifactFacts:
    """Return what a configuration and the sizes of the files tell; `sizes`: bytes by name, UNKNOWN for some."""
    try:
        fields = json.loads(config)
    except (ValueError, RecursionError):
        fields = None
    fields = fields if isinstance(fields, dict) else {}
    weights = [size for name, size in sizes.items() if name.endswith(_WEIGHTS)]
    base = fields.get("base_model_name_or_path")
    return ArtifactFacts(
        rank=_rank(fields),
        size=0 if UNKNOWN in weights else sum(weights),
        target_modules=_modules(fields.get("target_modules")),
        base_model=base if isinstance(base, str) and _MODEL.fullmatch(base) else "",
    )


def facts_of_folder(folder: Path) -> ArtifactFacts:
    """Return what the files of a folder tell; nothing if it has no configuration of a usual size.

    Raises:
        OSError: a file cannot be read.
    """
    config = folder / CONFIG
    if not config.is_file() or config.stat().st_size > MAX_CONFIG_BYTES:
        return ArtifactFacts()
    return read_facts(config.read_bytes(), {path.name: path.stat().st_size for path in folder.iterdir()})


def _rank(fields: Mapping[str, Any]) -> int:
    pattern = fields.get("rank_pattern")
    ranks = (fields.get("r"), *(pattern.values() if isinstance(pattern, dict) else ()))
    return max((min(rank, _MAX_RANK) for rank in ranks if type(rank) is int and rank > 0), default=0)


def _modules(value: object) -> tuple[str, ...]:
    """Return the names of a list of modules; PEFT also allows one text, which may be a pattern."""
    names: Iterable[object] = value if isinstance(value, list) else ()
    modules = {name for name in names if isinstance(name, str) and _MODULE.fullmatch(name)}
    return tuple(sorted(modules)[:_MAX_MODULES])
