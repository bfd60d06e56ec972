"""An adapter in a folder, as vLLM loads it: configuration, support, tensors."""

from dataclasses import dataclass
from pathlib import Path

from fake_vllm.peft.adapter_config import REFUSALS, AdapterConfig, read_config
from fake_vllm.peft.base_model import ModelShape
from fake_vllm.peft.rules import AdapterRefusedError, PeftRules
from fake_vllm.peft.weights import check_weights, weights_file


@dataclass(frozen=True, slots=True)
class AdapterCheck:
    """Limits that one server checks adapters against.

    Attributes:
        model: sizes of its base model; None if they are not known.
        max_rank: `--max-lora-rank`.
    """

    model: ModelShape | None
    max_rank: int
    rules: PeftRules


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """An adapter that vLLM takes; `size` of its weights in bytes."""

    rank: int
    size: int


def read_adapter(folder: Path, check: AdapterCheck) -> AdapterFiles | None:
    """Return the adapter in a folder; None if vLLM finds no adapter there, which is so for any missing file.

    Raises:
        AdapterRefusedError: if vLLM refuses it, with vLLM's text.
    """
    try:
        config = AdapterConfig.parse(read_config(folder), check.rules)
        config.check_supported(check.rules, check.max_rank)
        file = weights_file(folder)
        check_weights(file, config, check.model, check.max_rank, check.rules)
        return AdapterFiles(rank=max(1, int(config.r)), size=file.stat().st_size)
    except FileNotFoundError:
        return None
    except REFUSALS as error:
        raise AdapterRefusedError(str(error)) from error
