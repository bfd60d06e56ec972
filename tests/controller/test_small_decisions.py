"""Policies, demand, errors of engines, annotations and pods: for random inputs, the results that were reviewed."""

from tests.controller import small_decisions
from tests.controller.reviewed import difference


def test_for_random_inputs_small_decisions_are_what_is_written_down() -> None:
    assert not difference(small_decisions.stored(), small_decisions.texts(), small_decisions.__name__)
