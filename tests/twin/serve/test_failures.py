"""An exception in the simulated cluster marks its object and the run, and the served world goes on."""

import asyncio
from pathlib import Path
from typing import Any

from tests.twin.worlds import a_scenario
from twin.evaluate.judge import evaluate
from twin.serve.clock import RealTimeClock, run
from twin.sim.simulation import FAILED, Simulation, SimulationOptions
from twin.trace.lines import LogLine

POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "i"}]}}


def test_a_failing_process_and_a_failing_subscriber_are_recorded_and_nothing_ends(tmp_path: Path) -> None:
    simulation = Simulation(a_scenario(tmp_path), SimulationOptions(survives=True))
    env, store = simulation.env, simulation.store

    def fails(_: Any) -> None:
        raise KeyError("spec")

    async def story() -> None:
        simulation.start(controllers=False)
        env.timeout(0.01).callbacks.append(fails)
        store.subscribe(fails, "pods")
        store.create("pods", POD, namespace="default")
        await asyncio.sleep(0.1)
        await simulation.stop()

    run(story, env, RealTimeClock(), simulation.record_failure)
    lines = simulation.recorder.lines
    failures = [line.text for line in lines if isinstance(line, LogLine) and line.by == "twin"]
    assert any("a process: unknown object: KeyError" in text for text in failures)
    assert any("a subscriber: default/p: KeyError" in text for text in failures)
    events = [event for event in store.list("events.events.k8s.io").items if event["reason"] == FAILED]
    assert "p" in {event["regarding"]["name"] for event in events}
    assert any("The simulated cluster itself failed" in note for note in evaluate(lines, ()).unjudged)
