"""Faults of the controller's replicas, in whole runs."""

from pathlib import Path
from typing import Any

import pytest

from tests.twin.worlds import a_scenario
from twin.evaluate import invariants
from twin.faults import start
from twin.scenario import ScenarioErrors
from twin.sim.simulation import Simulation, simulate
from twin.trace.lines import ApiLine, ControllerLine, FaultLine, Line

TWO = {"replicas": 2}


def record(folder: Path, *faults: dict[str, Any], **sections: Any) -> list[Line]:
    return list(simulate(a_scenario(folder, faults=list(faults), **sections)).lines)


def test_a_replica_that_loses_the_lease_stops_and_another_takes_over(tmp_path: Path) -> None:
    lines = record(tmp_path, {"kind": "leader-loss", "at": "1m"}, controller=TWO)
    (strike,) = (line for line in lines if isinstance(line, FaultLine))
    (loser,) = strike.targets
    after = [(line.event, line.by == loser) for line in lines if isinstance(line, ControllerLine) and line.t > strike.t]
    assert after == [("lost", True), ("leading", False)]
    led = next(line.t for line in lines if isinstance(line, ControllerLine) and line.t > strike.t and line.by != loser)
    assert led - strike.t < 15 + 2 * 2, "the lease's duration, and a try or two"
    acts = [line for line in lines if isinstance(line, ApiLine) and line.by == loser and line.t > led]
    assert all(line.resource == "leases" for line in acts)
    assert not invariants.check(lines).violations


def test_a_skewed_clock_is_one_replicas_alone_and_ends(tmp_path: Path) -> None:
    fault = {"kind": "clock-skew", "behind": "30s", "replica": 1, "from": "1m", "until": "2m"}
    simulation = Simulation(a_scenario(tmp_path, faults=[fault], controller=TWO))
    start(simulation.scenario.faults, simulation.fault_context)
    ahead = []
    for time in (59, 61, 119, 121):
        simulation.env.run(until=time)
        ahead.append(tuple(replica.clock.ahead for replica in simulation.replicas))
    assert ahead == [(0, 0), (0, -30), (0, -30), (0, 0)]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "leader-loss", "at": "1m"}, "faults.0.kind: requires a second replica"),
        ({"kind": "clock-skew"}, "faults.0: is neither ahead nor behind"),
        ({"kind": "clock-skew", "ahead": "1s", "behind": "1s"}, "faults.0: is both ahead and behind"),
        ({"kind": "clock-skew", "ahead": "1s", "replica": 3}, "faults.0.replica: replica 3 does not exist"),
        ({"kind": "api-error", "status": 404}, "faults.0.status: is 404; allowed: at least 500"),
        ({"kind": "api-error", "verbs": ["post"]}, 'faults.0.verbs.0: is "post"'),
        ({"kind": "stale-reads", "lag": "0s"}, "faults.0.lag: must be longer than 0"),
        ({"kind": "watch-expired"}, "faults.0: has no time"),
    ],
)
def test_contradictory_settings_are_refused(fault: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioErrors) as refused:
        a_scenario(tmp_path, faults=[fault])
    assert message in str(refused.value)


KILLS = {"kind": "pod-kill", "pods": {"count": 1}, "every": "40s", "until": "4m"}
REFUSED = {"kind": "connection-refused", "pods": {"count": 2}, "until": "4m"}
HARD_TIMES: dict[str, list[dict[str, Any]]] = {
    "all writes fail": [{"kind": "api-error", "probability": 1.0, "from": "1m", "until": "3m"}, KILLS],
    "answers are lost": [{"kind": "api-error", "probability": 0.4, "after": True, "until": "4m"}, KILLS],
    "throttled": [{"kind": "api-throttle", "probability": 0.6, "retry_after": "2s", "until": "4m"}, KILLS],
    "slow": [{"kind": "api-slow", "factor": 500, "from": "10s", "until": "4m"}, KILLS],
    "no watches": [{"kind": "watch-drop", "from": "1m", "until": "3m"}, KILLS],
    "expired": [{"kind": "watch-expired", "every": "20s", "until": "4m"}, KILLS],
    "stale": [{"kind": "stale-reads", "lag": "20s", "until": "4m"}, KILLS, {"kind": "controller-crash", "at": "2m"}],
    "leaders go": [{"kind": "leader-loss", "every": "45s", "until": "4m"}, KILLS, REFUSED],
    "ahead": [{"kind": "clock-skew", "ahead": "30s", "from": "1m", "until": "3m"}, REFUSED, KILLS],
    "pods hang": [{"kind": "pod-stuck-terminating", "pods": {"count": 1}, "every": "50s", "until": "4m"}, KILLS],
    "drained": [{"kind": "node-drain", "nodes": {"count": 1}, "from": "1m", "until": "3m"}, KILLS],
    "cut off": [{"kind": "partition", "pods": "all", "from": "30s", "until": "4m"}, KILLS],
    "far away": [{"kind": "latency", "pods": "all", "extra": {"exponential": "10s"}, "until": "4m"}, KILLS],
    "no registry": [{"kind": "registry-down", "from": "10s", "until": "4m"}, KILLS],
    "slow registry": [{"kind": "registry-slow", "factor": 2000, "until": "4m"}, KILLS],
    "broken files": [{"kind": "artifact-corrupt", "until": "2m"}, KILLS],
    "behind": [{"kind": "clock-skew", "behind": "5m", "replica": 0, "from": "1m", "until": "3m"}, REFUSED],
}


@pytest.mark.parametrize("times", list(HARD_TIMES))
def test_an_honest_operator_in_hard_times_is_not_accused(times: str, tmp_path: Path) -> None:
    lines = record(tmp_path, *HARD_TIMES[times], controller=TWO, duration="20m", seed=3)
    verdicts = invariants.check(lines)
    assert verdicts.violations == ()
    assert verdicts.liveness_judged
