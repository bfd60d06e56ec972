"""Sampling fields that completions and chats share: values at and beyond each limit."""

from typing import Any

_VALUES: dict[str, tuple[Any, ...]] = {
    "temperature": (0, 2, 2.01, 100, -0.1, None, "1", "hot"),
    "top_p": (1, 0.5, 0, 1.01, -1, None, "x"),
    "top_k": (0, -1, 1, -2, 1.5, None, 100000),
    "min_p": (0, 1, 1.01, -0.1, None),
    "presence_penalty": (-2, 2, 2.01, -2.01, None),
    "frequency_penalty": (-2, 2, 2.01, -2.01, "x"),
    "repetition_penalty": (1, 0, -1, 2.5, None),
    "seed": (0, -1, 2**63, -(2**63), 1.5, None, "x"),
    "logit_bias": ({}, {"11": 1}, {"11": 101}, {"11": -101}, {"100000": 1}, {"a": 1}, {"-1": 1}, None, []),
    "ignore_eos": (True, False, None, "x"),
    "skip_special_tokens": (False, None),
    "spaces_between_special_tokens": (False,),
    "allowed_token_ids": ([11, 12], [], [100000], [-1], "x", None),
    "bad_words": (["a"], [], [""], "x"),
    "logits_processors": (["x"], []),
    "use_beam_search": (True, False),
    "length_penalty": (1.0, None),
    "vllm_xargs": ({"a": 1}, {"a": {}}, None),
    "kv_transfer_params": ({"a": 1}, None),
}

SAMPLING: dict[str, dict[str, Any]] = {
    f"{field.replace('_', '-')}/{index}": {field: value}
    for field, values in _VALUES.items()
    for index, value in enumerate(values)
}
"""Fields of a request body by the case's name."""
