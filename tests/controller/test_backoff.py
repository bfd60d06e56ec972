"""The schedule of retries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.backoff import Backoff


@pytest.mark.parametrize(("failures", "seconds"), [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80)])
def test_waits_double_from_five_seconds(failures: int, seconds: float) -> None:
    assert Backoff().wait(failures) == seconds


def test_sixth_failure_ends_it_for_this_pod() -> None:
    assert not Backoff().exhausted(5)
    assert Backoff().exhausted(6)


def test_there_is_no_wait_before_the_first_attempt() -> None:
    with pytest.raises(ValueError, match="before the first attempt"):
        Backoff().wait(0)


@given(st.integers(1, 10_000), st.floats(0, 1), st.text())
def test_no_wait_is_longer_than_the_cap_nor_shorter_than_without_jitter(
    failures: int, jitter: float, salt: str
) -> None:
    plain, jittered = Backoff(), Backoff(jitter=jitter)
    assert plain.wait(failures) <= jittered.wait(failures, salt=salt) <= 300


@given(st.integers(1, 20), st.text())
def test_a_restarted_controller_arrives_at_the_same_jitter(failures: int, salt: str) -> None:
    assert Backoff(jitter=0.5).wait(failures, salt=salt) == Backoff(jitter=0.5).wait(failures, salt=salt)
