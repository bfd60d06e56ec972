"""Makes the torch files of this folder; run by a Python that has torch (`python make_torch_files.py`).

Weights are of rank 1 on one layer, so that the files are small. `artifacts.py` puts them into adapter folders.
"""

import os
from pathlib import Path

import torch

FOLDER = Path(__file__).parent
HIDDEN = 256


class Unsafe:
    """An object whose unpickling would call a function."""

    def __reduce__(self):
        return os.getcwd, ()


def weights(module: str = "q_proj") -> dict[str, torch.Tensor]:
    prefix = f"base_model.model.model.layers.0.self_attn.{module}"
    shapes = {"lora_A": (1, HIDDEN), "lora_B": (HIDDEN, 1)}
    return {f"{prefix}.{name}.weight": torch.ones(shape, dtype=torch.float16) for name, shape in shapes.items()}


def main() -> None:
    torch.save(weights(), FOLDER / "good.pt")
    torch.save(weights(), FOLDER / "old-format.pt", _use_new_zipfile_serialization=False)
    torch.save(weights("c_attn"), FOLDER / "unknown-module.pt")
    torch.save({**weights(), "x": Unsafe()}, FOLDER / "unsafe.pt")
    torch.save(list(weights().values()), FOLDER / "list.pt")
    torch.save({"state_dict": weights()}, FOLDER / "nested.pt")
    torch.save({}, FOLDER / "empty.pt")
    (FOLDER / "no-bytes.pt").write_bytes(b"")
    (FOLDER / "cut.pt").write_bytes((FOLDER / "good.pt").read_bytes()[:1000])


if __name__ == "__main__":
    main()
