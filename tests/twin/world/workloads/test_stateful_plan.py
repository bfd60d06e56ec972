"""The steps of a StatefulSet, from the pods that there are."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.world.workloads.stateful_plan import StatefulPod, Steps, Wanted, next_steps


def pods(text: str) -> list[StatefulPod]:
    """Return pods in order of their letters: r ready, u unready, t terminating, f failed, o outdated and ready."""
    return [
        StatefulPod(
            ordinal,
            revision="old" if letter == "o" else "new",
            available=letter in "ro",
            terminating=letter == "t",
            finished=letter == "f",
        )
        for ordinal, letter in enumerate(text)
        if letter != "-"
    ]


@pytest.mark.parametrize(
    ("wanted", "there", "steps"),
    [
        (Wanted(3), "", Steps(create=(0,))),
        (Wanted(3), "u", Steps()),
        (Wanted(3), "r", Steps(create=(1,))),
        (Wanted(3), "r-r", Steps(create=(1,))),
        (Wanted(3), "rtr", Steps()),
        (Wanted(3), "rfr", Steps(delete=(1,))),
        (Wanted(3, ordered=False), "", Steps(create=(0, 1, 2))),
        (Wanted(3, ordered=False), "utf", Steps(delete=(2,))),
        (Wanted(1), "rrr", Steps(delete=(2,))),
        (Wanted(1), "rrt", Steps()),
        (Wanted(1), "rur", Steps(delete=(2,))),
        (Wanted(1), "ruu", Steps()),
        (Wanted(1), "rru", Steps(delete=(2,))),
        (Wanted(1), "urr", Steps()),
        (Wanted(1, ordered=False), "rrr", Steps(delete=(1, 2))),
        (Wanted(3, update="new"), "ooo", Steps(delete=(2,), updates=1)),
        (Wanted(3, update="new"), "oor", Steps(delete=(1,), updates=1)),
        (Wanted(3, update="new"), "oou", Steps()),
        (Wanted(3, update="new", partition=2), "ooo", Steps(delete=(2,), updates=1)),
        (Wanted(3, update="new", partition=2), "oor", Steps()),
        (Wanted(3, update="new", partition=None), "ooo", Steps()),
        (Wanted(2, start=5, ordered=False), "", Steps(create=(5, 6))),
    ],
)
def test_the_next_steps_are_those_of_the_controller(wanted: Wanted, there: str, steps: Steps) -> None:
    found = next_steps(replace(wanted, update="new"), pods(there))
    assert (sorted(found.create), sorted(found.delete), found.updates) == (
        sorted(steps.create),
        sorted(steps.delete),
        steps.updates,
    )


@given(replicas=st.integers(0, 5), there=st.text("ruofto-", max_size=7))
def test_an_ordered_set_takes_one_step_at_a_time(replicas: int, there: str) -> None:
    steps = next_steps(Wanted(replicas, update="new"), pods(there))
    assert len(steps.create) + len(steps.delete) <= 1
    if steps.create:
        (ordinal,) = steps.create
        assert ordinal < replicas
        assert all(pod.available for pod in pods(there) if pod.ordinal < ordinal)


@given(replicas=st.integers(0, 5), there=st.text("ruot-", max_size=7), ordered=st.booleans())
def test_the_steps_lead_to_the_wanted_pods(replicas: int, there: str, ordered: bool) -> None:
    wanted = Wanted(replicas, ordered=ordered, update="new")
    state = {pod.ordinal: pod for pod in pods(there)}
    for _ in range(40):
        steps = next_steps(wanted, list(state.values()))
        state = {ordinal: pod for ordinal, pod in state.items() if not pod.terminating and ordinal not in steps.delete}
        state = {ordinal: StatefulPod(ordinal, pod.revision, available=True) for ordinal, pod in state.items()}
        state |= {ordinal: StatefulPod(ordinal, "new") for ordinal in steps.create}
    assert sorted(state) == list(range(replicas))
    assert {pod.revision for pod in state.values()} <= {"new"}
