"""Translates metric names of vLLM and SGLang to the `aibrix:` names of existing dashboards.

Works on bytes and whole lines, so that a page can be streamed; unknown lines are left unchanged. Names are matched with
the suffixes they have in the text (`_total`, `_bucket`, ...), which a parser would strip. vLLM 0.12 and later, and
SGLang, call the time per output token inter-token latency; some releases of vLLM expose both names.
"""

import re

_SAME_IN_BOTH = {
    "prompt_tokens_total": "prompt_tokens_total",
    "generation_tokens_total": "generation_tokens_total",
    "time_to_first_token_seconds": "time_to_first_token_seconds",
    "time_per_output_token_seconds": "time_per_output_token_seconds",
    "inter_token_latency_seconds": "time_per_output_token_seconds",
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


class MetricsTranslation:
    """Translation of one page, in chunks of whole lines.

    If two names of a page would become the same, the first stays translated and the other unchanged: a page with the
    same series twice is not valid.
    """

    def __init__(self) -> None:
        self._translated: dict[bytes, bytes] = {}
        """New name to the old one that has become it."""

    def __call__(self, lines: bytes) -> bytes:
        """Return the lines with names translated by `RULES`."""
        return _LINE.sub(self._replacement, lines)

    def _replacement(self, match: re.Match[bytes]) -> bytes:
        comment, name, suffix, family, created = match.groups(b"")
        if name:
            new = _NAMES[name]
            return comment + new + suffix if self._translated.setdefault(new, name) == name else match[0]
        if not comment and not created:
            return match[0]  # a sample of another metric with the name of a counter's family
        return comment + _FAMILIES[family] + created


def rename_metrics(page: bytes) -> bytes:
    """Return a whole page with names translated by `RULES`."""
    return MetricsTranslation()(page)
