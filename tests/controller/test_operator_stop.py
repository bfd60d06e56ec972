"""An operator that gets a stop signal, as in each rollout of its Deployment, leaves a consistent state."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.twin.worlds import a_scenario, adapters
from twin.evaluate import invariants
from twin.evaluate.measures import summarise
from twin.kernel.loop import run
from twin.sim.simulation import Simulation
from twin.trace.lines import ControllerLine, LeaseLine, Line, RequestLine
from twin.world.controller_replica import Replica, leader

Story = Callable[[Simulation], Awaitable[None]]


def run_story(folder: Path, story: Story, **sections: Any) -> list[Line]:
    """Return the trace of a simulation during which `story` runs."""
    simulation = Simulation(a_scenario(folder, **({"controller": {"replicas": 2}} | sections)))

    async def main() -> None:
        beside = asyncio.create_task(story(simulation))
        await simulation.main(None)
        await beside

    run(main(), simulation.env)
    simulation.recorder.close()
    return list(simulation.recorder.lines)


def retire_at(seconds: float) -> Story:
    async def story(simulation: Simulation) -> None:
        await asyncio.sleep(seconds)
        the_leader(simulation).retire()

    return story


def the_leader(simulation: Simulation) -> Replica:
    result = leader(simulation.replicas)
    assert result is not None
    return result


def slow_loads(seconds: str) -> dict[str, Any]:
    engine = {"startup": "2s", "load": seconds}
    return {"engines": {"default": engine}, "artifacts": {"bandwidth": "10Gbit/s"}}


def lost_and_taken(lines: list[Line]) -> tuple[float, float]:
    """Return when the first leader stopped leading, and when the next one started."""
    changes = [line for line in lines if isinstance(line, ControllerLine) and line.event in ("leading", "lost")]
    first, lost, taken = changes[:3]
    assert [first.event, lost.event, taken.event] == ["leading", "lost", "leading"]
    assert first.by == lost.by != taken.by
    return lost.t, taken.t


def loads(lines: list[Line]) -> list[RequestLine]:
    return [line for line in lines if isinstance(line, RequestLine) and line.verb == "load"]


def summary(lines: list[Line]) -> dict[str, Any]:
    return summarise(lines, invariants.check(lines))


def test_the_other_replica_takes_over_within_seconds_and_nothing_is_loaded_twice(tmp_path: Path) -> None:
    late = adapters(2, arrive={"at": "70s"}) | {"name": "late-{i}"}
    lines = run_story(tmp_path, retire_at(60), adapters=[adapters(), late])
    lost, taken = lost_and_taken(lines)
    assert 60 <= lost < 60.1, "nothing was under way"
    assert 0 < taken - lost < 2.5, "the lease was given back"
    outcome = summary(lines)
    assert outcome["adapters"]["running"] == 6
    assert outcome["loads"]["attempted"] == 12
    assert outcome["invariants"]["violations"] == 0


def test_a_load_in_flight_may_finish(tmp_path: Path) -> None:
    begun: list[float] = []

    async def story(simulation: Simulation) -> None:
        for _ in range(200):
            await asyncio.sleep(0.5)
            if any(isinstance(line, RequestLine) for line in simulation.recorder.lines):
                break
        begun.append(simulation.env.now)
        the_leader(simulation).retire()

    lines = run_story(tmp_path, story, cluster=slow_loads("4s"), adapters=[adapters(1)])
    assert [line.error for line in loads(lines) if line.event == "done"] == ["", ""]
    assert 3 < lost_and_taken(lines)[0] - begun[0] < 5
    outcome = summary(lines)
    assert outcome["loads"]["attempted"] == 2, "who leads next finds it loaded"
    assert outcome["adapters"]["running"] == 1
    assert outcome["invariants"]["violations"] == 0


def test_a_load_beyond_the_timeout_is_abandoned_and_found_by_the_next_leader(tmp_path: Path) -> None:
    lines = run_story(tmp_path, retire_at(20), cluster=slow_loads("45s"), adapters=[adapters(1)])
    assert 30 <= lost_and_taken(lines)[0] < 30.5, "20 s and ten of grace"
    assert {line.error for line in loads(lines) if line.event == "done" and line.t < 31} == {"abandoned"}
    outcome = summary(lines)
    assert outcome["adapters"]["running"] == 1
    assert outcome["invariants"]["violations"] == 0


def test_no_request_is_started_while_it_stops(tmp_path: Path) -> None:
    """One load delays the stop by ten seconds, and adapters are created meanwhile."""
    more = adapters(3, arrive={"at": "22s"}) | {"name": "more-{i}"}
    lines = run_story(tmp_path, retire_at(20), cluster=slow_loads("45s"), adapters=[adapters(1), more])
    lost, _ = lost_and_taken(lines)
    sent = [line.t for line in loads(lines) if line.event == "sent" and line.adapter.startswith("more")]
    assert min(sent) > lost
    assert summary(lines)["adapters"]["running"] == 4


def test_an_operator_without_election_stops_as_well(tmp_path: Path) -> None:
    ended: list[bool] = []

    async def story(simulation: Simulation) -> None:
        await asyncio.sleep(60)
        the_leader(simulation).retire()
        await asyncio.sleep(1)
        ended.append(not simulation.replicas[0].alive)

    lines = run_story(tmp_path, story, controller={"replicas": 1})
    assert ended == [True]
    assert not any(isinstance(line, LeaseLine) for line in lines)


def test_an_operator_that_waits_for_its_first_list_stops_at_once(tmp_path: Path) -> None:
    ended: list[bool] = []

    async def story(simulation: Simulation) -> None:
        await asyncio.sleep(5)
        operator = simulation.replicas[0]._operator
        assert operator is not None
        assert (
            operator.readiness_error()
            == "waiting for the first list of Node, Pod, Service, EndpointSlice, ModelAdapter"
        )
        the_leader(simulation).retire()
        await asyncio.sleep(1)
        ended.append(not simulation.replicas[0].alive)

    away = {"kind": "api-error", "probability": 1.0, "from": "0s", "until": "1m"}
    run_story(tmp_path, story, controller={"replicas": 1}, faults=[away])
    assert ended == [True]
