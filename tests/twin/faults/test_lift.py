"""A fault that is lifted ends at once, as if its time were over."""

from pathlib import Path
from typing import Any

import pytest

from tests.twin.worlds import a_scenario
from twin.kernel.loop import run
from twin.sim.simulation import Simulation
from twin.trace.lines import FaultLine, PodLine


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "connection-refused", "pods": {"count": 1}},
        {"kind": "readiness-flap", "pods": {"count": 1}, "unready_for": "20s", "ready_for": "5s"},
        {"kind": "node-down", "nodes": {"count": 1}},
        {"kind": "node-lost", "nodes": {"count": 1}},
        {"kind": "node-not-ready", "nodes": {"count": 1}},
        {"kind": "image-registry-down"},
        {"kind": "api-error", "probability": 0.5},
        {"kind": "registry-down"},
        {"kind": "clock-skew", "ahead": "30s"},
    ],
    ids=lambda fault: str(fault["kind"]),
)
def test_a_lifted_fault_ends_at_once(fault: dict[str, Any], tmp_path: Path) -> None:
    scenario = a_scenario(tmp_path, faults=[{**fault, "from": "30s"}], duration="90s", adapters=[])
    simulation = Simulation(scenario)
    simulation.env.timeout(40).callbacks.append(lambda _: simulation.lift_fault(0))
    run(simulation.main(None), simulation.env)
    events = [(line.event, line.t) for line in simulation.recorder.lines if isinstance(line, FaultLine)]
    assert events == [("begin", 30.0), ("end", 40.0)]
    ready = {line.object: line.ready for line in simulation.recorder.lines if isinstance(line, PodLine)}
    if fault["kind"] == "readiness-flap":
        assert all(ready.values()), "no pod stays unready"
