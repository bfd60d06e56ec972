"""Pods that can take an adapter: those that are kept are those that looking at each pod finds."""

from hypothesis import given
from hypothesis import strategies as st

from controller.api.labels import ENABLED_LABEL
from tests.twin.synthetic import a_run
from twin.evaluate.invariants.placement import (
    find_ready_takers,
    is_enabled,
    matching_count,
    ready_takers,
    selects,
)
from twin.evaluate.invariants.state import ClusterState
from twin.trace.lines import AdapterLine, PodLine, Run

(RUN, *_) = (line for line in a_run(1, 1, 60.0) if isinstance(line, Run))
PODS = st.builds(
    PodLine,
    t=st.just(1.0),
    object=st.sampled_from(["default/a", "default/b", "other/c"]),
    event=st.sampled_from(["updated", "updated", "deleted"]),
    uid=st.sampled_from("12"),
    phase=st.sampled_from(["Running", "Failed"]),
    ready=st.booleans(),
    terminating=st.booleans(),
    labels=st.fixed_dictionaries({ENABLED_LABEL: st.sampled_from(["true", "false"]), "app": st.sampled_from("xy")}),
    sidecar=st.booleans(),
)
ADAPTERS = [
    AdapterLine(
        t=1.0,
        object=f"{namespace}/sql",
        event="updated",
        uid="9",
        generation=1,
        artifact="s3://a",
        selector={"app": app},
        scheduler=scheduler,
        sidecar=sidecar,
        instances=["a"],
    )
    for namespace in ("default", "other")
    for app in "xy"
    for scheduler in ("default", "bin-pack", "of-a-plug-in")
    for sidecar in (False, True)
]


@given(st.lists(PODS, max_size=12))
def test_what_is_kept_is_what_each_pod_says(lines: list[PodLine]) -> None:
    state = ClusterState(RUN)
    for number, line in enumerate(lines):
        state.see(line, number)
        for adapter in ADAPTERS:
            assert list(ready_takers(state, adapter)) == list(find_ready_takers(state, adapter))
            namespace = adapter.object.split("/")[0]
            matching = [
                pod
                for name, pod in state.pods.items()
                if name.startswith(f"{namespace}/") and is_enabled(pod.line) and selects(adapter, pod.line.labels)
            ]
            assert matching_count(state, adapter) == len(matching)
