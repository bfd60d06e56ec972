"""`adapter_config.json` as vLLM reads it (`vllm/lora/peft_helper.py`, `PEFTHelper`).

Values have any type, because vLLM does not check types: it computes with them, and the text of Python's error is the
answer. `base_model_name_or_path` is not read.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from fake_vllm.peft.rules import AdapterRefusedError, PeftRules

_CLASSIFIERS = ("classifier", "score")
_PLAIN_INITS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
"""Values of `init_lora_weights` that leave the base model's weights as they are."""
_INIT_HELP = (
    " Inits such as PiSSA, OLoRA, CorDA and LoftQ modify the base model weights when PEFT loads the adapter. Convert it"
    " to a regular LoRA adapter with PEFT's path_initial_model_for_weight_conversion, or set init_lora_weights to true"
    " if the served base model already contains the modified weights."
)


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """The fields that vLLM reads."""

    r: Any
    lora_alpha: Any
    target_modules: Any
    bias: Any = "none"
    modules_to_save: Any = None
    use_rslora: Any = False
    use_dora: Any = False
    lora_bias: Any = False
    init_lora_weights: Any = True
    alora_invocation_tokens: Any = None
    layer_replication: Any = None
    use_bdlora: Any = None
    use_qalora: Any = False
    rank_pattern: Any = field(default_factory=dict)
    alpha_pattern: Any = field(default_factory=dict)

    @classmethod
    def parse(cls, content: Any, rules: PeftRules) -> "AdapterConfig":
        """Return the configuration in a JSON value.

        Raises:
            AdapterRefusedError: if a field is missing or a rank is wrong.
            TypeError: if a value has a type that vLLM cannot compute with; other errors of Python likewise.
        """
        content["vllm_max_position_embeddings"] = None  # vLLM's own first step: fails for anything but an object
        required = [item.name for item in fields(cls) if item.default is MISSING and item.default_factory is MISSING]
        if missing := [name for name in required if name not in content]:
            raise AdapterRefusedError(f"Missing required configuration fields: {_set_text(missing)}")
        config = cls(**{item.name: content[item.name] for item in fields(cls) if item.name in content})
        config._check_ranks(rules)
        config.scaling(config.r, config.lora_alpha)
        return config

    def check_supported(self, rules: PeftRules, max_rank: int) -> None:
        """Raise `AdapterRefusedError` if vLLM does not support a feature, or the rank is above the server's limit.

        All reasons are in one text.
        """
        errors = [*self._unsupported(rules)]
        rank = max([self.r, *self.rank_pattern.values()]) if rules.all_features and self.rank_pattern else self.r
        if rank > max_rank:
            errors.append(f"LoRA rank {rank} is greater than max_lora_rank {max_rank}.")
        if self.bias != "none":
            errors.append("Adapter bias is not supported.")
        if errors:
            raise AdapterRefusedError(" ".join(errors))

    def scaling(self, rank: Any, alpha: Any) -> float:
        """Return the factor of the adapter's output."""
        factor: float = alpha / (math.sqrt(rank) if self.use_rslora else rank)
        return factor

    def module_scaling(self, module: str, rules: PeftRules) -> float:
        """Return the factor of one module, with `rank_pattern` and `alpha_pattern` in releases that read them."""
        if not rules.all_features or not (self.rank_pattern or self.alpha_pattern):
            return self.scaling(self.r, self.lora_alpha)
        rank = _match(self.rank_pattern or {}, module)
        alpha = _match(self.alpha_pattern or {}, module)
        return self.scaling(self.r if rank is None else rank, self.lora_alpha if alpha is None else alpha)

    def _check_ranks(self, rules: PeftRules) -> None:
        if rules.positive_rank and self.r <= 0:
            raise AdapterRefusedError(f"LoRA rank `r` must be a positive integer, got {self.r}.")
        if not rules.all_features:
            return
        for key, rank in (self.rank_pattern or {}).items():
            if not isinstance(rank, int) or rank <= 0:
                raise AdapterRefusedError(
                    f"LoRA rank for `{key}` in `rank_pattern` must be a positive integer, got {rank}."
                )

    def _unsupported(self, rules: PeftRules) -> list[str]:
        if not rules.all_features:
            texts = {
                "vLLM only supports modules_to_save being None.": self.modules_to_save,
                "vLLM does not yet support DoRA.": self.use_dora,
            }
            return [text for text, used in texts.items() if used]
        saved = [name for name in self.modules_to_save or () if name not in _CLASSIFIERS]
        init = self.init_lora_weights
        texts = {
            'vLLM only supports modules_to_save being either None or ["classifier", "score"] for classification models.'
            f" Unsupported modules_to_save: {saved}": saved,
            "vLLM does not yet support DoRA.": self.use_dora,
            "vLLM does not support LoRA bias (lora_bias).": self.lora_bias,
            f"vLLM does not support init_lora_weights={init!r}.{_INIT_HELP}": isinstance(init, str)
            and init.lower() not in _PLAIN_INITS,
            "vLLM does not support Activated LoRA (aLoRA).": self.alora_invocation_tokens,
            "vLLM does not support layer_replication.": self.layer_replication,
            "vLLM does not support block-diagonal LoRA (BD-LoRA).": self.use_bdlora,
            "vLLM does not support QALoRA.": self.use_qalora,
        }
        return [text for text, used in texts.items() if used]


def read_config(folder: Path) -> Any:
    """Return the JSON value in a folder's `adapter_config.json`.

    Raises:
        OSError, ValueError: if there is none.
    """
    with open(folder / "adapter_config.json", encoding="utf-8") as file:
        return json.load(file)


def config_error(content: Mapping[str, Any], rules: PeftRules, max_rank: int) -> str | None:
    """Return the error of a configuration whose weights are good; None if vLLM takes it."""
    try:
        AdapterConfig.parse(dict(content), rules).check_supported(rules, max_rank)
    except REFUSALS as error:
        return str(error)
    return None


REFUSALS = (AdapterRefusedError, OSError, ValueError, TypeError, AttributeError, ArithmeticError, LookupError)
"""Errors that vLLM meets in an adapter's files, all answered with their text."""


def _match(pattern: Any, module: str) -> Any:
    """Return the value of the first key that is a suffix of a module's name, from a dot on."""
    for key, value in pattern.items():
        expression = rf"(.*\.)?({key})$"
        try:
            if re.match(expression, module):
                return value
        except re.error as error:
            raise AdapterRefusedError(_pattern_error(error, expression)) from error
    return None


def _pattern_error(error: re.error, expression: str) -> str:
    """Return the text of the `regex` package, which vLLM uses, for an error of `re`."""
    text = error.msg.partition(",")[0]
    position = len(expression) if "," in error.msg or text.startswith("unterminated") else error.pos
    return f"{text} at position {position}"


def _set_text(names: list[str]) -> str:
    """Return the text of a set; its order is chance in vLLM."""
    return "{" + ", ".join(map(repr, names)) + "}"
