"""Whether what was fetched is an adapter, and all of it: looked at before an engine hears of it.

Headers only, no weights: a few kilobytes are read of each file, so it is done again whenever files are taken from
the cache. What an engine decides (rank, target modules, base model) is left to the engine.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

from controller.sidecar.errors import Code, SidecarError

_LARGEST_JSON = 4 << 20
_LARGEST_HEADER = 16 << 20  # bytes; an adapter of a large mixture model has some MB, and parsing takes memory
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
}


def check_adapter(folder: Path) -> None:
    """Checks the files of an adapter.

    Raises:
        SidecarError: something is missing or broken; the message says which file.
    """
    config = folder / "adapter_config.json"
    if not config.is_file():
        raise _corrupt("it has no adapter_config.json")
    if not isinstance(_json(config), dict):
        raise _corrupt("adapter_config.json is no JSON object")
    tensors = sorted(folder.glob("*.safetensors"))
    pickled = [path for path in (folder / "adapter_model.bin", folder / "adapter_model.pt") if path.is_file()]
    if not tensors and not pickled:
        raise _corrupt("it has no weights (adapter_model.safetensors)")
    for path in tensors:
        check_safetensors(path)
    for path in pickled:
        if not zipfile.is_zipfile(path):  # torch writes zip archives, whose directory is at their end
            raise _corrupt(f"{path.name} is no complete file of torch")


def check_safetensors(path: Path) -> None:
    """Checks a file's header against its size, the way the safetensors provider does.

    Raises:
        SidecarError: they don't agree.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LARGEST_HEADER):
            raise _corrupt(f"{path.name} ends within its header")
        text = file.read(length)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise _corrupt(f"{path.name} has a header that is no JSON object")
    spans = sorted(_span(path.name, tensor) for name, tensor in header.items() if name != "__metadata__")
    end = 0
    for start, stop in spans:
        if start != end:
            raise _corrupt(f"{path.name} has a header with gaps or overlaps")
        end = stop
    if 8 + length + end != size:
        raise _corrupt(f"{path.name} has {size} bytes, its header says {8 + length + end}")


def _span(name: str, tensor: Any) -> tuple[int, int]:
    """Where a tensor begins and ends."""
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
        raise _corrupt(f"{name} has a header with a tensor that is none") from None
    if bits is not None and elements * bits != (stop - start) * 8:
        raise _corrupt(f"{name} has a header whose shapes and offsets disagree")
    return start, stop


def _json(path: Path) -> Any:
    if path.stat().st_size > _LARGEST_JSON:
        raise _corrupt(f"{path.name} is larger than {_LARGEST_JSON} bytes")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise _corrupt(f"{path.name} is not valid JSON") from None


def _corrupt(message: str) -> SidecarError:
    return SidecarError(Code.ARTIFACT_CORRUPT, f"the artifact is no complete adapter: {message}")
