"""Free places at an engine: who waits for one gets it, also if the first in line does not take his."""

import random
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from controller.requests.tracker import RequestTracker
from controller.settings import Settings

POD = "default/pod-a"


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def operations(woken: list[str]) -> RequestTracker:
    """Both places of the pod are taken, and three adapters wait."""
    nobody = cast(Any, None)
    made = RequestTracker(nobody, Noon(), Settings(max_requests_per_pod=2), nobody, woken.append)
    made.reserve(POD)
    made.reserve(POD)
    for adapter in ("first", "second", "third"):
        made.wait_for_slot(adapter, POD)
    return made


def test_a_place_that_is_given_back_is_offered_to_the_first_in_line(
    operations: RequestTracker, woken: list[str]
) -> None:
    operations.release(POD)
    assert woken == ["first"]


def test_a_place_that_the_first_in_line_does_not_take_goes_to_the_next(
    operations: RequestTracker, woken: list[str]
) -> None:
    operations.release(POD)
    operations.reconcile_finished("first")
    operations.reconcile_finished("second")
    assert woken == ["first", "second", "third"]


def test_a_place_that_is_taken_is_not_offered_again(operations: RequestTracker, woken: list[str]) -> None:
    operations.release(POD)
    operations.reserve(POD)
    operations.reconcile_finished("first")
    assert woken == ["first"]


def test_whatever_they_decide_nobody_waits_beside_a_free_place(operations: RequestTracker, woken: list[str]) -> None:
    rng, answered, taken = random.Random(7), 0, 2
    for _ in range(200):
        if answered < len(woken):
            if rng.random() < 0.5 and operations.has_slot(POD):
                operations.reserve(POD)
                taken += 1
            operations.reconcile_finished(woken[answered])
            answered += 1
        elif taken:
            operations.release(POD)
            taken -= 1
    assert woken == ["first", "second", "third"]
    assert operations.has_slot(POD)
