"""The whole lifecycle with races: lagging caches, broken watches, conflicting writes, lost leases.

Each world is tried with the operator killed at points spread over the life, as one does not come without the other.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.harness.lifecycle import Point, a_life, live, points

TROUBLE: dict[str, dict[str, Any]] = {
    "two replicas": {"controller": {"replicas": 2}},
    "a cache that lags by five seconds": {"fault": {"kind": "stale-reads", "lag": "5s", "from": "10s", "until": "10m"}},
    "watches that break": {"fault": {"kind": "watch-drop", "from": "5m50s", "until": "6m50s"}},
    "watches that are too old": {"fault": {"kind": "watch-expired", "every": "20s", "until": "10m"}},
    "every second write conflicts": {"fault": {"kind": "api-conflict", "probability": 0.5, "until": "10m"}},
    "answers that are lost": {"fault": {"kind": "api-error", "probability": 0.3, "after": True, "until": "10m"}},
    "a lease that is lost and not known to be": {
        "controller": {"replicas": 2},
        "fault": {"kind": "leader-loss", "every": "50s", "until": "10m"},
    },
    "a leader whose clock is wrong": {
        "controller": {"replicas": 2},
        "fault": {"kind": "clock-skew", "ahead": "30s", "replica": 0, "from": "1m", "until": "10m"},
    },
}
KILLED = 12
"""Number of points per simulation."""


def in_trouble(folder: Path, trouble: dict[str, Any]) -> Any:
    usual = [
        {"kind": "connection-refused", "pods": {"count": 1}, "from": "15s", "until": "4m"},
        {"kind": "engine-restart", "pods": {"count": 1}, "at": "5m"},
    ]
    faults = [*usual, trouble["fault"]] if "fault" in trouble else usual
    return a_life(folder, duration="25m", faults=faults, controller=trouble.get("controller", {}))


@pytest.mark.parametrize("name", TROUBLE)
def test_under_races_it_reaches_the_same_state_without_violations(name: str, tmp_path: Path) -> None:
    honest = live(a_life(tmp_path, duration="25m"))
    scenario = in_trouble(tmp_path, TROUBLE[name])
    whole = live(scenario)
    every = points(whole.steps)
    killed: list[Point | None] = [None, *every[:: max(len(every) // KILLED, 1)]]
    lost = {}
    for point in killed:
        life = live(scenario, *([] if point is None else [point]))
        if life.violations or life.end() != honest.end():
            lost[str(point)] = ([f"{v.t:g} {v.invariant} {v.message}" for v in life.violations], life.end())
    assert lost == {}
