"""Adapters on demand: whole behaviours, with users, faults of metrics, and crashes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.lifecycle import RESTART
from tests.harness.story import ADAPTERS, Story, run_story
from tests.twin.worlds import adapters
from twin.sim.simulation import Simulation
from twin.trace.lines import HeldLine, SliceLine, TrafficLine
from twin.world.controller_replica import Replica

SPEC = {"activation": {"mode": "OnDemand", "idleSeconds": 60}}
BURST = {"adapter": "a-0", "rate": "2/s", "from": "50s", "until": "60s"}
SECTIONS: dict[str, Any] = {
    "duration": "150s",
    "cluster": {"engines": {"default": {"startup": "2s", "load": "700ms"}}, "artifacts": {"bandwidth": "10Gbit/s"}},
    "controller": {"scrape_interval": "5s"},
    "adapters": [adapters(1, replicas=1, arrive={"at": "30s"}, spec=SPEC)],
    "traffic": {"rate": "0.0001/s", "output_tokens": 100, "crowds": [BURST]},
}


def a_story(folder: Path, *actions: Any, **sections: Any) -> Story:
    return run_story(folder, *actions, **SECTIONS | sections)


def held(story: Story, event: str) -> list[HeldLine]:
    return [line for line in story.lines if isinstance(line, HeldLine) and line.event == event]


def failures(story: Story) -> dict[str, int]:
    causes: dict[str, int] = {}
    for line in story.lines:
        if isinstance(line, TrafficLine):
            for cause, count in line.causes.items():
                causes[cause] = causes.get(cause, 0) + count
    return causes


def phases(story: Story) -> list[str]:
    found = [line.phase for line in story.status_lines()]
    return [phase for number, phase in enumerate(found) if number == 0 or phase != found[number - 1]]


def test_the_first_request_loads_it_and_it_is_unloaded_when_idle(tmp_path: Path) -> None:
    story = a_story(tmp_path)
    assert phases(story) == ["", "Pending", "Idle", "Scheduled", "Loading", "Bound", "Running", "Idle"]
    assert (len(story.sent("load")), len(story.sent("unload")), story.holders()) == (1, 1, [])
    assert 50 < story.sent("load")[0].t < 55
    assert 120 < story.sent("unload")[0].t < 135
    assert failures(story) == {}
    first = held(story, "answered")[0]
    assert 0.7 < first.seconds < 3
    assert len(held(story, "released")) == len(held(story, "held"))
    created = [line for line in story.lines if isinstance(line, SliceLine) and line.event == "created"]
    assert [line.activator for line in created] == [True, False, True]
    assert [reason for reason, _ in story.event_notes() if "ctivated" in reason] == ["Activated", "Deactivated"]
    assert story.conditions()["Ready"] == ("False", "Idle", "no request for 60 s; the next one loads it")
    assert story.violations == []


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "metrics-stale"},
        {"kind": "metrics-wrong", "value": "NaN"},
        {"kind": "metrics-wrong", "value": "0"},
        {"kind": "metrics-wrong", "value": "1e9"},
    ],
)
def test_nothing_is_unloaded_by_metrics_that_say_nothing(tmp_path: Path, fault: dict[str, Any]) -> None:
    story = a_story(tmp_path, faults=[fault | {"from": "58s"}])
    assert story.sent("unload") == []
    assert story.violations == []


def test_a_pinned_adapter_stays_loaded(tmp_path: Path) -> None:
    story = a_story(tmp_path, adapters=[adapters(1, replicas=1, arrive={"at": "30s"}, spec=SPEC | {"pinned": True})])
    assert (len(story.sent("load")), story.sent("unload")) == (1, [])
    assert story.violations == []


def test_a_request_that_cannot_be_served_in_time_is_told_to_come_again(tmp_path: Path) -> None:
    hang = {"kind": "timeout", "from": "40s"}
    controller = SECTIONS["controller"] | {"activator_timeout": "10s"}
    story = a_story(tmp_path, faults=[hang], controller=controller, duration="80s")
    assert set(failures(story)) == {"503"}
    assert {round(line.seconds) for line in held(story, "released") if line.t < 79} == {10}
    assert story.violations == []


def crash_at(step: str, matches: Callable[[dict[str, Any]], bool]) -> Callable[[Simulation], None]:
    """Return an action that kills the operator once, before or after the write by which an adapter matches."""

    def watch(simulation: Simulation) -> None:
        killed: list[float] = []

        def kill(replica: Replica, when: str) -> None:
            adapter = simulation.store.get(ADAPTERS, "default", "a-0")
            if when == step and not killed and matches(adapter):
                killed.append(simulation.recorder.now())
                replica.crash()
                simulation.restart(replica, RESTART)

        simulation.replicas[0].write_watchers.append(kill)

    return watch


def decided(active: str) -> Callable[[dict[str, Any]], bool]:
    return lambda adapter: (
        f'"active":{active}' in adapter["metadata"].get("annotations", {}).get("adapter.model.aibrix.ai/activation", "")
    )


@pytest.mark.parametrize("active", ["true", "false"])
def test_killed_after_a_decision_it_does_what_it_has_decided(tmp_path: Path, active: str) -> None:
    story = a_story(tmp_path, (40, crash_at("after", decided(active))), duration="170s")
    assert (len(story.sent("load")), story.holders()) == (1, [])
    assert len(story.sent("unload")) == 1
    if active == "true":
        # The requests that waited see a broken connection; the adapter is loaded for those that come again.
        assert set(failures(story)) == {"ReadError", "ConnectError", "503"}
    assert story.violations == []


def test_deleted_while_requests_wait_they_are_answered_and_nothing_stays(tmp_path: Path) -> None:
    def delete(simulation: Simulation) -> None:
        simulation.store.delete(ADAPTERS, "default", "a-0")

    slow = {"engines": {"default": {"startup": "2s", "load": "20s"}}, "artifacts": {"bandwidth": "10Gbit/s"}}
    story = a_story(tmp_path, (55, delete), cluster=slow, duration="100s")
    assert set(failures(story)) == {"404"}
    assert held(story, "held")
    assert story.holders() == []
    assert story.violations == []


def test_changed_to_always_it_is_loaded_at_once_and_stays(tmp_path: Path) -> None:
    def edit(simulation: Simulation) -> None:
        patch = {"spec": {"activation": {"mode": "Always", "idleSeconds": None}}}
        simulation.store.patch(ADAPTERS, "default", "a-0", patch)

    story = a_story(tmp_path, (35, edit), traffic=None, duration="110s")
    assert (len(story.sent("load")), story.sent("unload")) == (1, [])
    assert "adapter.model.aibrix.ai/activation" not in story.adapter()["metadata"]["annotations"]
    assert story.conditions()["Ready"][0] == "True"
    assert story.violations == []
