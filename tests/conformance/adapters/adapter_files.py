"""Functions that make one adapter folder each; `artifacts.py` has the folders.

Shapes fit the model that `install.py` makes: two layers, hidden size 256, four heads.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

HIDDEN = 256
LAYERS = 2
DATA = Path(__file__).parents[1] / "data"
Tensors = dict[str, np.ndarray[Any, np.dtype[np.float32]]]


def config(**fields: Any) -> dict[str, Any]:
    """Return the `adapter_config.json` of a good adapter, with `fields` replaced; None removes a field."""
    standard = {
        "peft_type": "LORA",
        "r": 8,
        "lora_alpha": 16,
        "target_modules": ["q_proj", "v_proj"],
        "bias": "none",
        "base_model_name_or_path": "acme/base",
        "task_type": "CAUSAL_LM",
        "lora_dropout": 0.0,
    }
    return {name: value for name, value in {**standard, **fields}.items() if value is not None}


def tensors(seed: int, rank: int = 8, modules: tuple[str, ...] = ("q_proj", "v_proj")) -> Tensors:
    """Return the weights of an adapter on attention projections, by PEFT's names."""
    random = np.random.default_rng(seed)
    weights: Tensors = {}
    for layer in range(LAYERS):
        for module in modules:
            prefix = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            weights[f"{prefix}.lora_A.weight"] = random.normal(size=(rank, HIDDEN)).astype(np.float32)
            weights[f"{prefix}.lora_B.weight"] = random.normal(size=(HIDDEN, rank)).astype(np.float32)
    return weights


Maker = Callable[[Path], None]


def adapter(seed: int, *, rank: int = 8, weights: Callable[[Tensors], Tensors] | None = None, **fields: Any) -> Maker:
    def make(folder: Path) -> None:
        made = tensors(seed, rank)
        _write(folder, config(**{"r": rank, **fields}), weights(made) if weights else made)

    return make


def _write(folder: Path, fields: Any, weights: Tensors | None) -> None:
    (folder / "adapter_config.json").write_text(json.dumps(fields), encoding="utf-8")
    if weights is not None:
        save_file(weights, folder / "adapter_model.safetensors")


def config_text(text: str, encoding: str = "utf-8") -> Maker:
    def make(folder: Path) -> None:
        _write(folder, {}, tensors(1))
        (folder / "adapter_config.json").write_bytes(text.encode(encoding))

    return make


def weights_bytes(content: bytes) -> Maker:
    def make(folder: Path) -> None:
        _write(folder, config(), None)
        (folder / "adapter_model.safetensors").write_bytes(content)

    return make


def stored(fields: dict[str, Any] | None, name: str, file: str) -> Maker:
    """Make a folder whose weights are a file of `data/`, written by torch 2.13 (`data/make_torch_files.py`)."""

    def make(folder: Path) -> None:
        _write(folder, fields or config(r=1), None)
        shutil.copyfile(DATA / file, folder / name)

    return make


def edited_weights(edit: Callable[[bytes], bytes]) -> Maker:
    """Make a folder whose safetensors file was good before `edit`."""

    def make(folder: Path) -> None:
        _write(folder, config(), tensors(1))
        file = folder / "adapter_model.safetensors"
        file.write_bytes(edit(file.read_bytes()))

    return make


def header(header: bytes) -> Maker:
    return weights_bytes(len(header).to_bytes(8, "little") + header)


def config_folder(folder: Path) -> None:
    _write(folder, {}, tensors(1))
    (folder / "adapter_config.json").unlink()
    (folder / "adapter_config.json").mkdir()


def weights_folder(folder: Path) -> None:
    _write(folder, config(), None)
    (folder / "adapter_model.safetensors").mkdir()


def both_kinds(folder: Path) -> None:
    _write(folder, config(), tensors(1))
    (folder / "adapter_model.bin").write_bytes(b"not a torch file")


def sharded(folder: Path) -> None:
    _write(folder, config(), None)
    save_file(tensors(1), folder / "adapter_model-00001-of-00001.safetensors")


def link(target: str) -> Maker:
    def make(folder: Path) -> None:
        folder.rmdir()
        folder.symlink_to(folder.parent / target)

    return make


def typed(dtype: str) -> Callable[[Tensors], Tensors]:
    return lambda weights: {name: value.astype(dtype) for name, value in weights.items()}


def shaped(part: str, shape: tuple[int, ...]) -> Callable[[Tensors], Tensors]:
    """Give the tensors whose name contains `part` another shape."""
    return lambda weights: {
        name: np.ones(shape, dtype=np.float32) if part in name else value for name, value in weights.items()
    }


def added(**shapes: tuple[int, ...]) -> Callable[[Tensors], Tensors]:
    """Add tensors; `__` in a name stands for a dot."""
    more = {name.replace("__", "."): np.ones(shape, dtype=np.float32) for name, shape in shapes.items()}
    return lambda weights: {**weights, **more}


def pair(module: str, inner: int, outer: int) -> Callable[[Tensors], Tensors]:
    """Add a module of layer 0 with `inner` inputs and `outer` outputs."""
    prefix = f"base_model.model.model.layers.0.{module}"
    return lambda weights: {
        **weights,
        f"{prefix}.lora_A.weight": np.ones((8, inner), dtype=np.float32),
        f"{prefix}.lora_B.weight": np.ones((outer, 8), dtype=np.float32),
    }


def no_config(folder: Path) -> None:
    save_file(tensors(1), folder / "adapter_model.safetensors")


def no_weights(folder: Path) -> None:
    _write(folder, config(), None)


def pickled(folder: Path) -> None:
    _write(folder, config(), None)
    (folder / "adapter_model.bin").write_bytes(b"not a torch file")


def subfolder(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    _write(inner, config(), tensors(1))


def renamed(old: str, new: str) -> Callable[[Tensors], Tensors]:
    return lambda weights: {name.replace(old, new): value for name, value in weights.items()}


def extra_tensor(name: str, shape: tuple[int, ...]) -> Callable[[Tensors], Tensors]:
    return lambda weights: {**weights, name: np.ones(shape, dtype=np.float32)}


def one_side(weights: Tensors) -> Tensors:
    return {name: value for name, value in weights.items() if "lora_B" not in name}


def wide(weights: Tensors) -> Tensors:
    return {
        name: np.ones((8, HIDDEN * 2), dtype=np.float32) if "lora_A" in name else value
        for name, value in weights.items()
    }


def attention(weights: Tensors) -> Tensors:
    return pair("self_attn.o_proj", HIDDEN, HIDDEN)(pair("self_attn.k_proj", HIDDEN, HIDDEN)(weights))


def mlp(weights: Tensors) -> Tensors:
    for module in ("gate_proj", "up_proj"):
        weights = pair(f"mlp.{module}", HIDDEN, 2 * HIDDEN)(weights)
    return pair("mlp.down_proj", 2 * HIDDEN, HIDDEN)(weights)


def embedding(weights: Tensors, vocabulary: int) -> Tensors:
    prefix = "base_model.model.model.embed_tokens.lora_embedding"
    return {
        **weights,
        f"{prefix}_A": np.ones((8, vocabulary), dtype=np.float32),
        f"{prefix}_B": np.ones((HIDDEN, 8), dtype=np.float32),
    }
