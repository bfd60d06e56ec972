"""Label selectors, checked against the table of `k8s.io/apimachinery/pkg/labels`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.errors import FormatError
from formats.label_selectors import Expression, compile_selector, parse_selector

LABELS = {"app": "base", "tier": "gpu", "example.com/size": "7"}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("app=base", True),
        ("app==base,tier=gpu", True),
        ("app!=base", False),
        ("gone!=x", True),
        ("app in (base, other)", True),
        ("app notin (base)", False),
        ("gone notin (x)", True),
        ("tier", True),
        ("!tier", False),
        ("!gone", True),
        ("example.com/size>6", True),
        ("example.com/size<7", False),
        ("app>1", False),
        ("app=", False),
    ],
)
def test_the_string_form(selector: str, matches: bool) -> None:
    assert parse_selector(selector)(LABELS) is matches


@pytest.mark.parametrize("selector", ["a in b", "a=b=c", "=x", "a,,b", "a>x", "!"])
def test_other_texts_are_refused(selector: str) -> None:
    with pytest.raises(FormatError, match="unable to parse requirement"):
        parse_selector(selector)


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        (Expression("app", "In", ("base",)), True),
        (Expression("gone", "In", ("base",)), False),
        (Expression("app", "NotIn", ("base",)), False),
        (Expression("gone", "NotIn", ("base",)), True),
        (Expression("app", "Exists"), True),
        (Expression("app", "DoesNotExist"), False),
    ],
)
def test_match_expressions(expression: Expression, matches: bool) -> None:
    assert compile_selector({}, [expression])(LABELS) is matches
    assert compile_selector({"tier": "gpu"}, [expression])(LABELS) is matches
    assert compile_selector({"tier": "cpu"}, [expression])(LABELS) is False


def test_the_empty_selector_matches_everything() -> None:
    assert compile_selector({})({})
    assert parse_selector("")({})


def test_an_unknown_operator_is_refused() -> None:
    with pytest.raises(FormatError, match='"Near" is not a valid label selector operator'):
        compile_selector({}, [Expression("a", "Near")])


NAMES = st.from_regex(r"[a-z]{1,3}", fullmatch=True)
WORDS = {"In": "in", "NotIn": "notin"}


@given(NAMES, st.sampled_from(sorted(WORDS)), st.lists(NAMES, min_size=1), st.dictionaries(NAMES, NAMES))
def test_both_forms_mean_the_same(key: str, operator: str, values: list[str], labels: dict[str, str]) -> None:
    text = f"{key} {WORDS[operator]} ({','.join(values)})"
    assert parse_selector(text)(labels) == compile_selector({}, [Expression(key, operator, values)])(labels)
