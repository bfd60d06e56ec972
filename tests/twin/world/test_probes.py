"""Probe thresholds computed without ticking, checked against a model that ticks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.world.probes import INITIAL, Probe, Prober, Role


def a_probe(role: Role = "readiness", **fields: float) -> Probe:
    return Probe.of(role, {"httpGet": {"path": "/health", "port": 8000}, **fields})


@pytest.mark.parametrize(
    ("fields", "ready_from", "ready_at"),
    [
        ({}, 0.0, 0.0),
        ({"initialDelaySeconds": 30}, 0.0, 30.0),
        ({"initialDelaySeconds": 30, "periodSeconds": 5}, 42.0, 45.0),
        ({"periodSeconds": 5}, 45.0, 45.0),  # a round at the moment of the change sees it
        ({"periodSeconds": 5, "successThreshold": 3}, 41.0, 55.0),
    ],
)
def test_a_container_becomes_ready_at_the_round_that_reaches_the_threshold(
    fields: dict[str, float], ready_from: float, ready_at: float
) -> None:
    prober = Prober(a_probe(**fields), origin=0.0, passing=False)
    prober.change(ready_from, True)
    assert prober.due() == ready_at
    assert prober.reach(ready_at)
    assert prober.result
    assert prober.due() is None


def test_a_failure_shorter_than_the_threshold_is_not_noticed() -> None:
    prober = Prober(a_probe(periodSeconds=5, failureThreshold=3), origin=0.0, passing=True)
    assert prober.reach(0.0)
    prober.change(11.0, False)
    assert prober.due() == 25.0
    prober.change(24.0, True)
    assert prober.result
    assert prober.due() is None


def test_a_success_between_failures_resets_the_count() -> None:
    prober = Prober(a_probe(periodSeconds=5, failureThreshold=3), origin=0.0, passing=True)
    prober.reach(0.0)
    prober.change(6.0, False)  # rounds at 10 and 15 fail
    prober.change(16.0, True)  # the round at 20 passes
    prober.change(21.0, False)
    assert prober.due() == 35.0


def test_rounds_before_the_container_has_started_up_are_left_out() -> None:
    prober = Prober(a_probe(periodSeconds=10), origin=3.0, passing=True, not_before=20.0)
    assert prober.due() == 23.0


def test_where_chance_decides_every_round_is_due() -> None:
    prober = Prober(a_probe(periodSeconds=10, failureThreshold=2), origin=0.0, passing=None)
    assert prober.due() == 0.0
    assert prober.observe(True)
    assert prober.due() == 10.0
    assert not prober.observe(False)
    assert prober.observe(False)
    assert prober.due() == 30.0


def ticking(probe: Probe, changes: list[tuple[float, bool]], end: float) -> list[tuple[float, bool | None]]:
    """Return every change of the result, by probing in every round."""
    result, last, run, flips, k = INITIAL[probe.role], None, 0, [], 0
    while (moment := probe.initial_delay + k * probe.period) <= end:
        k += 1
        passed = [passing for at, passing in changes if at <= moment][-1]
        run = run + 1 if passed == last else 1
        last = passed
        if passed != result and run >= (probe.success if passed else probe.failure):
            result = passed
            flips.append((moment, passed))
    return flips


def leaping(probe: Probe, changes: list[tuple[float, bool]], end: float) -> list[tuple[float, bool | None]]:
    """Return the same from `Prober`, which is called only at its own times."""
    prober, flips = Prober(probe, 0.0, changes[0][1]), []
    for moment, passing in [*changes[1:], (end + 1e-9, True)]:
        while (due := prober.due()) is not None and due < moment:
            assert prober.reach(due), "it asked to be woken for nothing"
            flips.append((due, prober.result))
        assert not prober.change(moment, passing), "a flip was slept through"
    return flips


@settings(deadline=None, max_examples=200)
@given(
    role=st.sampled_from(["startup", "readiness", "liveness"]),
    delay=st.integers(0, 20),
    period=st.sampled_from([0.1, 0.3, 1.0, 5.0, 7.0]),
    success=st.integers(1, 3),
    failure=st.integers(1, 4),
    moments=st.lists(st.floats(0.01, 60), max_size=12, unique=True),
    answers=st.lists(st.booleans(), min_size=13, max_size=13),
)
def test_leaping_from_threshold_to_threshold_finds_what_ticking_finds(
    role: Role,
    delay: int,
    period: float,
    success: int,
    failure: int,
    moments: list[float],
    answers: list[bool],
) -> None:
    probe = Probe(role, float(delay), period, success, failure)
    changes = list(zip([0.0, *sorted(moments)], answers, strict=False))
    assert leaping(probe, changes, 70.0) == ticking(probe, changes, 70.0)
