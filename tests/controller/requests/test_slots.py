"""Request slots per pod: waiting adapters get them in turn, and an offer that is not taken goes on to the next."""

import random

import pytest

from controller.requests.slots import RequestSlots

POD = "default/pod-a"


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def slots(woken: list[str]) -> RequestSlots:
    """Both slots of the pod are taken, and three adapters wait."""
    slots = RequestSlots(2, woken.append)
    slots.reserve(POD)
    slots.reserve(POD)
    for adapter in ("first", "second", "third"):
        slots.wait_for_slot(adapter, POD)
    return slots


def test_a_pod_is_full_exactly_while_all_its_slots_are_taken(slots: RequestSlots) -> None:
    assert slots.full == {POD}
    slots.release(POD)
    assert slots.full == set()


def test_a_released_slot_is_offered_to_the_first_in_the_queue(slots: RequestSlots, woken: list[str]) -> None:
    slots.release(POD)
    assert woken == ["first"]


def test_an_offer_that_is_not_taken_goes_to_the_next(slots: RequestSlots, woken: list[str]) -> None:
    slots.release(POD)
    slots.reconcile_finished("first")
    slots.reconcile_finished("second")
    assert woken == ["first", "second", "third"]


def test_a_slot_that_is_taken_is_not_offered_again(slots: RequestSlots, woken: list[str]) -> None:
    slots.release(POD)
    slots.reserve(POD)
    slots.reconcile_finished("first")
    assert woken == ["first"]


def test_no_adapter_waits_beside_a_free_slot(slots: RequestSlots, woken: list[str]) -> None:
    rng, answered, taken = random.Random(7), 0, 2
    for _ in range(200):
        if answered < len(woken):
            if rng.random() < 0.5 and slots.has_slot(POD):
                slots.reserve(POD)
                taken += 1
            slots.reconcile_finished(woken[answered])
            answered += 1
        elif taken:
            slots.release(POD)
            taken -= 1
    assert woken == ["first", "second", "third"]
    assert slots.has_slot(POD)


def test_adapters_that_wait_for_a_deleted_pod_are_woken(slots: RequestSlots, woken: list[str]) -> None:
    slots.forget_pod(POD)
    assert woken == ["first", "second", "third"]
