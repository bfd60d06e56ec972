"""A `PodIndex` always equals a scan of all its pods."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controller.cache.pod_index import PodIndex
from controller.cache.pod_view import PodView
from tests.controller.builders import NOW, a_pod

MOMENTS = st.floats(-30, 30, allow_nan=False)


@st.composite
def pods(draw: st.DrawFn) -> list[PodView]:
    count = draw(st.integers(0, 8))
    return [
        replace(
            a_pod(f"pod-{number}"),
            ready=draw(st.booleans()),
            terminating=draw(st.booleans()),
            sidecar=draw(st.booleans()),
            changed=NOW + draw(st.one_of(MOMENTS, st.integers(-30, 30))),
        )
        for number in draw(st.permutations(range(count)))
    ]


@given(pods(), st.lists(MOMENTS, min_size=1, max_size=8), st.sampled_from([0.0, 5.0, 10.0]))
def test_it_equals_a_scan_of_all_pods_at_any_time(
    given_pods: list[PodView], moments: list[float], stable_for: float
) -> None:
    matching, in_order = PodIndex(given_pods), sorted(given_pods, key=lambda pod: pod.name)
    assert list(matching) == in_order
    assert list(matching.with_sidecar) == [pod for pod in in_order if pod.sidecar]
    for now in (NOW + timestamp for timestamp in moments):
        assert list(matching.stable(now, stable_for)) == [pod for pod in in_order if pod.stable(now, stable_for)]
        waiting = [pod for pod in in_order if pod.ready and not pod.terminating and pod.changed + stable_for > now]
        expected = sorted((pod.changed + stable_for, pod.name) for pod in waiting)
        assert list(matching.becoming_stable(now, stable_for)) == expected


@given(pods())
def test_a_pod_is_included_exactly_when_it_becomes_stable(given_pods: list[PodView]) -> None:
    matching = PodIndex(given_pods)
    for pod in sorted(given_pods, key=lambda pod: pod.changed):
        matching.stable(pod.changed + 4.9, 5.0)
        assert (pod in matching.stable(pod.changed + 5.0, 5.0)) == (pod.ready and not pod.terminating)


def test_between_two_changes_the_result_is_not_computed_again() -> None:
    matching = PodIndex([replace(a_pod("a"), changed=NOW - 60), replace(a_pod("b"), changed=NOW)])
    before = matching.stable(NOW + 1, 5.0)
    assert matching.stable(NOW + 4, 5.0) is before
    assert [pod.name for pod in matching.stable(NOW + 5, 5.0)] == ["a", "b"]
