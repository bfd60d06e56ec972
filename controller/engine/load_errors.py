"""Table of the texts with which engines refuse to load an adapter: whose fault each is, and what a user can do. Pure.

vLLM answers 500 to nearly every failed load, with the text that its worker raised; SGLang answers 400 to all of them.
So the text decides. Rows come from recordings of real servers, from every `raise` that a load can reach in vLLM's
source (`tests/conformance/recordings` and `raises`), and from SGLang's `lora/lora_manager.py`. vLLM joins several
faults of one adapter into one text; the rows of the adapter's own faults come first, since no other pod resolves them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """Cause of a failed load, which decides where it is tried next."""

    ADAPTER = "adapter"
    """The adapter: no pod can load it. It is Failed at once, and not tried elsewhere."""
    POD = "pod"
    """The engine's flags, its memory, or the files that the pod sees: every other pod is tried once."""
    ENGINE = "engine"
    """A state that may pass, or a text that is not in this table: other pods are tried first, then this one again."""


@dataclass(frozen=True, slots=True)
class LoadErrorRow:
    """One row of the table.

    Attributes:
        pattern: regular expression that occurs in the text, whatever its case.
        reason: reason for conditions, in CamelCase.
        hint: what to change, if the text itself does not say it.
        ambiguous: the engine may still load the adapter.
    """

    pattern: re.Pattern[str]
    fault: Fault
    reason: str
    hint: str = ""
    ambiguous: bool = False


def _rows(fault: Fault, reason: str, *patterns: str, hint: str = "", ambiguous: bool = False) -> list[LoadErrorRow]:
    compiled = (re.compile(pattern, re.IGNORECASE) for pattern in patterns)
    return [LoadErrorRow(pattern, fault, reason, hint, ambiguous) for pattern in compiled]


_CONFIG = (
    r"vLLM does not (?:yet )?support",  # DoRA, lora_bias, PiSSA and the like, aLoRA, layer_replication, BD-LoRA, QALoRA
    r"only supports modules_to_save",
    r"Adapter bias is not supported",
    r"Missing required configuration fields",
    r"LoRA rank .* must be a positive",
    r"currently doesn't support",  # SGLang: DoRA, added tokens
    r": line \d+ column \d+ \(char \d+\)",  # Python's json
    r"codec can't decode byte",
)
_WEIGHTS = (
    r"doesn't contain tensors",
    r"is unsupported LoRA weight",
    r"expected target modules in",
    r"embedding LoRA size\(",
    r"full (?:classification )?module",
    r"token_classify only supports LoRA",
    r"experts of .* have different LoRA ranks",
    r"Expected gate_up_proj LoRA-B",
    r"Expected pairs of LoRA weights",
    r"shared-outer expert LoRA expects",
    r"expert-dim mismatch",
    r"Cannot determine how to split lora_b",
    r"Mapped LoRA weight name cannot be None",
    r"Error while deserializing",  # safetensors
    r"Weights only load failed|PytorchStreamReader|invalid load key",  # torch.load
    r"size of tensor|size mismatch|does not match weight shape|shape '.*' is invalid",  # torch, SGLang
)
_PYTHON = (
    r"unsupported operand type|not supported between instances of|does not support item assignment",
    r"indices must be integers|object is not (?:iterable|subscriptable|callable)|object has no attribute",
    r"unexpected keyword argument|required positional argument",
    r"index out of range|division by zero|too large for a float|too large to convert",
    r" at position \d+(?: \(line \d+, column \d+\))?$",  # a regular expression in rank_pattern or alpha_pattern
    r"^'\w+'$",  # KeyError
)
"""Words of Python for a wrong value in `adapter_config.json`, and for tensors of another shape or without a pair."""

_LIMITS = "raise --max-lora-rank of the engine (for SGLang also --lora-target-modules)"

LOAD_ERRORS: Sequence[LoadErrorRow] = (
    *_rows(Fault.ADAPTER, "InvalidAdapter", *_CONFIG, *_WEIGHTS, *_PYTHON),
    *_rows(Fault.ADAPTER, "InvalidArtifactURL", r"embedded null byte|File name too long"),
    *_rows(Fault.POD, "LoRANotEnabled", r"LoRA is not enabled"),  # it names the flag
    *_rows(Fault.POD, "AdapterExceedsLimits", r"greater than max_lora_rank|LoRA memory pool", hint=_LIMITS),
    *_rows(Fault.POD, "MoEFormatNotEnabled", r"contains fused 3D MoE weights"),
    *_rows(Fault.POD, "BaseModelUnsupported", r"Unsupported base layer"),
    *_rows(Fault.POD, "OutOfMemory", r"out of memory|can(?:'t|not) allocate memory"),
    *_rows(Fault.POD, "ArtifactNotFound", r"No adapter found for [/~]|Repo id must .*'[/~]|\[Errno 2\]"),
    *_rows(Fault.ADAPTER, "ArtifactNotFound", r"No adapter found|Repo id must|in repo_id|Repository not found"),
    *_rows(Fault.POD, "ArtifactUnreadable", r"\[Errno (?:1|13|20|21|40)\]"),
    *_rows(Fault.ENGINE, "NoFreeSlot", r"No free (?:lora|adapter) slots|max_loaded_loras"),
    *_rows(Fault.ENGINE, "EngineDead", r"EngineCore encountered an issue|Executor failed"),
    *_rows(Fault.ENGINE, "Timeout", r"RPC call to .* timed out", ambiguous=True),
    *_rows(Fault.ENGINE, "ArtifactUnreadable", r"\[Errno (?:5|23|24|28|116)\]"),
    *_rows(Fault.ENGINE, "StoreUnavailable", r"\[Errno (?:101|104|110|111|113)\]|Max retries exceeded with url"),
)
"""In the order in which the patterns are tried.

Error numbers of Linux: 1 not permitted, 2 no such file, 5 input/output, 13 permission denied, 20 not a directory, 21 is
a directory, 23 and 24 too many open files, 28 no space left, 40 too many links, 101 to 113 of the network, 116 stale
file handle.
"""

UNKNOWN = LoadErrorRow(re.compile(""), Fault.ENGINE, "LoadFailed")
"""Row of every other text."""

_WRAPPED = re.compile(
    r"Call to add_lora method failed:\s*(?:Worker failed with error '(?P<worker>.*)', please check the stack trace .*"
    r"|(?P<text>.*))",
    re.DOTALL,
)
"""vLLM's wrapping: v1/engine/core.py, and v1/executor/multiproc_executor.py with several processes."""


def unwrap(text: str) -> str:
    """Return what the engine's worker raised, without the wrapping of the layers above it."""
    match = _WRAPPED.fullmatch(text.strip())
    if match is None:
        return text
    return match["text"] if match["worker"] is None else match["worker"]


def find_row(text: str) -> LoadErrorRow | None:
    """Return the first row whose pattern occurs in an unwrapped text."""
    return next((row for row in LOAD_ERRORS if row.pattern.search(text)), None)


_MOST = 300
_TAIL = 100
"""Characters of a message that are shown, and how many of them from its end, where vLLM says what to do."""
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")
_USER = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/?#@'\"]*@")
_SET = re.compile(r"\{('[^'{}]*'(?:, '[^'{}]*')*)\}")


def presentable(text: str) -> str:
    """Return an engine's text for a condition: one line, without a URL's user, password and query, a signature perhaps.

    The names in a set are sorted, since each process has its own order and a condition is written when it changes.
    """
    line = _SET.sub(lambda match: "{" + ", ".join(sorted(match[1].split(", "))) + "}", " ".join(text.split()))
    line = _QUERY.sub(r"\1?…", _USER.sub(r"\1…@", line))
    return line if len(line) <= _MOST else f"{line[: _MOST - _TAIL - 3]} … {line[-_TAIL:]}"
