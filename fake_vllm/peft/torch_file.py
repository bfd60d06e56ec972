"""Names and shapes in a file that `torch.save` wrote, without torch (`torch/_weights_only_unpickler.py`)."""

import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

from fake_vllm.peft.rules import AdapterRefusedError

_REFUSED = (
    "Weights only load failed. In PyTorch 2.6, we changed the default value of the `weights_only` argument in"
    " `torch.load` from `False` to `True`. Re-running `torch.load` with `weights_only` set to `False` will likely"
    " succeed, but it can result in arbitrary code execution. Do it only if you got the file from a trusted source.\n"
    "{reason}\n\nCheck the documentation of torch.load to learn more about types accepted by default with weights_only"
    " https://pytorch.org/docs/stable/generated/torch.load.html."
)
_OTHER = (
    "Please file an issue with the following so that we can make `weights_only=True` compatible with your use case:"
    " WeightsUnpickler error: \n\n{reason}"
)
_BLOCKED = "\n\nTrying to load unsupported GLOBAL {name} whose module {module} is blocked."
_UNSUPPORTED = "\n\nPlease file an issue: GLOBAL {name} was not an allowed global by default."  # no recording has it
_CUT = "PytorchStreamReader failed reading zip archive: failed finding central directory"
_CUT_HINT = (
    ". This is an internal miniz error."
    " If you are seeing this error, there is a high likelihood that your checkpoint file is corrupted. This can happen"
    " if the checkpoint was not saved properly, was transferred incorrectly, or the file was modified after saving."
)
_BLOCKED_MODULES = ("sys", "os", "posix", "nt")
_ZIP = b"PK\x03\x04"
_OLD_HEADERS = 3  # pickles before the object in a file of the old format: magic number, protocol, system


class _Unpickler(pickle.Unpickler):
    """Makes shapes of tensors, and nothing of what else a pickle may call."""

    def persistent_load(self, pid: Any) -> None:
        """Return nothing for the numbers of a tensor."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _shape
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name.endswith("Storage"):
            return name
        text = _BLOCKED if module in _BLOCKED_MODULES else _UNSUPPORTED
        raise AdapterRefusedError(_REFUSED.format(reason=text.format(name=f"{module}.{name}", module=module)))


def read_torch_file(path: Path, *, hints: bool = True) -> Any:
    """Return the saved object, with the shape in place of each tensor.

    Raises:
        AdapterRefusedError: if torch would not read it with `weights_only`.
    """
    with open(path, "rb") as file:
        if file.read(len(_ZIP)) == _ZIP:
            return _read_zip(path, hints)
        file.seek(0)
        for _ in range(_OLD_HEADERS):
            _load(file)
        return _load(file)


def _read_zip(path: Path, hints: bool) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(name) as file:
                return _load(file)
    except zipfile.BadZipFile as error:
        raise AdapterRefusedError(_CUT + _CUT_HINT if hints else _CUT) from error


def _load(file: IO[bytes]) -> Any:
    try:
        return _Unpickler(file).load()
    except EOFError as error:
        raise AdapterRefusedError("") from error
    except pickle.UnpicklingError as error:
        raise AdapterRefusedError(_REFUSED.format(reason=_OTHER.format(reason=_reason(str(error))))) from error


def _reason(text: str) -> str:
    """Return torch's text for a byte that is no operation of a pickle."""
    key = re.fullmatch(r"invalid load key, '(.*)'\.", text)
    if key is None:
        return text
    byte = key[1].encode().decode("unicode_escape")
    return f"Unsupported operand {ord(byte)}"


def _shape(storage: None, offset: int, size: tuple[int, ...], *_: Any) -> tuple[int, ...]:  # noqa: ARG001 - torch's
    return size
