"""A snapshot answers for all pods of a fleet at once as it does for each of them."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controller.requests.outcomes import EngineRecord
from tests.controller.builders import a_pod, a_snapshot, an_adapter

_ENGINES = st.sampled_from(["", "e-0", "e-1"])
_RECORDS = st.builds(
    EngineRecord, unanswered=_ENGINES, failed_at=st.sampled_from([0.0, 5.0, 9.0]), failed_engine=_ENGINES
)


@given(
    st.lists(st.tuples(_ENGINES, st.none() | _RECORDS, st.sets(st.sampled_from(["default/a", "default/sql", "x/b"]))))
)
def test_what_it_says_of_many_pods_is_what_it_says_of_each(
    drawn: list[tuple[str, EngineRecord | None, set[str]]],
) -> None:
    pods = [a_pod(f"pod-{number}", engine=engine) for number, (engine, _, _) in enumerate(drawn)]
    records = {pod.uid: record for pod, (_, record, _) in zip(pods, drawn, strict=True) if record is not None}
    held = {pod.key: adapters for pod, (_, _, adapters) in zip(pods, drawn, strict=True) if adapters}
    snapshot = replace(a_snapshot(an_adapter(), pods), engines=records, adapters_by_pod=held)
    assert snapshot.failed(pods, 7.0) == {pod.name for pod in pods if snapshot.has_failed(pod, 7.0)}
    assert snapshot.adapters_on_each(pods) == [snapshot.adapters_on(pod) for pod in pods]
