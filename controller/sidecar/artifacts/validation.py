"""Checks that a folder is a complete adapter, before the engine loads it.

Only headers are read, a few kilobytes per file, so the check is repeated for files from the cache. Rank, target modules
and base model are checked by the engine.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

from controller.sidecar.artifacts.stores import shown_name
from controller.sidecar.errors import Code, SidecarError

_MAX_JSON_BYTES = 4 << 20
_MAX_HEADER_BYTES = 16 << 20  # adapters of large mixture-of-experts models have several MB
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
}


def check_adapter(folder: Path) -> None:
    """Check the files of an adapter.

    Raises:
        SidecarError: if a file is missing or corrupt; the message names it.
    """
    config = folder / "adapter_config.json"
    if not config.is_file():
        raise _corrupt("it has no adapter_config.json")
    if not isinstance(_json(config), dict):
        raise _corrupt("adapter_config.json is not a JSON object")
    tensors = sorted(folder.glob("*.safetensors"))
    pickled = [path for path in (folder / "adapter_model.bin", folder / "adapter_model.pt") if path.is_file()]
    if not tensors and not pickled:
        raise _corrupt("it has no weights (adapter_model.safetensors)")
    for path in tensors:
        check_safetensors(path)
    for path in pickled:
        if not zipfile.is_zipfile(path):  # torch writes zip archives, which end with their directory
            raise _corrupt(f"{shown_name(path.name)} is not a complete torch file")


def check_safetensors(path: Path) -> None:
    """Check the header of a file against its size, as the safetensors library does.

    Raises:
        SidecarError: if they do not match.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
            raise _corrupt(f"{shown_name(path.name)} ends within its header")
        text = file.read(length)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise _corrupt(f"{shown_name(path.name)} has a header that is not a JSON object")
    spans = sorted(_span(shown_name(path.name), tensor) for name, tensor in header.items() if name != "__metadata__")
    end = 0
    for start, stop in spans:
        if start != end:
            raise _corrupt(f"{shown_name(path.name)} has a header with gaps or overlaps")
        end = stop
    if 8 + length + end != size:
        raise _corrupt(f"{shown_name(path.name)} has {size} bytes, its header states {8 + length + end}")


def _span(name: str, tensor: Any) -> tuple[int, int]:
    """Return the offsets of a tensor."""
    try:
        start, stop = tensor["data_offsets"]
        elements = 1
        for length in tensor["shape"]:
            if type(length) is not int or length < 0:
                raise TypeError
            elements *= length
        bits = _BITS.get(tensor["dtype"])
        if type(start) is not int or type(stop) is not int or not 0 <= start <= stop:
            raise TypeError
    except (TypeError, KeyError, ValueError):
        raise _corrupt(f"{name} has a header with an invalid tensor") from None
    if bits is not None and elements * bits != (stop - start) * 8:
        raise _corrupt(f"{name} has a header whose shapes and offsets do not match")
    return start, stop


def _json(path: Path) -> Any:
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise _corrupt(f"{shown_name(path.name)} is larger than {_MAX_JSON_BYTES} bytes")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise _corrupt(f"{shown_name(path.name)} is not valid JSON") from None


def _corrupt(message: str) -> SidecarError:
    return SidecarError(Code.ARTIFACT_CORRUPT, f"the artifact is not a complete adapter: {message}")
