"""The operator is killed at every point of the lifecycle, restarts with empty memory, and reaches the same end.

A point is a write to the API server or a request to an engine; it is killed just before it is sent, while it is under
way, and when it is done but not yet recorded.
"""

from pathlib import Path

import pytest

from tests.harness.lifecycle import Point, a_life, a_move, live, move_points, points
from tests.harness.run import print_report

SHARES = 8


@pytest.mark.parametrize("share", range(SHARES))
def test_killed_at_any_point_it_reaches_the_same_state_without_violations(share: int, tmp_path: Path) -> None:
    scenario = a_life(tmp_path)
    honest = live(scenario)
    assert honest.violations == []
    tried = points(honest.steps)[share::SHARES]
    assert len(tried) > 30
    lost = {}
    for point in tried:
        life = live(scenario, point)
        assert life.crashed, point
        if life.violations or life.end() != honest.end():
            lost[str(point)] = (life.violations, life.end())
    assert lost == {}


def test_killed_at_any_point_of_a_move_each_adapter_has_a_pod_of_its_own_in_the_end(tmp_path: Path) -> None:
    scenario = a_move(tmp_path)
    honest = live(scenario)
    assert {"Moving", "Moved", "Unloaded"} <= honest.reasons()
    assert (honest.violations, honest.end()["adapters on a pod"]) == ([], 1)
    tried = move_points(honest)
    assert len(tried) > 40
    lost = {}
    for point in tried[::2]:  # `make crashes` tries all
        life = live(scenario, point)
        assert life.crashed, point
        if life.violations or life.end() != honest.end():
            lost[str(point)] = (life.violations, life.end())
    assert lost == {}


def test_a_life_has_everything_in_it(tmp_path: Path) -> None:
    life = live(a_life(tmp_path))
    reasons = life.reasons()
    assert {"Scheduled", "Loaded", "Unloaded", "MaxRetriesExceeded", "Switched"} <= reasons
    assert life.steps["write"] > 60
    assert life.steps["request"] > 40


def test_killed_twice_it_still_does(tmp_path: Path) -> None:
    scenario = a_life(tmp_path)
    honest = live(scenario)
    every = points(honest.steps)
    for first, second in zip(every[::11], every[5::11], strict=False):
        life = live(scenario, first, second)
        assert (life.violations, life.end()) == ([], honest.end()), (str(first), str(second))


def test_lost_points_are_counted_and_reported(capsys: pytest.CaptureFixture[str]) -> None:
    tried = [Point("write", 1, "before"), Point("write", 2, "before"), Point("request", 1, "during")]
    assert print_report(tried, ["", "6: still loaded", ""]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "before write 2: 6: still loaded",
        "before a write: 1 of 2 recovered",
        "during a request: 1 of 1 recovered",
        "in all: 2 of 3 points recovered",
    ]
