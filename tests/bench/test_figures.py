"""Figures of benchmarks carry over between machines, and a notable change is pointed out."""

import pytest

from tests.bench.figures import comparison, raw_events


def test_cpu_seconds_become_events_of_bare_simpy() -> None:
    figures = {"fleet: CPU seconds": 12.0, "fleet: peak memory, MiB": 200.0}
    assert raw_events(figures, 700_000) == {"fleet: million raw events": 8.4}
    assert raw_events({"fleet: CPU seconds": 6.0}, 1_400_000) == {"fleet: million raw events": 8.4}


def test_what_is_counted_a_cpu_second_becomes_events_for_one_of_it() -> None:
    assert raw_events({"users' requests a CPU second": 5_000.0}, 700_000) == {"users' requests: raw events each": 140.0}
    assert raw_events({"users' requests a CPU second": 10_000.0}, 1_400_000) == {
        "users' requests: raw events each": 140.0
    }


@pytest.mark.parametrize(
    ("events", "stored", "says"),
    [
        (8.4, None, "  (nothing stored)"),
        (8.4, 8.4, "  1.00 x stored (8.40)"),
        (9.9, 8.4, "  1.18 x stored (8.40)"),
        (12.6, 8.4, "  1.50 x stored (8.40): SLOWER by 50%"),
        (4.2, 8.4, "  0.50 x stored (8.40): faster by 50%"),
    ],
)
def test_a_change_of_a_fifth_is_pointed_out(events: float, stored: float | None, says: str) -> None:
    assert comparison(events, stored) == says
