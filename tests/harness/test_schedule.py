"""A pod that always refuses: the schedule of attempts is exact, also when the operator is killed in between."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.harness.lifecycle import Life, attempts, live
from tests.twin.worlds import a_scenario, adapters
from twin.scenario import Scenario
from twin.trace.lines import AdapterLine, EventLine, RequestLine

SCHEDULE = [0.0, 5.0, 15.0, 35.0, 75.0, 155.0]
"""Seconds after the first attempt (seed document, "Automatic Retry Mechanism": waits of 5, 10, 20, 40 and 80 s)."""


def refusing(folder: Path, *crashes: dict[str, Any], **sections: Any) -> Scenario:
    """Return a scenario with two pods; the one that is selected first always refuses the operator."""
    return a_scenario(
        folder,
        pods=2,
        adapters=[adapters(1, replicas=1, arrive={"at": "30s"})],
        faults=[{"kind": "connection-refused", "pods": {"names": [chosen(folder)]}, "from": "1s"}, *crashes],
        **sections,
    )


def chosen(folder: Path) -> str:
    """Return the pod that `default` selects when all are empty: the first by name."""
    life = live(a_scenario(folder, pods=2, adapters=[adapters(1, replicas=1, arrive={"at": "30s"})]))
    return next(line.object.split("/")[1] for line in life.lines if isinstance(line, RequestLine))


def tried(life: Life) -> tuple[str, list[float]]:
    """Return the pod of the first attempt, and the times of all attempts there."""
    first = next(line.object for line in life.lines if isinstance(line, RequestLine))
    return first, attempts(life.lines, "a-0", first)


def test_a_pod_that_refuses_for_ever_gets_six_attempts_and_then_another_pod_is_chosen(tmp_path: Path) -> None:
    life = live(refusing(tmp_path))
    pod, times = tried(life)
    assert [round(t - times[0], 1) for t in times] == pytest.approx(SCHEDULE, abs=0.2)
    last = [line for line in life.lines if isinstance(line, AdapterLine)][-1]
    assert (last.phase, len(last.instances)) == ("Running", 1)
    assert last.instances != [pod.split("/")[1]]
    events = [(line.reason, line.note) for line in life.lines if isinstance(line, EventLine)]
    assert ("MaxRetriesExceeded", f"Max retries exceeded for pod {pod.split('/')[1]}: connection refused") in events
    assert "Switched" in [reason for reason, _ in events]
    assert life.violations == []


@pytest.mark.parametrize("gap", range(5))
@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
def test_killed_between_two_attempts_none_comes_sooner_none_is_forgotten_none_is_added(
    gap: int, share: float, tmp_path: Path
) -> None:
    whole = live(refusing(tmp_path))
    _, times = tried(whole)
    start, end = times[gap], times[gap + 1]
    timestamp = start + 0.05 + share * (end - start - 0.1)
    crash = {"kind": "controller-crash", "at": f"{timestamp:.3f}s", "restart_after": "1s"}
    life = live(refusing(tmp_path, crash))
    _, again = tried(life)
    assert life.violations == []
    assert len(again) == len(SCHEDULE)
    waits = [later - sooner for sooner, later in pairwise(again)]
    assert all(wait >= least - 0.01 for wait, least in zip(waits, (5, 10, 20, 40, 80), strict=True)), waits
    assert sum(waits) <= sum((5, 10, 20, 40, 80)) + 5 + 1 + 2  # a second a wait for what is not known, and the crash


def test_killed_after_a_slow_announcement_the_next_attempt_is_early_by_that_write_at_most(tmp_path: Path) -> None:
    """The announcement has the time before its write, and the load follows the write: a new leader knows no more."""
    quick = {"cluster": {"api": {"latency": "10ms"}}, "duration": "1m"}
    slow = {"kind": "api-slow", "factor": 300.0, "from": "29s"}
    _, (first, *_) = tried(live(refusing(tmp_path, slow, **quick)))
    crash = {"kind": "controller-crash", "at": f"{first + 0.5:.3f}s", "restart_after": "100ms"}
    _, times = tried(live(refusing(tmp_path, slow | {"until": f"{first + 0.1:.3f}s"}, crash, **quick)))
    assert times[0] == first
    assert 5 - 3 <= times[1] - first < 5


def test_an_eager_operator_leaves_a_pod_at_once_and_others_are_not_placed_there(tmp_path: Path) -> None:
    bad = chosen(tmp_path)
    later = adapters(4, name="b-{i}", replicas=1, arrive={"at": "40s"})
    scenario = a_scenario(
        tmp_path,
        pods=2,
        adapters=[adapters(1, replicas=1, arrive={"at": "30s"}), later],
        faults=[{"kind": "connection-refused", "pods": {"names": [bad]}, "from": "1s"}],
        controller={"retry": {"switch": "eager"}},
    )
    life = live(scenario)
    sent = [line for line in life.lines if isinstance(line, RequestLine) and line.event == "sent"]
    assert [line.adapter for line in sent if line.object == f"default/{bad}"] == ["a-0"]
    running = {line.object: line.t for line in reversed(life.lines) if isinstance(line, AdapterLine) and line.instances}
    assert len(running) == 5
    assert running["default/a-0"] < 35
    assert life.violations == []
