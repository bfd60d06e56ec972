"""Digest of an adapter's files, which tells whether they have changed."""

import os
from hashlib import blake2b
from pathlib import Path

_FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt")
_MEBIBYTE = 1 << 20


def digest_of(folder: Path) -> str:
    """Return a digest of the adapter's files: of each its name, its size, and its first and last MiB."""
    digest = blake2b(digest_size=8)
    for path in (folder / name for name in _FILES):
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                digest.update(f"{path.name}/{size}/".encode())
                for start in (0, max(0, size - _MEBIBYTE)):
                    file.seek(start)
                    digest.update(file.read(_MEBIBYTE))
        except OSError:
            continue
    return digest.hexdigest()
