"""The operator falls silent, apart from the statuses of adapters that follow their users' demand."""

import pytest

from tests.twin.synthetic import a_run
from twin.evaluate.invariants.liveness import Liveness
from twin.evaluate.invariants.state import ClusterState
from twin.trace.lines import AdapterLine, ApiLine, Run

(RUN, *_) = (line for line in a_run(1, 1, 60.0) if isinstance(line, Run))
LATE, END = 9_000.0, 10_000.0
"""Seconds, long after the bound of any wait."""
FOLLOWS = {"ScalingActive": ("True", "ValidMetricFound")}
PAUSED = {"ScalingActive": ("False", "FailedGetMetrics")}


def still_active(conditions: dict[str, tuple[str, str]], resource: str, subresource: str = "") -> list[str]:
    """Return what liveness says of an adapter with these conditions and a late write."""
    state = ClusterState(RUN)
    liveness = Liveness(state)
    adapter = AdapterLine(
        t=1.0,
        object="default/sql",
        event="created",
        uid="1",
        generation=1,
        artifact="s3://acme/sql",
        selector={"app": "none"},
        phase="Pending",
        conditions=conditions,
    )
    write = ApiLine(
        t=LATE,
        object="default/sql",
        by="lora-controller-0",
        verb="patch",
        resource=resource,
        subresource=subresource,
        code=200,
    )
    for index, line in enumerate((adapter, write), start=1):
        state.see(line, index)
        liveness.see(line, index)
    found = [violation.message for violation in liveness.finish(END)]
    assert liveness.judged
    return found


@pytest.mark.parametrize(
    ("conditions", "resource", "subresource", "said"),
    [
        pytest.param(FOLLOWS, "modeladapters", "status", False, id="demand changes its status"),
        pytest.param(PAUSED, "modeladapters", "status", True, id="nothing is measured"),
        pytest.param({}, "modeladapters", "status", True, id="without autoscaling"),
        pytest.param(FOLLOWS, "modeladapters", "", True, id="the object itself"),
        pytest.param(FOLLOWS, "endpointslices", "", True, id="slices"),
    ],
)
def test_only_the_status_of_an_adapter_that_follows_demand_may_go_on_changing(
    conditions: dict[str, tuple[str, str]], resource: str, subresource: str, said: bool
) -> None:
    what = f"still active: patch of {resource}{'/' if subresource else ''}{subresource}"
    assert still_active(conditions, resource, subresource) == [what] * said
