"""Replicas are moved to pods with fewer: whole behaviours, with users, faults and crashes."""

from pathlib import Path
from typing import Any

import pytest

from controller.api import annotations
from tests.harness.lifecycle import RESTART
from tests.harness.story import ADAPTERS, Story, run_story
from tests.twin.worlds import MODEL, adapters
from twin.sim.simulation import Simulation
from twin.trace.lines import EventLine, SliceLine, TrafficLine
from twin.world.controller_replica import Replica

ADDED = {"at": "60s", "of": f"Deployment/{MODEL}", "patch": {"spec": {"replicas": 3}}}
"""A third pod, which is to have at least two of the eight adapters."""
SECTIONS: dict[str, Any] = {
    "pods": 2,
    "duration": "3m",
    "controller": {"rebalance": {"algorithm": "min-cost-flow", "interval": "10s", "tolerance": 0, "max_concurrent": 1}},
    "adapters": [adapters(8, replicas=1, arrive={"at": "20s"})],
    "traffic": {"rate": "4/s", "from": "40s", "output_tokens": 20},
    "edits": [ADDED],
}


def a_story(folder: Path, *faults: dict[str, Any], **sections: Any) -> Story:
    return run_story(folder, **SECTIONS | {"faults": list(faults)} | sections)


def events(story: Story, *reasons: str) -> list[EventLine]:
    return [line for line in story.lines if isinstance(line, EventLine) and line.reason in reasons]


def copies(story: Story) -> list[int]:
    """Return the adapters of each pod's engine at the end, in order."""
    return sorted(len(held) for held in story.held.values())


def fewest_published(story: Story) -> int:
    """Return the fewest pods that an adapter's slice ever had once it had one."""
    seen: dict[str, int] = {}
    for line in story.lines:
        if isinstance(line, SliceLine) and (line.pods or line.adapter in seen):
            seen[line.adapter] = min(seen.get(line.adapter, 99), len(line.pods))
    return min(seen.values())


def failed_requests(story: Story) -> int:
    return sum(line.requests - line.ok for line in story.lines if isinstance(line, TrafficLine))


def test_a_new_pod_takes_its_share_without_a_failed_request(tmp_path: Path) -> None:
    story = a_story(tmp_path)
    assert copies(story) == [2, 3, 3]
    assert len(story.held) == 3
    moved = events(story, "Moved")
    assert len(moved) == 2
    begun = events(story, "Moving")
    assert "has 4 adapters" in begun[0].note
    assert "2 to 3 are even" in begun[0].note
    assert begun[0].t >= 60 + 30  # the pod has been ready for a while
    assert begun[1].t >= moved[0].t  # one at once
    assert fewest_published(story) == 1
    assert failed_requests(story) == 0
    assert story.violations == []


@pytest.mark.parametrize("algorithm", ["none", "greedy"])
def test_what_is_not_to_be_moved_stays(tmp_path: Path, algorithm: str) -> None:
    spec = {"pinned": True} if algorithm != "none" else {}
    rebalance = {"algorithm": algorithm, "interval": "10s", "tolerance": 0}
    pinned = [adapters(8, replicas=1, arrive={"at": "20s"}, spec=spec)]
    story = a_story(tmp_path, controller={"rebalance": rebalance}, adapters=pinned, duration="150s")
    assert copies(story) == [0, 4, 4]
    assert events(story, "Moving") == []


def test_nothing_moves_while_a_pod_is_not_ready(tmp_path: Path) -> None:
    flap = {"kind": "readiness-flap", "pods": {"count": 1}, "from": "70s", "ready_for": "18s", "unready_for": "2s"}
    story = a_story(
        tmp_path,
        flap,
        controller={"rebalance": {"algorithm": "greedy", "interval": "10s", "tolerance": 0}, "unready_grace": "10s"},
    )
    assert events(story, "Moving") == []


def test_a_move_whose_load_fails_is_cancelled_and_its_replica_still_serves(tmp_path: Path) -> None:
    out = {"kind": "out-of-memory", "from": "70s"}
    story = a_story(tmp_path, out)
    cancelled = events(story, "MoveCancelled")
    assert "out of memory" in cancelled[0].note
    assert fewest_published(story) == 1
    assert copies(story) == [0, 4, 4]


def the_move(simulation: Simulation) -> Any:
    """Return the first move that an object records."""
    for item in simulation.store.list(ADAPTERS, namespace="default").items:
        if move := annotations.read(item["metadata"].get("annotations") or {}).move:
            return move
    return None


@pytest.mark.parametrize("finished", [False, True], ids=["begun", "withdrawn"])
def test_killed_in_the_middle_of_a_move_it_goes_on(tmp_path: Path, finished: bool) -> None:
    killed: list[float] = []

    def watch(simulation: Simulation) -> None:
        def kill(replica: Replica, when: str) -> None:
            move = the_move(simulation)
            if when == "after" and move is not None and bool(move.finished) == finished and not killed:
                killed.append(simulation.recorder.now())
                replica.crash()
                simulation.restart(replica, RESTART)

        simulation.replicas[0].write_watchers.append(kill)

    story = run_story(tmp_path, (50, watch), **SECTIONS)
    assert killed
    assert copies(story) == [2, 3, 3]
    assert len(story.held) == 3
    assert fewest_published(story) == 1
    assert failed_requests(story) == 0
    assert story.violations == []
