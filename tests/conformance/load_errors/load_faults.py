"""Expected fault and reason of each text of a failed load, checked by hand against the code that raises it.

One line a text, `{}` standing for whatever the engine puts there. A text of a recording, or a `raise` of a release,
that has no line here fails `tests/controller/engine/test_load_errors.py`: read the code that raises it, then add it.
"""

import re

ADAPTER = ("adapter", "InvalidAdapter")
_UNKNOWN = ("engine", "LoadFailed")
"""No other pod is known to be better, but none is known to be worse either."""

RAISED: dict[str, tuple[str, str]] = {
    # peft_helper.py: adapter_config.json
    "vLLM does not yet support DoRA.": ADAPTER,
    "vLLM does not support LoRA bias (lora_bias).": ADAPTER,
    "vLLM does not support init_lora_weights={}. Inits such as PiSSA, {}": ADAPTER,
    "vLLM does not support Activated LoRA (aLoRA).": ADAPTER,
    "vLLM does not support layer_replication.": ADAPTER,
    "vLLM does not support block-diagonal LoRA (BD-LoRA).": ADAPTER,
    "vLLM does not support QALoRA.": ADAPTER,
    "vLLM only supports modules_to_save being {}": ADAPTER,
    "Adapter bias is not supported.": ADAPTER,
    "LoRA rank `r` must be a positive integer, got {}.": ADAPTER,
    "LoRA rank for `{}` in `rank_pattern` must be a positive integer, got {}.": ADAPTER,
    "Missing required configuration fields: {}": ADAPTER,
    "LoRA rank {} is greater than max_lora_rank {}. Adapter bias is not supported.": ADAPTER,
    "LoRA rank {} is greater than max_lora_rank {}.": ("pod", "AdapterExceedsLimits"),
    # lora_model.py, utils.py, lora_weights.py: the tensors
    "{} doesn't contain tensors": ADAPTER,
    "{} is unsupported LoRA weight": ADAPTER,
    "Mapped LoRA weight name cannot be None.": ADAPTER,
    "While loading {}, expected target modules in {} but received {}.{}": ADAPTER,
    "The embedding LoRA size({}) must be consistent with the base model's vocabulary size({}).": ADAPTER,
    "Only one full classification module is supported per adapter, received {}.": ADAPTER,
    "Full module {} is missing weight.": ADAPTER,
    "The experts of {} have different LoRA ranks for the same projection, which is not supported.": ADAPTER,
    "shared-outer expert LoRA expects exactly w1/w2/w3 stacked tensors": ADAPTER,
    # model_manager.py and layers/: what the base model can take
    "Cannot load full module {}: the model does not expose a unique ClassificationHeadWithLoRA.": ADAPTER,
    "Full module {} does not match the model's classification head {}.": ADAPTER,
    "Full module {} for {} has an incompatible weight shape: expected {}, received {}.": ADAPTER,
    "Full module {} for {} has an incompatible bias shape: expected {}, received {}.": ADAPTER,
    "LoRA adapter {} contains weights for classification head {}, but token_classify {}": ADAPTER,
    "Expected gate_up_proj LoRA-B output dim to be 2 * intermediate, got {}.": ADAPTER,
    "Expected pairs of LoRA weights for non-gated MoE.": ADAPTER,
    "Cannot determine how to split lora_b with {} rows into {} slices with output sizes {}": ADAPTER,
    "expert-dim mismatch: source {} vs buffer {}": ADAPTER,
    "LoRA adapter {} contains fused 3D MoE weights for {}, but the model uses {}": ("pod", "MoEFormatNotEnabled"),
    "Unsupported base layer: {}": ("pod", "BaseModelUnsupported"),
    # worker_manager.py; newer releases answer 404
    "Loading lora {} failed: No adapter found for {}": ("adapter", "ArtifactNotFound"),
    # the engine
    "LoRA is not enabled. Use --enable-lora to enable LoRA.": ("pod", "LoRANotEnabled"),
    "No free lora slots": ("engine", "NoFreeSlot"),
    "No free adapter slots.": ("engine", "NoFreeSlot"),
    "Executor failed.": ("engine", "EngineDead"),
    "RPC call to {} timed out.": ("engine", "Timeout"),
    # faults of vLLM's own, which no adapter can cause
    "": _UNKNOWN,
    "a valid lora id should be greater than 0, got {}": _UNKNOWN,
    "lora_id must be greater than 0.": _UNKNOWN,
    "id must be > 0, got {}": _UNKNOWN,
    "lora_path cannot be empty": _UNKNOWN,
    "tensorizer_dir must be set in tensorizer config.": _UNKNOWN,
    "collective_rpc should not be called on follower node": _UNKNOWN,
}

_BY_PYTHON: dict[str, tuple[str, str]] = {
    # a value of the wrong type in adapter_config.json
    "unsupported operand type(s) for {}": ADAPTER,
    "'{}' not supported between instances of {}": ADAPTER,
    "list indices must be integers or slices, not str": ADAPTER,
    "{} object does not support item assignment": ADAPTER,
    "{} object has no attribute {}": ADAPTER,
    "{} object is not iterable": ADAPTER,
    "integer division result too large for a float": ADAPTER,
    "division by zero": ADAPTER,
    "unterminated character set at position {}": ADAPTER,
    "missing ) at position {}": ADAPTER,
    # a tensor with fewer dimensions than two
    "tuple index out of range": ADAPTER,
    # files that are not what their name says
    "Expecting {}: line {} column {} (char {})": ADAPTER,
    "Invalid control character at: line {} column {} (char {})": ADAPTER,
    "Extra data: line {} column {} (char {})": ADAPTER,
    "'utf-8' codec can't decode byte {} in position {}": ADAPTER,
    "Unexpected UTF-8 BOM (decode using utf-8-sig): line {} column {} (char {})": ADAPTER,
    "Error while deserializing header: {}": ADAPTER,
    "Weights only load failed.{}": ADAPTER,
    "PytorchStreamReader failed reading zip archive: {}": ADAPTER,
    "The size of tensor a ({}) must match the size of tensor b ({}) at non-singleton dimension {}": ADAPTER,
    # the path
    "[Errno 20] Not a directory: {}": ("pod", "ArtifactUnreadable"),
    "[Errno 21] Is a directory: {}": ("pod", "ArtifactUnreadable"),
    "[Errno 36] File name too long: {}": ("adapter", "InvalidArtifactURL"),
    "embedded null byte": ("adapter", "InvalidArtifactURL"),
    "EngineCore encountered an issue. See stack trace (above) for the root cause.": ("engine", "EngineDead"),
}
"""Texts of Python and of libraries, as recorded."""

_REFUSED = ("adapter", "Refused")
_BY_SERVER: dict[int, dict[str, tuple[str, str]]] = {
    400: {
        "{} validation error{}": _REFUSED,
        "[{{}}]": _REFUSED,
        "There was an error parsing the body": _REFUSED,
        "Both 'lora_name' and 'lora_path' must be provided.": _REFUSED,
        "The lora adapter '{}' conflicts with a served base model.": _REFUSED,
        "The lora adapter '{}' has already been loaded.{}": ("pod", "AlreadyLoaded"),
        **RAISED,  # 0.16.0 answers 400 where later releases answer 500
        **_BY_PYTHON,
        "": _REFUSED,  # an assertion: tensors that no release can use
    },
    401: {"{}": ("pod", "Unauthorized")},
    404: {
        "Loading lora {} failed: No adapter found for <path>{}": ("pod", "ArtifactNotFound"),
        "Loading lora {} failed: No adapter found for /{}": ("pod", "ArtifactNotFound"),
        "Loading lora {} failed: No adapter found for ~{}": ("pod", "ArtifactNotFound"),
        "Loading lora {} failed: No adapter found for": ("adapter", "ArtifactNotFound"),
        "Loading lora {} failed: No adapter found for {}": ("adapter", "ArtifactNotFound"),
        "Not Found": ("pod", "RuntimeUpdatingOff"),
    },
    405: {"Method Not Allowed": ("pod", "Refused")},
    500: {**RAISED, **_BY_PYTHON},
}


def expected(status: int, text: str) -> tuple[str, str] | None:
    """Return (fault, reason) of an unwrapped text; None if it has no line. The first line that matches counts."""
    for template, result in _BY_SERVER.get(status, {}).items():
        if re.fullmatch(".*".join(map(re.escape, template.split("{}"))), text, re.DOTALL):
            return result
    return None
