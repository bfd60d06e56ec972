"""Parser of an engine's `/metrics`: vLLM's, SGLang's, or either as renamed by the runtime sidecar. Pure.

vLLM exposes hundreds of series and a dozen are needed; lines are filtered by name before they are parsed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from math import isfinite
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

_STARTED, _CPU, _ANSWERED = "process_start_time_seconds", "process_cpu_seconds_total", "http_requests_total"
"""Series of Python's Prometheus client and of the middleware that vLLM uses, which have no prefix."""
_NAME = re.compile(
    rb"(?:(?:vllm|sglang|aibrix):|(?=%b|%b|%b))(\w+)[{ ]" % (_STARTED.encode(), _CPU.encode(), _ANSWERED.encode()),
    re.ASCII,
)
_MAX_SAMPLES = 20_000
_MAX_LINE = 64 << 10
"""A dozen series; one of them has the names of all adapters in its labels."""
_RUNNING = ("num_requests_running", "num_running_reqs")
_WAITING = ("num_requests_waiting", "num_queue_reqs", "queue_size")
_PROMPT, _GENERATION = "prompt_tokens_total", "generation_tokens_total"
_QUEUED, _INFERRED = "request_queue_time_seconds", "request_inference_time_seconds"
_WHOLE = "e2e_request_latency_seconds"
_LORAS = "lora_requests_info"
_NEEDED = frozenset(
    {
        _STARTED,
        _CPU,
        _ANSWERED,
        *_RUNNING,
        *_WAITING,
        _PROMPT,
        _GENERATION,
        _LORAS,
        *(f"{name}_{part}" for name in (_QUEUED, _INFERRED, _WHOLE) for part in ("sum", "count")),
    }
)


@dataclass(frozen=True, slots=True)
class MetricsSample:
    """One page. Missing values are None; totals are since the engine's start."""

    busy_seconds: float | None = None
    """Seconds in the queue and in execution, of requests that have ended."""
    ended: float | None = None
    """Number of these requests."""
    tokens: float | None = None
    """Prompt tokens (counted twice) and generated tokens."""
    requests: float | None = None
    """Running and waiting requests."""
    adapters: frozenset[str] = field(default_factory=frozenset)
    """Adapters that these requests use."""
    started_at: float | None = None
    """Start of the engine's process, in seconds since 1970."""
    refused: float | None = None
    """HTTP requests answered with a status from 400 to 499."""
    cpu_seconds: float | None = None
    """CPU time of the server's process, which grows with each page that it makes."""
    adapter_times: Mapping[str, float] = field(default_factory=dict)
    """Newest value of the series that name an adapter: the time of its last step, by the engine's clock."""


def read(page: bytes) -> MetricsSample:
    """Parse a page.

    Raises:
        ValueError: the page is not in the text exposition format.
    """
    totals: dict[str, float] = {}
    info: tuple[float, Mapping[str, str]] = (-1.0, {})
    times: dict[str, float] = {}
    for sample in _samples(page):
        name = sample.name.rpartition(":")[2]
        if name == _LORAS:
            info = max(info, (sample.value, sample.labels), key=lambda item: item[0])
            times |= {adapter: max(sample.value, times.get(adapter, 0.0)) for adapter in _named(sample.labels)}
        elif name == _ANSWERED:
            totals[name] = totals.get(name, 0.0) + (sample.value if sample.labels.get("status") == "4xx" else 0.0)
        else:
            totals[name] = totals.get(name, 0.0) + sample.value
    busy, ended = _busy(totals)
    prompt, generated = totals.get(_PROMPT), totals.get(_GENERATION)
    waiting = [totals[name] for name in (*_RUNNING, *_WAITING) if name in totals]
    return MetricsSample(
        busy_seconds=busy,
        ended=ended,
        tokens=None if prompt is None and generated is None else 2 * (prompt or 0.0) + (generated or 0.0),
        requests=sum(waiting) if waiting else None,
        adapters=_named(info[1]),
        started_at=totals.get(_STARTED),
        refused=totals.get(_ANSWERED),
        cpu_seconds=totals.get(_CPU),
        adapter_times=times,
    )


def _named(labels: Mapping[str, str]) -> frozenset[str]:
    """Return the adapters that a series of `lora_requests_info` names."""
    texts = (labels.get(label, "") for label in ("running_lora_adapters", "waiting_lora_adapters"))
    return frozenset(name.strip() for names in texts for name in names.split(",") if name.strip())


def _samples(page: bytes) -> list[Any]:
    lines: list[str] = []
    for line in BytesIO(page):  # a list of all lines would take many times the memory of the page
        match = _NAME.match(line)
        if match is None or match[1].decode() not in _NEEDED:
            continue
        if len(lines) == _MAX_SAMPLES or len(line) > _MAX_LINE:
            raise ValueError(f"a page has at most {_MAX_SAMPLES} samples of these series, of {_MAX_LINE} bytes each")
        lines.append(line.decode(errors="replace").rstrip("\r\n"))
    families = text_string_to_metric_families("\n".join(lines) + "\n")
    return [sample for family in families for sample in family.samples if isfinite(sample.value)]


def _busy(totals: Mapping[str, float]) -> tuple[float | None, float | None]:
    """Return (seconds, requests): queue and inference time where both are exposed, else end-to-end latency."""
    if f"{_QUEUED}_sum" in totals and f"{_INFERRED}_sum" in totals:
        return totals[f"{_QUEUED}_sum"] + totals[f"{_INFERRED}_sum"], totals.get(f"{_INFERRED}_count")
    return totals.get(f"{_WHOLE}_sum"), totals.get(f"{_WHOLE}_count")
