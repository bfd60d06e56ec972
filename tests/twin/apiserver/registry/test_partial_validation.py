"""A patch that keeps parts of an object is checked as if nothing were known of it."""

from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twin.apiserver import FieldError
from twin.apiserver.schema.structural import compile_schema
from twin.apiserver.schema.value_validations import ROOT

_CONDITION: dict[str, Any] = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"type": "string", "minLength": 1},
        "status": {"type": "string", "enum": ["True", "False"], "default": "False"},
        "seen": {"type": "integer", "minimum": 0},
    },
}
_LISTS: dict[str, Any] = {
    "conditions": {
        "type": "array",
        "items": _CONDITION,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    },
    "names": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    "groups": {
        "type": "array",
        "items": {"type": "array", "items": {"type": "integer"}},
        "x-kubernetes-list-type": "set",
    },
}
_CHECK = compile_schema({"type": "object", "properties": _LISTS})
_NAMES = st.sampled_from(["", "Ready", "Bound", 7])
_CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "type": _NAMES,
            "status": st.sampled_from(["True", "False", "?"]),
            "seen": st.integers(-1, 2),
            "more": st.just(1),
        },
    )
    | st.just("no object"),
    max_size=4,
)
_OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "conditions": _CONDITIONS,
        "names": st.lists(_NAMES, max_size=4),
        "groups": st.lists(st.lists(st.integers(0, 1), max_size=1) | st.just(1), max_size=3),
    },
)


def checked(value: Any, old: Any) -> tuple[Any, list[FieldError]]:
    errors: list[FieldError] = []
    return _CHECK(value, old, ROOT, errors), errors


@given(old=_OBJECTS, sent=_OBJECTS, kept=st.sets(st.tuples(st.sampled_from(sorted(_LISTS)), st.integers(0, 3))))
def test_a_patch_that_keeps_items_gets_the_answer_of_a_whole_object(
    old: dict[str, Any], sent: dict[str, Any], kept: set[tuple[str, int]]
) -> None:
    stored, faults = checked(old, None)
    if faults:
        return  # never stored
    for field, index in sorted(kept):
        if index < min(len(stored.get(field, ())), len(sent.get(field, ()))):
            sent[field][index] = stored[field][index]
    assert checked(sent, stored) == checked(deepcopy(sent), None)


@given(_OBJECTS)
def test_each_item_that_repeats_an_earlier_one_is_named(sent: dict[str, Any]) -> None:
    value, errors = checked(sent, None)
    found = [error.field for error in errors if "Duplicate" in str(error)]
    assert found == [
        f"{field}[{index}]"
        for field, items in value.items()
        for index, item in enumerate(items)
        if any(_identity(field, item) == _identity(field, other) for other in items[:index])
    ]


def _identity(field: str, item: Any) -> Any:
    return (item.get("type"),) if field == "conditions" and isinstance(item, dict) else item
