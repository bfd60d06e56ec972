"""Results of requests, summed up per adapter: one line of the record per adapter and minute with requests."""

from collections import Counter
from dataclasses import dataclass, field

from twin.trace.lines import TrafficLine
from twin.trace.recorder import Recorder

QUEUED = 0.1
"""Seconds in the engine's queue from which on a request counts as queued; less is only the end of a step."""


@dataclass(frozen=True, slots=True)
class RequestResult:
    """Result of one request, times in seconds."""

    cause: str = ""
    """Cause of a failure; empty for a successful request."""
    misrouted: bool = False
    """True if the adapter was not loaded at the endpoint."""
    cold: bool = False
    """True if the adapter's weights had to be read again."""
    queued: float = 0.0
    first_token: float = 0.0
    seconds: float = 0.0


@dataclass(slots=True)
class _Sum:
    counts: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    first_token: list[float] = field(default_factory=list)
    end_to_end: list[float] = field(default_factory=list)


class TrafficStats:
    """Sums up results; `flush` records the sums since the last time."""

    def __init__(self, recorder: Recorder, ttft_slo: float | None = None) -> None:
        """`ttft_slo`: objective for the time to the first token, in seconds; None without one."""
        self._recorder = recorder
        self._slo = ttft_slo
        self._since = recorder.now()
        self._sums: dict[str, _Sum] = {}

    def add(self, adapter: str, answer: RequestResult) -> None:
        """Add the result of a request for an adapter (`namespace/name`)."""
        sum_ = self._sums.get(adapter)
        if sum_ is None:
            sum_ = self._sums[adapter] = _Sum()
        sum_.counts["requests"] += 1
        sum_.counts["misrouted"] += answer.misrouted
        sum_.counts["cold"] += answer.cold
        sum_.counts["queued"] += answer.queued > QUEUED
        if answer.cause:
            sum_.causes[answer.cause] += 1
        else:
            sum_.counts["ok"] += 1
            sum_.counts["good"] += self._slo is not None and answer.first_token <= self._slo
            sum_.first_token.append(round(answer.first_token, 4))
            sum_.end_to_end.append(round(answer.seconds, 4))

    def flush(self) -> None:
        """Record the sums, adapters sorted by name."""
        now = self._recorder.now()
        for adapter, sum_ in sorted(self._sums.items()):
            line = TrafficLine(
                t=now,
                object=adapter,
                seconds=round(now - self._since, 6),
                requests=sum_.counts["requests"],
                ok=sum_.counts["ok"],
                misrouted=sum_.counts["misrouted"],
                cold=sum_.counts["cold"],
                queued=sum_.counts["queued"],
                causes=dict(sorted(sum_.causes.items())),
                first_token_seconds=sum_.first_token,
                end_to_end_seconds=sum_.end_to_end,
                good=None if self._slo is None else sum_.counts["good"],
            )
            self._recorder.emit(line)
        self._sums = {}
        self._since = now
