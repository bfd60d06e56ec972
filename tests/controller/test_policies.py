"""Where adapters go."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.policies import POLICIES, Candidate, UnknownPolicy, policy_named

RNG = Random(0)
candidates = st.lists(
    st.builds(
        Candidate,
        name=st.integers(0, 99).map(lambda n: f"pod-{n:02}"),
        adapters=st.integers(0, 9),
        max_loras=st.integers(1, 4),
        max_cpu_loras=st.integers(4, 8),
    ),
    unique_by=lambda pod: pod.name,
    max_size=8,
).map(lambda pods: sorted(pods, key=lambda pod: pod.name))


def pods(**adapters: int) -> list[Candidate]:
    return [Candidate(name, count, max_loras=2, max_cpu_loras=4) for name, count in sorted(adapters.items())]


@pytest.mark.parametrize(
    ("policy", "held", "count", "chosen"),
    [
        ("least-adapters", {"a": 2, "b": 1, "c": 1}, 2, ["b", "c"]),
        ("default", {"a": 0, "b": 0}, 1, ["a"]),
        ("bin-pack", {"a": 0, "b": 1, "c": 2}, 1, ["b"]),
        ("bin-pack", {"a": 2, "b": 3, "c": 4}, 1, ["b"]),
        ("bin-pack", {"a": 4, "b": 4}, 1, []),
    ],
)
def test_choices(policy: str, held: dict[str, int], count: int, chosen: list[str]) -> None:
    assert policy_named(policy).choose(pods(**held), count, RNG) == chosen


@given(candidates, st.integers(0, 10), st.sampled_from(sorted(POLICIES)))
def test_no_policy_chooses_twice_or_too_many_or_strangers(pods: list[Candidate], count: int, policy: str) -> None:
    chosen = policy_named(policy).choose(pods, count, Random(1))
    assert len(chosen) == len(set(chosen)) <= count
    assert set(chosen) <= {pod.name for pod in pods}


def test_an_unknown_policy_is_refused_with_the_list_of_known_ones() -> None:
    with pytest.raises(UnknownPolicy, match="bin-pack"):
        policy_named("best")
