"""Traffic measures: the summary's `traffic.*` and `on_demand.*`, and a table by adapter and minute."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twin.evaluate.percentiles import percentiles
from twin.trace.lines import HeldLine, Line, TrafficLine

NO_ENDPOINT = "no endpoint"
_FEWEST = 20
"""Requests of an adapter whose share is a measure; with fewer it is chance."""
_COUNTS = ("requests", "ok", "misrouted", "cold", "queued")


class TrafficSummary:
    """Accumulates the traffic lines of a trace."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._good: dict[str, list[int]] = {}
        """(good, all) requests by adapter, of a run with an objective."""
        self._served: dict[str, list[int]] = {}
        """(served, all) requests by adapter; served means good in a run with an objective, otherwise answered."""
        self._first: dict[str, list[float]] = {}
        """Times to the first token, by adapter."""
        self._whole: list[float] = []

    def see(self, line: TrafficLine) -> None:
        for name in _COUNTS:
            self._counts[name] += getattr(line, name)
        self._counts["unrouted"] += line.causes.get(NO_ENDPOINT, 0)
        if line.good is not None:
            good = self._good.setdefault(line.object, [0, 0])
            good[0] += line.good
            good[1] += line.requests
        served = self._served.setdefault(line.object, [0, 0])
        served[0] += line.ok if line.good is None else line.good
        served[1] += line.requests
        self._first.setdefault(line.object, []).extend(line.first_token_seconds)
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
            "goodput": _goodput(self._good),
            "fairness": {
                "adapters": _jain(counts for counts in self._served.values() if counts[1] >= _FEWEST),
                "namespaces": _jain(_by_namespace(self._served).values()),
            },
            "ttft_seconds": _spread([value for values in self._first.values() for value in values]),
            "ttft_worst_seconds": _worst_first_token(self._first),
            "e2e_seconds": _spread(self._whole),
        }


class OnDemandSummary:
    """Accumulates requests that the activator has held."""

    def __init__(self) -> None:
        self.cold_starts = 0
        """Loads of adapters that were idle."""
        self._counts: Counter[str] = Counter()
        self._first: list[float] = []

    def see(self, line: HeldLine) -> None:
        self._counts["held"] += line.event == "held"
        self._counts["failed"] += line.event == "released" and line.cause != ""
        if line.event == "answered":
            self._first.append(line.seconds)

    def summary(self) -> dict[str, Any]:
        """Return the measures. `ttft_seconds` is the time to the first token of the requests that were held."""
        return {
            "cold_starts": self.cold_starts,
            "held": self._counts["held"],
            "failed": self._counts["failed"],
            "ttft_seconds": _spread(self._first),
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


def _goodput(good: Mapping[str, Sequence[int]]) -> dict[str, float | None]:
    """Return the share of requests within the objective: of all, and of the adapter and namespace that fared worst."""
    spaces = _by_namespace(good)
    return {
        "share": _share(list(spaces.values())),
        "worst_adapter": _worst(counts for counts in good.values() if counts[1] >= _FEWEST),
        "worst_namespace": _worst(spaces.values()),
    }


def _by_namespace(counts: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    spaces: dict[str, list[int]] = {}
    for adapter, (part, whole) in counts.items():
        space = spaces.setdefault(adapter.partition("/")[0], [0, 0])
        space[0] += part
        space[1] += whole
    return spaces


def _jain(counts: Iterable[Sequence[int]]) -> float | None:
    """Return Jain's index of the shares that were served: 1 if all are equal; None for fewer than two."""
    shares = [part / whole for part, whole in counts if whole]
    squares = sum(share**2 for share in shares)
    return round(sum(shares) ** 2 / (len(shares) * squares), 6) if squares and len(shares) > 1 else None


def _worst_first_token(first: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    """Return the longest p95 of the time to the first token of one adapter and of one namespace."""
    spaces: dict[str, list[float]] = {}
    for adapter, values in first.items():
        spaces.setdefault(adapter.partition("/")[0], []).extend(values)
    found = {"adapter": first.values(), "namespace": spaces.values()}
    return {
        name: max((round(percentiles(values, 95)[0], 6) for values in groups if len(values) >= _FEWEST), default=None)
        for name, groups in found.items()
    }


def _worst(counts: Iterable[Sequence[int]]) -> float | None:
    return min((round(good / every, 6) for good, every in counts if every), default=None)


def _share(counts: Sequence[Sequence[int]]) -> float | None:
    whole = sum(every for _, every in counts)
    return round(sum(good for good, _ in counts) / whole, 6) if whole else None
