"""Engines' metrics in one language: vLLM's and SGLang's names become `aibrix:` ones, as dashboards know them.

Works on bytes and whole lines, so that a page of any length streams through and what is not understood comes out
as it went in. Names are matched as they stand in the text, with the endings that a family's lines have there
(`_total`, `_bucket`, ...): a parser would have stripped them, and with them the counters' match.
"""

import re

_SAME_IN_BOTH = {
    "prompt_tokens_total": "prompt_tokens_total",
    "generation_tokens_total": "generation_tokens_total",
    "time_to_first_token_seconds": "time_to_first_token_seconds",
    "time_per_output_token_seconds": "time_per_output_token_seconds",
    "e2e_request_latency_seconds": "e2e_request_latency_seconds",
}
_VLLM = {
    "num_requests_waiting": "queue_size",
    "kv_cache_usage_perc": "kv_cache_usage_perc",
    "gpu_cache_usage_perc": "gpu_cache_usage_perc",
    "request_success_total": "request_success_total",
    **_SAME_IN_BOTH,
}
_SGLANG = {
    "num_queue_reqs": "queue_size",
    "gen_throughput": "generation_throughput",
    "cache_hit_rate": "cache_hit_rate",
    "token_usage": "token_usage",
    **_SAME_IN_BOTH,
}
RULES = {f"vllm:{old}": f"aibrix:{new}" for old, new in _VLLM.items()} | {
    f"sglang:{old}": f"aibrix:{new}" for old, new in _SGLANG.items()
}

_NAMES = {old.encode(): new.encode() for old, new in RULES.items()}
# A counter's family has no `_total` in OpenMetrics, nor in the `_created` line that goes with it.
_FAMILIES = {
    old.removesuffix(b"_total"): new.removesuffix(b"_total") for old, new in _NAMES.items() if old.endswith(b"_total")
}
_LINE = re.compile(
    rb"^(# (?:HELP|TYPE|UNIT) )?(?:(%s)(_bucket|_sum|_count|_created)?|(%s)(_created)?)(?=[ {\n])"
    % (b"|".join(map(re.escape, _NAMES)), b"|".join(map(re.escape, _FAMILIES))),
    re.MULTILINE,
)


def rename_metrics(lines: bytes) -> bytes:
    """The same lines with the names that `RULES` give."""
    return _LINE.sub(_replacement, lines)


def _replacement(found: re.Match[bytes]) -> bytes:
    comment, name, ending, family, created = found.groups(b"")
    if name:
        return comment + _NAMES[name] + ending
    if not comment and not created:
        return found[0]  # a sample of another metric that is named like a counter's family
    return comment + _FAMILIES[family] + created
