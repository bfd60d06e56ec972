"""The summary's `traffic.*`, and a table by adapter and minute, both from the record alone."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twin.evaluate.percentiles import percentiles
from twin.trace.lines import Line, TrafficLine

NO_ENDPOINT = "no endpoint"
_COUNTS = ("requests", "ok", "misrouted", "cold", "queued")


class TrafficSummary:
    """Goes along with the record."""

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
        """`failed` is whatever did not end well; `unrouted` of these found no endpoint at the gateway."""
        found = self._counts
        return {
            "requests": found["requests"],
            "ok": found["ok"],
            "failed": found["requests"] - found["ok"],
            "misrouted": found["misrouted"],
            "unrouted": found["unrouted"],
            "cold": found["cold"],
            "queued": found["queued"],
            "ttft_seconds": _spread(self._first),
            "e2e_seconds": _spread(self._whole),
        }


def traffic_rows(lines: Iterable[Line]) -> Mapping[str, list[Any]]:
    """One row for each adapter and minute that had requests; times in seconds, None where none was answered."""
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
