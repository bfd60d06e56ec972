"""Rows of the table of adapters: those that need attention first."""

from collections.abc import Sequence
from dataclasses import dataclass

from formats.durations import format_clock
from twin.report.timeline import AdapterTimeline

MOST_ROWS = 2000
"""Adapters in the table, to limit the size of the page; `adapters.total` counts all."""
MOST_PODS = 3
"""Pods that are named in a row."""
MOST_MESSAGE = 300
"""Characters of a message."""


@dataclass(frozen=True, slots=True)
class AdapterRow:
    """One adapter as the table shows it.

    Attributes:
        id: the adapter's name, with a number if an earlier adapter had the same one.
        phase: the last phase, or `deleted`.
        time: time to Running as text.
        seconds: time to Running in seconds, or empty.
        loads: load requests.
        failed: failed load requests.
        pods: pods in `status.instances` at the end, as far as they are named.
        count: number of these pods.
        message: message of the condition that explains the phase.
    """

    id: str
    name: str
    phase: str
    time: str
    seconds: str
    loads: int
    failed: int
    pods: tuple[str, ...]
    count: int
    message: str

    @property
    def more(self) -> int:
        """Return the number of pods that are not named."""
        return self.count - len(self.pods)


def adapter_rows(adapters: Sequence[AdapterTimeline]) -> list[AdapterRow]:
    """Return the rows: adapters that are not Running first, then by failed loads and time to Running."""
    used: dict[str, int] = {}
    rows = list[AdapterRow]()
    for adapter in adapters:
        used[adapter.name] = used.get(adapter.name, 0) + 1
        rows.append(_row(adapter, used[adapter.name]))
    return sorted(rows, key=_order)[:MOST_ROWS]


def _order(row: AdapterRow) -> tuple[int, int, float, str]:
    attention = 2 if row.phase == "deleted" else 1 if row.phase == "Running" else 0
    return attention, -row.failed, -float(row.seconds or 0), row.id


def _row(adapter: AdapterTimeline, number: int) -> AdapterRow:
    loads = [attempt for attempt in adapter.attempts if attempt.verb == "load"]
    seconds, deleted = adapter.time_to_running, adapter.deleted is not None
    pods = () if deleted else tuple(name.rpartition("/")[2] for name in adapter.instances)
    message = adapter.message
    return AdapterRow(
        id=adapter.name if number == 1 else f"{adapter.name}~{number}",
        name=adapter.name,
        phase="deleted" if deleted else adapter.phase or "not yet reconciled",
        time="—" if seconds is None else f"{seconds:.3g} s" if seconds < 100 else format_clock(seconds),
        seconds="" if seconds is None else f"{seconds:.3f}",
        loads=len(loads),
        failed=sum(attempt.failed for attempt in loads),
        pods=pods[:MOST_PODS],
        count=len(pods),
        message=message if len(message) <= MOST_MESSAGE else message[:MOST_MESSAGE] + "…",
    )
