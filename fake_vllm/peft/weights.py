"""Tensors of an adapter: their names, and whether they fit the base model (`vllm/lora/lora_model.py`)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fake_vllm.peft.adapter_config import AdapterConfig
from fake_vllm.peft.base_model import MODULES, ModelShape, is_packed
from fake_vllm.peft.rules import AdapterRefusedError, PeftRules
from fake_vllm.peft.torch_file import read_torch_file

Shape = tuple[int, ...]
_PREFIX = "base_model.model."
_BASE_EMBEDDINGS = (".embed_tokens.base_layer.weight", ".lm_head.base_layer.weight")
_TORCH_FILES = ("adapter_model.bin", "adapter_model.pt")


@dataclass(slots=True)
class _Pair:
    """The two matrices of one module."""

    scaling: float
    a: Shape | None = None
    b: Shape | None = None


def weights_file(folder: Path) -> Path:
    """Return the file that vLLM reads: safetensors before torch's.

    Raises:
        AdapterRefusedError: if it has no weights.
    """
    for name in ("adapter_model.safetensors", *_TORCH_FILES):
        if (folder / name).is_file():
            return folder / name
    raise AdapterRefusedError(f"{folder} doesn't contain tensors")


def check_weights(file: Path, config: AdapterConfig, model: ModelShape | None, max_rank: int, rules: PeftRules) -> None:
    """Raise `AdapterRefusedError`, or an error of Python, if vLLM refuses the tensors in a file."""
    tensors = (
        _read_safetensors(file) if file.suffix == ".safetensors" else read_torch_file(file, hints=rules.torch_hints)
    )
    _check_modules(file.parent, tensors.keys(), config, rules)
    pairs = _pairs(tensors, config, model, rules)
    _check_pairs(pairs, model)
    if model is not None:
        for name, inputs, outputs in model.modules():
            if (pair := pairs.get(name)) is not None:
                _check_sizes(name, pair, (inputs, outputs), max_rank)


def _read_safetensors(file: Path) -> Mapping[str, Shape]:
    from safetensors import SafetensorError, safe_open  # imported only if there are real adapters

    try:
        with safe_open(file, framework="numpy") as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise AdapterRefusedError(str(error)) from error


def _check_modules(folder: Path, names: Iterable[str], config: AdapterConfig, rules: PeftRules) -> None:
    """Raise `AdapterRefusedError` if a tensor is of a module that the base model does not have."""
    unexpected = []
    for name in names:
        if name.endswith(_BASE_EMBEDDINGS) or "base_layer" in name:
            continue
        module, _ = _parse(name, rules)
        last = module.rsplit(".", 1)[-1]
        if ".experts" in module:
            last = module[module.find(".experts") + 1 :]
        if last not in MODULES and not (rules.all_features and last in (config.modules_to_save or ())):
            unexpected.append(module)
    if unexpected:
        expected = "{" + ", ".join(map(repr, MODULES)) + "}"
        raise AdapterRefusedError(
            f"While loading {folder}, expected target modules in {expected} but received {unexpected}."
            " Please verify that the loaded LoRA module is correct"
        )


def _parse(name: str, rules: PeftRules) -> tuple[str, bool]:
    """Return the module of a tensor, and whether the tensor is its matrix A.

    Raises:
        AdapterRefusedError: if the name is not that of a LoRA weight.
    """
    parts = name.removeprefix(_PREFIX).split(".")
    if parts[-1] == "weight" and len(parts) >= 2 and parts[-2] in ("lora_A", "lora_B"):
        return ".".join(parts[:-2]), parts[-2] == "lora_A"
    if rules.all_features and parts[-1] in ("weight", "bias") and parts[-2:-1] in (["score"], ["classifier"]):
        return parts[-2], False
    if parts[-1] in ("lora_embedding_A", "lora_embedding_B"):
        return ".".join(parts[:-1]), parts[-1] == "lora_embedding_A"
    shown = name if rules.names_whole else name.removeprefix(_PREFIX)
    raise AdapterRefusedError(f"{shown} is unsupported LoRA weight")


def _pairs(
    tensors: Mapping[str, Shape], config: AdapterConfig, model: ModelShape | None, rules: PeftRules
) -> dict[str, _Pair]:
    """Return the matrices by module."""
    saved = (config.modules_to_save or ()) if rules.all_features else ()
    pairs: dict[str, _Pair] = {}
    full: dict[str, set[str]] = {}
    for name, shape in tensors.items():
        if name.endswith(_BASE_EMBEDDINGS):
            continue
        module, is_a = _parse(name, rules)
        if module in saved:
            full.setdefault(module, set()).add(name.rsplit(".", 1)[-1])
            continue
        pair = pairs.get(module)
        if pair is None:
            pair = pairs[module] = _Pair(config.module_scaling(module, rules))
        if is_a and model is not None and "lora_embedding_A" in name and shape[1] != model.vocabulary:
            raise AdapterRefusedError(
                f"The embedding LoRA size({shape[1]}) must be consistent with the base model's vocabulary size"
                f"({model.vocabulary})."
            )
        if is_a:
            pair.a = shape
        else:
            pair.b = shape
    _check_full_modules(full)
    return pairs


def _check_full_modules(full: Mapping[str, set[str]]) -> None:
    """Raise `AdapterRefusedError` for a module that is saved whole: a generation model has no place for it."""
    for module, parts in full.items():
        if "weight" not in parts:
            raise AdapterRefusedError(f"Full module {module!r} is missing weight.")
    if len(full) > 1:
        raise AdapterRefusedError(
            f"Only one full classification module is supported per adapter, received {sorted(full)}."
        )
    for module in full:
        raise AdapterRefusedError(
            f"Cannot load full module {module!r}: the model does not expose a unique ClassificationHeadWithLoRA."
        )


def _check_pairs(pairs: Mapping[str, _Pair], model: ModelShape | None) -> None:
    """Raise `AdapterRefusedError` for what vLLM notices while it merges modules and multiplies B by its factor."""
    for pair in pairs.values():
        if pair.b is None and pair.scaling != 1:
            raise AdapterRefusedError("unsupported operand type(s) for *=: 'NoneType' and 'float'")
    layers = model.layers if model else None
    first = next((pair for name, pair in pairs.items() if not is_packed(name, layers)), None)
    if not pairs or (first is not None and first.a is None):
        raise AdapterRefusedError("")  # an assertion without a text


def _check_sizes(name: str, pair: _Pair, size: tuple[int, int], max_rank: int) -> None:
    inputs, outputs = size
    if not is_packed(name, None) and (pair.a is None or pair.b is None):
        raise AdapterRefusedError("")  # an assertion without a text
    if pair.a is not None:
        if name == "model.embed_tokens":
            _check_copy(tuple(reversed(pair.a)), (inputs, max_rank))
        else:
            _check_copy(pair.a, (max_rank, inputs))
    if pair.b is not None:
        _check_copy(pair.b, (outputs, max_rank))


def _check_copy(source: Shape, limits: tuple[int, int]) -> None:
    """Raise what torch raises if a tensor is copied to the part of a buffer that has its first two sizes.

    Raises:
        AdapterRefusedError: if it is larger than the buffer.
        IndexError: if it has less than two dimensions.
    """
    target = (min(source[0], limits[0]), min(source[1], limits[1]))
    for place, (a, b) in reversed(list(enumerate(_aligned(target, source)))):
        if a != b and 1 not in (a, b):
            raise AdapterRefusedError(
                f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension {place}"
            )
    if len(source) > 2 or any(a < b for a, b in zip(target, source, strict=False)):
        shape = [max(sizes) for sizes in _aligned(target, source)]
        raise AdapterRefusedError(f"output with shape {list(target)} doesn't match the broadcast shape {shape}")


def _aligned(target: Shape, source: Shape) -> Iterator[tuple[int, int]]:
    """Yield the sizes of two tensors by dimension, the missing first ones as 1."""
    ranks = max(len(target), len(source))
    padded: Any = ((1,) * (ranks - len(shape)) + shape for shape in (target, source))
    return zip(*padded, strict=True)
