"""Adapter folders for the cases: good ones, and one of each kind that an engine refuses.

Shapes fit the model that `install.py` makes: two layers, hidden size 256, four heads.
"""

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

HIDDEN = 256
LAYERS = 2
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


def make_all(root: Path) -> None:
    """Write every folder of the catalogue under `root`, replacing what is there."""
    shutil.rmtree(root, ignore_errors=True)
    for name, make in CATALOGUE.items():
        folder = root / name
        folder.mkdir(parents=True)
        make(folder)
    (root / "file").write_text("not a folder", encoding="utf-8")


Maker = Callable[[Path], None]


def _adapter(seed: int, *, rank: int = 8, weights: Callable[[Tensors], Tensors] | None = None, **fields: Any) -> Maker:
    def make(folder: Path) -> None:
        made = tensors(seed, rank)
        _write(folder, config(**{"r": rank, **fields}), weights(made) if weights else made)

    return make


def _write(folder: Path, fields: Any, weights: Tensors | None) -> None:
    (folder / "adapter_config.json").write_text(json.dumps(fields), encoding="utf-8")
    if weights is not None:
        save_file(weights, folder / "adapter_model.safetensors")


def _config_text(text: str, encoding: str = "utf-8") -> Maker:
    def make(folder: Path) -> None:
        _write(folder, {}, tensors(1))
        (folder / "adapter_config.json").write_bytes(text.encode(encoding))

    return make


def _weights_bytes(content: bytes) -> Maker:
    def make(folder: Path) -> None:
        _write(folder, config(), None)
        (folder / "adapter_model.safetensors").write_bytes(content)

    return make


def _no_config(folder: Path) -> None:
    save_file(tensors(1), folder / "adapter_model.safetensors")


def _no_weights(folder: Path) -> None:
    _write(folder, config(), None)


def _pickled(folder: Path) -> None:
    _write(folder, config(), None)
    (folder / "adapter_model.bin").write_bytes(b"not a torch file")


def _subfolder(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    _write(inner, config(), tensors(1))


def _renamed(old: str, new: str) -> Callable[[Tensors], Tensors]:
    return lambda weights: {name.replace(old, new): value for name, value in weights.items()}


def _with(name: str, shape: tuple[int, ...]) -> Callable[[Tensors], Tensors]:
    return lambda weights: {**weights, name: np.ones(shape, dtype=np.float32)}


def _one_side(weights: Tensors) -> Tensors:
    return {name: value for name, value in weights.items() if "lora_B" not in name}


def _wide(weights: Tensors) -> Tensors:
    return {
        name: np.ones((8, HIDDEN * 2), dtype=np.float32) if "lora_A" in name else value
        for name, value in weights.items()
    }


_GOOD: dict[str, Maker] = {f"l{number}": _adapter(number + 1) for number in range(6)}
CATALOGUE: dict[str, Maker] = {
    **_GOOD,
    "rank16": _adapter(21, rank=16),
    "rank64": _adapter(22, rank=64),
    "rank1": _adapter(23, rank=1),
    "rank0": _adapter(24, r=0),
    "rank-negative": _adapter(24, r=-1),
    "rank-text": _adapter(24, r="8"),
    "rank-float": _adapter(24, r=8.5),
    "rank-missing": _adapter(24, r=None),
    "rank-says-16-is-8": _adapter(25, r=16),
    "alpha-missing": _adapter(26, lora_alpha=None),
    "alpha-null": _config_text(json.dumps({**config(), "lora_alpha": None})),
    "alpha-zero": _adapter(26, lora_alpha=0),
    "modules-missing": _adapter(27, target_modules=None),
    "modules-text": _adapter(27, target_modules="all-linear"),
    "modules-regex": _adapter(27, target_modules=".*_proj"),
    "modules-unknown": _adapter(27, target_modules=["c_attn"], weights=_renamed("q_proj", "c_attn")),
    "modules-more-than-tensors": _adapter(27, target_modules=["q_proj", "v_proj", "o_proj"]),
    "modules-fewer-than-tensors": _adapter(27, target_modules=["q_proj"]),
    "dora": _adapter(28, use_dora=True),
    "dora-tensors": _adapter(
        28, weights=_with("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", (256,))
    ),
    "rslora": _adapter(29, use_rslora=True),
    "modules-to-save": _adapter(30, modules_to_save=["lm_head"]),
    "modules-to-save-score": _adapter(30, modules_to_save=["classifier", "score"]),
    "modules-to-save-empty": _adapter(30, modules_to_save=[]),
    "bias-all": _adapter(31, bias="all"),
    "bias-lora-only": _adapter(31, bias="lora_only"),
    "bias-tensors": _adapter(31, weights=_with("base_model.model.model.layers.0.self_attn.q_proj.bias", (256,))),
    "lora-bias": _adapter(31, lora_bias=True),
    "pissa": _adapter(32, init_lora_weights="pissa"),
    "olora": _adapter(32, init_lora_weights="olora"),
    "gaussian": _adapter(32, init_lora_weights="gaussian"),
    "layer-replication": _adapter(33, layer_replication=[[0, 1], [0, 2]]),
    "layers-to-transform": _adapter(33, layers_to_transform=[0]),
    "rank-pattern": _adapter(34, rank_pattern={"q_proj": 4}),
    "alpha-pattern": _adapter(34, alpha_pattern={"q_proj": 32}),
    "activated": _adapter(35, alora_invocation_tokens=[11, 12]),
    "peft-type-other": _adapter(36, peft_type="IA3"),
    "peft-type-missing": _adapter(36, peft_type=None),
    "task-other": _adapter(36, task_type="SEQ_CLS"),
    "base-other": _adapter(36, base_model_name_or_path="acme/other"),
    "base-missing": _adapter(36, base_model_name_or_path=None),
    "field-unknown": _adapter(36, corda_config={"x": 1}, eva_config=None, exclude_modules=None),
    "lm-head": _adapter(37, weights=_with("base_model.model.lm_head.weight", (512, HIDDEN))),
    "embedding": _adapter(37, weights=_with("base_model.model.model.embed_tokens.lora_embedding_A", (8, 512))),
    "names-short": _adapter(38, weights=_renamed("base_model.model.", "")),
    "names-unknown": _adapter(38, weights=_renamed("base_model.model.model", "transformer")),
    "one-side": _adapter(39, weights=_one_side),
    "too-wide": _adapter(39, weights=_wide),
    "no-tensors": _adapter(39, weights=lambda _: {}),
    "config-empty": _config_text(""),
    "config-list": _config_text("[]"),
    "config-null": _config_text("null"),
    "config-cut": _config_text('{"r": 8,'),
    "config-bom": _config_text(json.dumps(config()), "utf-8-sig"),
    "config-nan": _config_text('{"r": 8, "lora_alpha": NaN, "target_modules": ["q_proj"]}'),
    "config-only-object": _config_text("{}"),
    "weights-empty": _weights_bytes(b""),
    "weights-text": _weights_bytes(b"this is not a safetensors file"),
    "weights-cut": _weights_bytes((1 << 16).to_bytes(8, "little") + b"{}"),
    "weights-huge-header": _weights_bytes(b"\xff" * 8 + zlib.compress(b"x")),
    "no-config": _no_config,
    "no-weights": _no_weights,
    "pickled": _pickled,
    "subfolder": _subfolder,
    "empty": lambda _: None,
}
