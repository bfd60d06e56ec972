"""Merge patch, JSON patch and strategic merge patch: properties and examples."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.apiserver import ApiError
from twin.apiserver.patch.json_patch import is_identical, json_patch, merge
from twin.apiserver.patch.strategic_merge import merge as strategic
from twin.apiserver.schema.merge_types import POD, WORKLOAD

SCALARS = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x"]))
KEYS = st.sampled_from("abc")
VALUES = st.recursive(
    SCALARS, lambda below: st.one_of(st.lists(below, max_size=2), st.dictionaries(KEYS, below, max_size=3))
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)
PATCHES = st.recursive(
    st.one_of(SCALARS, st.none()),
    lambda below: st.dictionaries(KEYS, below, max_size=3),
)


def exactly(value: Any) -> str:
    """Return a text in which `true` differs from `1`."""
    return repr(value)


def rfc_7386(target: Any, patch: Any) -> Any:
    """Return the result of the algorithm in the RFC."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = rfc_7386(result.get(name), value)
    return result


@given(OBJECTS, st.dictionaries(KEYS, PATCHES, max_size=3))
@settings(deadline=None)
def test_a_merge_patch_agrees_with_the_rfc(target: Any, patch: Any) -> None:
    before = exactly(target)
    assert exactly(merge(target, patch)) == exactly(rfc_7386(target, patch))
    assert exactly(target) == before


@given(OBJECTS, st.dictionaries(KEYS, PATCHES, max_size=3))
@settings(deadline=None)
def test_a_merge_patch_done_again_changes_nothing_and_returns_the_same_object(target: Any, patch: Any) -> None:
    once = merge(target, patch)
    assert merge(once, patch) is once


@given(OBJECTS)
@settings(deadline=None)
def test_an_object_patched_with_itself_is_itself(target: Any) -> None:
    assert merge(target, target) is target
    assert strategic(target, target, POD) is target


@given(OBJECTS, OBJECTS)
@settings(deadline=None)
def test_a_json_patch_can_be_undone(target: Any, value: Any) -> None:
    added = json_patch(target, [{"op": "add", "path": "/new", "value": value}])
    assert added["new"] == value
    assert json_patch(added, [{"op": "remove", "path": "/new"}]) == target


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/l/1", "value": 9}, {"l": [1, 9, 2], "m": {"a/b": 1}}),
        ({"op": "add", "path": "/l/-", "value": 9}, {"l": [1, 2, 9], "m": {"a/b": 1}}),
        ({"op": "replace", "path": "/l/0", "value": 9}, {"l": [9, 2], "m": {"a/b": 1}}),
        ({"op": "remove", "path": "/l/0"}, {"l": [2], "m": {"a/b": 1}}),
        ({"op": "replace", "path": "/m/a~1b", "value": 2}, {"l": [1, 2], "m": {"a/b": 2}}),
        ({"op": "move", "from": "/m", "path": "/n"}, {"l": [1, 2], "n": {"a/b": 1}}),
        ({"op": "copy", "from": "/l/0", "path": "/n"}, {"l": [1, 2], "m": {"a/b": 1}, "n": 1}),
        ({"op": "test", "path": "/l", "value": [1, 2]}, {"l": [1, 2], "m": {"a/b": 1}}),
        ({"op": "replace", "path": "", "value": {}}, {}),
    ],
)
def test_a_json_patch_operation(operation: Any, expected: Any) -> None:
    assert json_patch({"l": [1, 2], "m": {"a/b": 1}}, [operation]) == expected


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ([{"op": "test", "path": "/a", "value": True}], 422, "testing path /a failed"),
        ([{"op": "replace", "path": "/x", "value": 1}], 422, "missing path"),
        ([{"op": "remove", "path": "/l/5"}], 422, "invalid index referenced: 5"),
        ([{"op": "add", "path": "/x/y", "value": 1}], 422, "missing path: x"),
        ([{"op": "jump", "path": "/a"}], 400, "Unexpected kind: jump"),
        ([{"op": "add", "path": "/a"}], 400, "has no value"),
        ([{"op": "add", "path": "a", "value": 1}], 400, "starts with a slash"),
        ([{"path": "/a"}], 400, "needs op and path"),
        ({}, 400, "a list of operations"),
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused(patch: Any, code: int, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        json_patch({"a": 1, "l": [1]}, patch)
    assert refused.value.code == code
    assert message in refused.value.message


def containers(*names: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name, "image": "v1", "env": [{"name": "A"}]} for name in names]}}


def test_strategic_merge_finds_containers_by_name() -> None:
    patch = {"spec": {"containers": [{"name": "b", "image": "v2", "env": [{"name": "B", "value": "1"}]}]}}
    merged = strategic(containers("a", "b"), patch, POD)["spec"]["containers"]
    assert merged[0] == {"name": "a", "image": "v1", "env": [{"name": "A"}]}
    assert merged[1] == {"name": "b", "image": "v2", "env": [{"name": "A"}, {"name": "B", "value": "1"}]}


@pytest.mark.parametrize(
    ("patch", "names"),
    [
        ([{"name": "c"}], ["a", "b", "c"]),
        ([{"name": "a", "$patch": "delete"}], ["b"]),
        ([{"name": "c"}, {"$patch": "replace"}], ["c"]),
    ],
)
def test_strategic_merge_adds_deletes_and_replaces_elements(patch: Any, names: list[str]) -> None:
    merged = strategic(containers("a", "b"), {"spec": {"containers": patch}}, POD)
    assert [container["name"] for container in merged["spec"]["containers"]] == names


def test_strategic_merge_knows_sets_directives_and_nulls() -> None:
    target = {"metadata": {"finalizers": ["a/b", "c/d"], "labels": {"x": "1", "y": "2"}}, "spec": {"k": 1, "l": 2}}
    patch = {
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"], "finalizers": ["e/f"], "labels": {"x": None}},
        "spec": {"$patch": "replace", "m": 3},
    }
    assert strategic(target, patch, WORKLOAD) == {
        "metadata": {"finalizers": ["c/d", "e/f"], "labels": {"y": "2"}},
        "spec": {"m": 3},
    }


def test_strategic_merge_needs_the_key_of_an_element() -> None:
    with pytest.raises(ApiError, match="does not contain declared merge key: name"):
        strategic(containers("a"), {"spec": {"containers": [{"image": "v2"}]}}, POD)


LISTS = st.lists(VALUES, max_size=3)


@given(LISTS, LISTS)
def test_a_list_is_replaced_and_shares_what_stands_unchanged_in_it(old: list[Any], new: list[Any]) -> None:
    merged = merge({"a": old}, {"a": new})["a"]
    assert exactly(merged) == exactly(new)
    assert (merged is old) == (exactly(old) == exactly(new))
    assert all((kept is before) == is_identical(before, kept) for before, kept in zip(old, merged, strict=False))
