"""Replicas follow the demand: whole behaviours, with users, faults of metrics, and crashes."""

from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from controller.client.interface import Forbidden
from tests.harness.lifecycle import RESTART
from tests.harness.story import ADAPTERS, Story, run_story
from tests.twin.worlds import adapters
from twin.sim.simulation import Simulation
from twin.trace.lines import Counts, SliceLine
from twin.world.controller_replica import Replica
from twin.world.store_client import StoreClient

SCALING = {"min": 1, "max": 3, "target": {"concurrency": 4}, "scaleDown": {"stabilizationWindowSeconds": 60}}
CROWD = {"adapter": "a-0", "rate": "3/s", "from": "60s", "until": "150s"}
SECTIONS: dict[str, Any] = {
    "duration": "5m",
    "cluster": {"engines": {"default": {"startup": "2s", "load": "700ms"}}, "artifacts": {"bandwidth": "10Gbit/s"}},
    "controller": {"scrape_interval": "5s"},
    "adapters": [adapters(1, replicas=None, arrive={"at": "30s"}, spec={"autoscaling": SCALING})],
    "traffic": {"rate": "6/min", "from": "40s", "output_tokens": 600, "crowds": [CROWD]},
}


def a_story(folder: Path, *faults: dict[str, Any], **sections: Any) -> Story:
    return run_story(folder, **SECTIONS | {"faults": list(faults)} | sections)


def sizes(story: Story) -> list[int]:
    """Return each number of replicas in the spec, in order."""
    wanted = [line.wanted for line in story.status_lines() if line.wanted is not None]
    return [number for number, _ in groupby(wanted)]


def pages_read(story: Story) -> int:
    return sum(line.counts.get("engine.metrics", 0) for line in story.lines if isinstance(line, Counts))


def seconds_from_withdrawal_to_unload(story: Story) -> float:
    """Return the shortest time between a slice without a pod and the unload on that pod."""
    withdrawn: dict[str, float] = {}
    before: set[str] = set()
    for line in story.lines:
        if isinstance(line, SliceLine):
            withdrawn |= dict.fromkeys(before - set(line.pods), line.t)
            before = set(line.pods)
    return min(line.t - withdrawn[line.object.split("/")[1]] for line in story.sent("unload"))


def test_replicas_rise_with_a_crowd_and_fall_after_it(tmp_path: Path) -> None:
    story = a_story(tmp_path)
    up, down = sizes(story)[:-1], sizes(story)[-1]
    assert (up[0], up[-1], down) == (1, 3, 1)
    assert up == sorted(set(up))
    assert story.violations == []
    assert pages_read(story) > 100
    assert seconds_from_withdrawal_to_unload(story) >= 1.4
    notes = [note for reason, note in story.event_notes() if reason == "SuccessfulRescale"]
    assert notes[0] == "New size: 1; reason: autoscaling begins with min"
    assert "requests in flight on 1 replicas, target 4 each" in notes[1]
    conditions = story.conditions()
    assert conditions["ScalingActive"][:2] == ("True", "ValidMetricFound")
    assert conditions["ScalingLimited"][:2] == ("False", "DesiredWithinRange")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "metrics-wrong", "value": "1e9", "probability": 0.2},
        {"kind": "metrics-wrong", "value": "NaN"},
        {"kind": "metrics-wrong", "value": "1e9"},
    ],
)
def test_wrong_metrics_move_nothing(tmp_path: Path, fault: dict[str, Any]) -> None:
    story = a_story(tmp_path, fault | {"from": "60s"}, traffic={"rate": "1/s", "from": "40s"}, duration="150s")
    assert sizes(story) == [1]
    assert story.violations == []


def test_metrics_that_read_zero_take_no_replica_from_a_busy_adapter_at_once(tmp_path: Path) -> None:
    zero = {"kind": "metrics-wrong", "value": "0", "from": "110s", "until": "150s"}
    story = a_story(
        tmp_path, zero, duration="160s", traffic=SECTIONS["traffic"] | {"crowds": [CROWD | {"until": "5m"}]}
    )
    assert sizes(story)[-1] == 3


def test_metrics_that_stay_the_same_take_no_replicas(tmp_path: Path) -> None:
    story = a_story(tmp_path, {"kind": "metrics-stale", "from": "110s"}, duration="4m")
    assert sizes(story)[-1] == 3


def test_a_refused_number_of_replicas_holds_up_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy allows one replica: the condition has its words, and a killed replica is replaced."""
    words = "admission webhook denied the request: at most one replica"
    honest = StoreClient.patch

    async def patch(self: StoreClient, kind: Any, namespace: str, name: str, body: Any, **options: Any) -> Any:
        if body.get("spec", {}).get("replicas", 1) > 1:
            raise Forbidden(words, code=403)
        return await honest(self, kind, namespace, name, body, **options)

    monkeypatch.setattr(StoreClient, "patch", patch)
    kill = {"kind": "pod-kill", "pods": {"count": 3, "of": "qwen"}, "at": "115s"}
    observed: list[dict[str, str]] = []

    def look(simulation: Simulation) -> None:
        observed.extend(simulation.store.get(ADAPTERS, "default", "a-0")["status"]["conditions"])

    story = run_story(tmp_path, (114, look), **SECTIONS | {"faults": [kill], "duration": "145s"})
    assert sizes(story) == [1]
    assert len(story.published()) == 1
    assert story.published() == story.holders()
    (active,) = (condition for condition in observed if condition["type"] == "ScalingActive")
    assert (active["status"], active["reason"]) == ("False", "FailedUpdateScale")
    assert active["message"].startswith(words)
    assert ("FailedUpdateScale", words) in story.event_notes()
    assert story.violations == []


def test_without_autoscaling_no_metrics_are_read(tmp_path: Path) -> None:
    story = a_story(tmp_path, adapters=[adapters(1, replicas=1)], traffic={"rate": "1/s"}, duration="2m")
    assert pages_read(story) == 0
    assert "ScalingActive" not in story.conditions()


def test_killed_after_a_change_of_replicas_is_written_it_does_what_it_has_decided(tmp_path: Path) -> None:
    killed: list[float] = []

    def watch(simulation: Simulation) -> None:
        def kill(replica: Replica, when: str) -> None:
            wanted = simulation.store.get(ADAPTERS, "default", "a-0")["spec"].get("replicas")
            if when == "after" and wanted == 3 and not killed:
                killed.append(simulation.recorder.now())
                replica.crash()
                simulation.restart(replica, RESTART)

        simulation.replicas[0].write_watchers.append(kill)

    story = run_story(tmp_path, (50, watch), **SECTIONS | {"duration": "140s"})
    assert killed
    assert sizes(story)[-1] == 3
    assert len(story.published()) == 3
    assert story.violations == []
