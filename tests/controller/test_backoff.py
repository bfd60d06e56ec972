"""Delays between attempts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.backoff import Backoff


@pytest.mark.parametrize(("failures", "seconds"), [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80)])
def test_delays_double_from_five_seconds(failures: int, seconds: float) -> None:
    assert Backoff().delay(failures) == seconds


def test_the_sixth_failure_is_the_last_on_a_pod() -> None:
    assert not Backoff().exhausted(5)
    assert Backoff().exhausted(6)


def test_there_is_no_delay_before_the_first_attempt() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Backoff().delay(0)


@given(st.integers(1, 10_000), st.floats(0, 1), st.text())
def test_no_delay_exceeds_the_cap_or_is_shorter_than_without_jitter(failures: int, jitter: float, salt: str) -> None:
    plain, jittered = Backoff(), Backoff(jitter=jitter)
    assert plain.delay(failures) <= jittered.delay(failures, salt=salt) <= 300


@given(st.integers(1, 20), st.text())
def test_a_restarted_controller_computes_the_same_jitter(failures: int, salt: str) -> None:
    assert Backoff(jitter=0.5).delay(failures, salt=salt) == Backoff(jitter=0.5).delay(failures, salt=salt)
