"""The persisted state survives being written to annotations and read back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.annotations import (
    MOST_PODS,
    NOTHING,
    Attempt,
    MoveRecord,
    PersistedState,
    Placement,
    changes,
    pod_key,
    read,
)

names = st.from_regex(r"[a-z]([-a-z0-9]{0,80}[a-z0-9])?", fullmatch=True)
attempts = st.builds(
    Attempt, retries=st.integers(0, 9), announced=st.integers(10**9, 2 * 10**9).map(lambda n: n + 0.25)
)
placements = st.builds(Placement, uid=st.text(max_size=5), engine=st.text(max_size=5), artifact=st.text(max_size=5))
seconds = st.integers(10**9, 2 * 10**9).map(lambda n: n + 0.25)
moves = st.builds(
    MoveRecord,
    source=names,
    target=names,
    started=seconds,
    finished=st.just(0.0) | seconds,
    cancelled=st.just("") | st.text(max_size=5),
)
remembered = st.builds(
    PersistedState,
    selected=st.lists(names, unique=True, max_size=4).map(tuple),
    attempts=st.dictionaries(names.map(pod_key), attempts, max_size=4),
    placements=st.dictionaries(names, placements, max_size=4),
    move=st.none() | moves,
)


def merged(annotations: dict[str, str], patch: dict[str, str | None]) -> dict[str, str]:
    both = annotations | patch
    return {key: value for key, value in both.items() if value is not None}


@given(remembered, remembered)
def test_a_patch_turns_one_state_into_another(before: PersistedState, after: PersistedState) -> None:
    annotations = merged({}, changes(NOTHING, before))
    assert read(annotations) == before
    assert read(merged(annotations, changes(before, after))) == after


@given(remembered)
def test_an_unchanged_state_writes_nothing(memory: PersistedState) -> None:
    assert changes(memory, memory) == {}


@given(names)
def test_every_key_fits_into_an_annotation(pod: str) -> None:
    assert len(f"last-retry-time.{pod_key(pod)}") <= 63


def test_long_names_with_a_common_prefix_get_different_keys() -> None:
    assert pod_key("a" * 60 + "-1") != pod_key("a" * 60 + "-2")


@pytest.mark.parametrize(
    "edited",
    [
        {"adapter.model.aibrix.ai/retry-count.p": "many", "adapter.model.aibrix.ai/last-retry-time.p": "2026-01-01"},
        {"adapter.model.aibrix.ai/retry-count.p": "2"},
        {"adapter.model.aibrix.ai/placements": "{not json"},
        {"adapter.model.aibrix.ai/placements": '{"p": 3}'},
        {"adapter.model.aibrix.ai/move": '{"source": "a", "target": "b", "started": "soon"}'},
    ],
)
def test_an_invalid_value_counts_as_absent(edited: dict[str, str]) -> None:
    remembered = read(edited)
    assert replace(remembered, unreadable=()) == NOTHING
    assert set(remembered.unreadable) == set(edited)
    assert merged(edited, changes(remembered, NOTHING)) == {}


def test_the_most_pods_fit_into_an_object_with_the_longest_names_and_an_attempt_on_each() -> None:
    names = [f"{'a' * 59}{number:04}" for number in range(MOST_PODS)]
    placements = {name: Placement("u" * 36, f"containerd://{'c' * 64}", "a" * 12) for name in names}
    attempts = {pod_key(name): Attempt(5, 1_800_000_000.5) for name in names}
    patch = changes(NOTHING, PersistedState(tuple(names), attempts, placements))
    assert sum(len(key) + len(value or "") for key, value in patch.items()) < 256 * 1024
