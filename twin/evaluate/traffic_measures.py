"""Traffic measures: the summary's `traffic.*`, and a table by adapter and minute."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twin.evaluate.percentiles import percentiles
from twin.trace.lines import Line, TrafficLine

NO_ENDPOINT = "no endpoint"
_COUNTS = ("requests", "ok", "misrouted", "cold", "queued")


class TrafficSummary:
    """Accumulates the traffic lines of a trace."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: list[float] = []
        self._whole: list[float] = []

    def see(self, line: TrafficLine) -> None:
        for name in _COUNTS:
            self._counts[name] += getattr(line, name)
        self._counts["unrouted"] += line.causes.get(NO_ENDPOINT, 0)
        self._first += line.first_token_seconds
        self._whole += line.end_to_end_seconds

    def summary(self) -> dict[str, Any]:
        """Return the measures. `failed` includes `unrouted`, requests without an endpoint at the gateway."""
        counts = self._counts
        return {
            "requests": counts["requests"],
            "ok": counts["ok"],
            "failed": counts["requests"] - counts["ok"],
            "misrouted": counts["misrouted"],
            "unrouted": counts["unrouted"],
            "cold": counts["cold"],
            "queued": counts["queued"],
            "ttft_seconds": _spread(self._first),
            "e2e_seconds": _spread(self._whole),
        }


def traffic_rows(lines: Iterable[Line]) -> Mapping[str, list[Any]]:
    """Return one row for each adapter and minute with requests; times are seconds, None without a response."""
    rows: dict[str, list[Any]] = {
        name: [] for name in ("time", "adapter", *_COUNTS, "failed", "ttft_p50", "ttft_p95", "e2e_p95")
    }
    for line in lines:
        if isinstance(line, TrafficLine):
            first, whole = _spread(line.first_token_seconds), _spread(line.end_to_end_seconds)
            values = [line.t, line.object, *(getattr(line, name) for name in _COUNTS), line.requests - line.ok]
            for name, value in zip(rows, [*values, first["p50"], first["p95"], whole["p95"]], strict=True):
                rows[name].append(value)
    return rows


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "p95": None, "p99": None}
    found = percentiles(values, 50, 95, 99)
    return {name: round(value, 6) for name, value in zip(("p50", "p95", "p99"), found, strict=True)}
