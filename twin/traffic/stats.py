"""What came of requests, added up by adapter: one line of the record for each adapter and minute that had any."""

from collections import Counter
from dataclasses import dataclass, field

from twin.trace.lines import TrafficLine
from twin.trace.recorder import Recorder

QUEUED = 0.1
"""Seconds in the engine's queue from which on a request counts as queued: some steps; less is only the step's end."""


@dataclass(frozen=True, slots=True)
class RequestResult:
    """How one request went, times in seconds."""

    cause: str = ""
    """Why it failed; empty if it did not."""
    misrouted: bool = False
    """Whether it was sent to where the adapter was not loaded."""
    cold: bool = False
    """Whether the adapter's weights had to be read again first."""
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
    """`add` what ends, `tell` what there is since the last time."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._since = recorder.now()
        self._sums: dict[str, _Sum] = {}

    def add(self, adapter: str, answer: RequestResult) -> None:
        """A request for an adapter (`namespace/name`) has ended."""
        known = self._sums.get(adapter)
        if known is None:
            known = self._sums[adapter] = _Sum()
        known.counts["requests"] += 1
        known.counts["misrouted"] += answer.misrouted
        known.counts["cold"] += answer.cold
        known.counts["queued"] += answer.queued > QUEUED
        if answer.cause:
            known.causes[answer.cause] += 1
        else:
            known.counts["ok"] += 1
            known.first_token.append(round(answer.first_token, 4))
            known.end_to_end.append(round(answer.seconds, 4))

    def tell(self) -> None:
        """Records all of it, adapters by name."""
        now = self._recorder.now()
        for adapter, known in sorted(self._sums.items()):
            line = TrafficLine(
                t=now,
                object=adapter,
                seconds=round(now - self._since, 6),
                requests=known.counts["requests"],
                ok=known.counts["ok"],
                misrouted=known.counts["misrouted"],
                cold=known.counts["cold"],
                queued=known.counts["queued"],
                causes=dict(sorted(known.causes.items())),
                first_token_seconds=known.first_token,
                end_to_end_seconds=known.end_to_end,
            )
            self._recorder.emit(line)
        self._sums = {}
        self._since = now
