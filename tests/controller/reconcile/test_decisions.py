"""Decisions in random situations are the ones that were reviewed."""

from tests.controller.reconcile import decisions
from tests.controller.reviewed import difference


def test_in_random_situations_the_operator_decides_what_is_written_down() -> None:
    assert not difference(decisions.stored(), decisions.texts(), decisions.__name__)
