"""The gate of `make conform`: what the table of known differences explains, and what it must not hide."""

import pytest

from tests.conformance.comparison.compare import Difference
from tests.conformance.comparison.gate import Known, judge, unused

TEXT = Difference("cases/chat/good", "[0].json.error.message", "one", "two")
STATUS = Difference("cases/chat/good", "[0].status", 200, 404)


@pytest.mark.parametrize(
    ("known", "explained"),
    [
        (Known("cases/chat/good", "[0].json.error.message", "r"), True),
        (Known("cases/chat/*", "[*].json.error.message", "r"), True),
        (Known("cases/*", "*", "r", ("1.0.0",)), True),
        (Known("cases/*", "*", "r", ("1.1.0",)), False),
        (Known("cases/chat", "*", "r"), False),
        (Known("cases/chat/*", "[0].json.error", "r"), False),
        (Known("cases/chat/goo.", "*", "r"), False),
    ],
)
def test_a_known_difference_is_of_its_entries_places_and_releases(known: Known, explained: bool) -> None:
    verdict = judge("1.0.0", [TEXT], [known])
    assert verdict.unexplained == ([] if explained else [TEXT])
    assert verdict.explained == ({known: 1} if explained else {})


def test_what_no_entry_explains_is_left() -> None:
    verdict = judge("1.0.0", [TEXT, STATUS], [Known("cases/chat/*", "*.message", "words")])
    assert verdict.unexplained == [STATUS]


def test_an_entry_that_explains_nothing_is_named() -> None:
    used, stale = Known("cases/chat/*", "*", "used"), Known("cases/none/*", "*", "not built")
    assert unused([used, stale], [judge("1.0.0", [TEXT], [used, stale])]) == ["cases/none/* *: not built"]


def test_an_entry_must_explain_something_in_each_of_its_releases() -> None:
    known = Known("cases/*", "*", "words", ("1.0.0", "1.1.0"))
    verdicts = [judge("1.0.0", [TEXT], [known]), judge("1.1.0", [], [known])]
    assert unused([known], verdicts) == ["cases/* * of 1.1.0: words"]
