"""Figures of benchmarks carry over between machines, and a notable change is pointed out."""

import pytest

from tests.bench.figures import comparison, raw_events


def test_cpu_seconds_become_events_of_bare_simpy() -> None:
    figures = {"fleet: CPU seconds": 12.0, "fleet: peak memory, MiB": 200.0}
    assert raw_events(figures, 700_000) == {"fleet: million raw events": 8.4}
    assert raw_events({"fleet: CPU seconds": 6.0}, 1_400_000) == {"fleet: million raw events": 8.4}


@pytest.mark.parametrize(
    ("events", "stored", "says"),
    [
        (8.4, None, "  (nothing stored)"),
        (8.4, 8.4, ""),
        (9.9, 8.4, ""),
        (12.6, 8.4, "  SLOWER by 50% than stored (8.40)"),
        (4.2, 8.4, "  faster by 50% than stored (8.40)"),
    ],
)
def test_a_change_of_a_fifth_is_pointed_out(events: float, stored: float | None, says: str) -> None:
    assert comparison(events, stored) == says
