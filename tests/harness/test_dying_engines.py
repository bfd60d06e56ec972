"""Engines whose core has ended: what the operator makes of their last answers, and what it does not cause itself."""

from pathlib import Path

from tests.harness.story import Story, engines, one, run_story
from tests.twin.worlds import adapters
from twin.sim.simulation import Simulation
from twin.trace.lines import FaultLine, RequestLine, TrafficLine

DEAD = "EngineCore encountered an issue"


def kill_core(simulation: Simulation) -> None:
    """Kill the core of the only engine: its server answers for another second, then the port closes."""
    (engine,) = engines(simulation)
    engine.kill_core()


def errors(story: Story, adapter: str) -> list[str]:
    """Return the errors of an adapter's loads, in their order."""
    requests = [line for line in story.lines if isinstance(line, RequestLine) and line.adapter == adapter]
    return [line.error for line in requests if (line.event, line.verb) == ("done", "load") and line.error]


def restarts(story: Story) -> int:
    """Return the number of restarts of the only pod's engine."""
    namespace, name = story.simulation.world.running_pods()[0].split("/")
    status = story.simulation.store.get("pods", namespace, name)["status"]
    return int(status["containerStatuses"][0]["restartCount"])


def test_the_last_answer_of_a_dead_engine_core_is_not_the_adapters_fault(tmp_path: Path) -> None:
    """An adapter is created in the second in which the server of a dead core still answers, and refuses its load."""
    late = adapters(1, replicas=1, arrive={"at": "60.3s"}, name="late-{i}")
    story = run_story(tmp_path, (60.0, kill_core), pods=1, adapters=[*one(), late], duration="3m")
    assert DEAD in errors(story, "late-0")[0]
    assert restarts(story) == 1
    for name in ("a-0", "late-0"):
        assert "Failed" not in [line.phase for line in story.status_lines(name)]
        assert story.adapter(name)["status"]["phase"] == "Running"
        assert story.published(name) == story.holders(name) != []
    assert story.violations == []


def test_a_loaded_adapter_serves_on_after_its_files_are_gone(tmp_path: Path) -> None:
    """Nothing evicts it, so that its engine has no cause to read the files again, and to end."""
    story = run_story(
        tmp_path,
        pods=1,
        adapters=one(artifactURL="/adapters/sql"),
        faults=[{"kind": "adapter-files-deleted", "artifacts": ["/adapters/*"], "from": "90s", "until": "2m"}],
        traffic={"rate": "1/s", "from": "80s", "until": "110s", "output_tokens": 4},
        duration="4m",
    )
    assert restarts(story) == 0
    assert len(story.sent("load")) == 1
    assert story.violations == []


def test_a_killed_engine_core_costs_its_pods_adapters_and_no_other(tmp_path: Path) -> None:
    """The fault kind: the server answers for a second, the process ends with code 0, and all is loaded once more."""
    story = run_story(
        tmp_path,
        pods=2,
        adapters=[adapters(3, replicas=1, arrive={"at": "30s"})],
        faults=[{"kind": "engine-core-crash", "pods": {"count": 1}, "at": "60s"}],
        traffic={"rate": "5/s", "from": "55s", "until": "75s", "output_tokens": 16},
        duration="2m",
    )
    (strike,) = [line for line in story.lines if isinstance(line, FaultLine)]
    crashed = strike.targets[0].removeprefix("default/")
    last = story.simulation.store.get("pods", "default", crashed)["status"]["containerStatuses"][0]["lastState"]
    assert last["terminated"]["exitCode"] == 0
    failed = {cause for line in story.lines if isinstance(line, TrafficLine) for cause in line.causes}
    assert "500" in failed
    for name in ("a-0", "a-1", "a-2"):
        assert story.published(name) == story.holders(name) != []
        assert len(story.sent("load", name)) == 1 + (story.sent("load", name)[0].object == f"default/{crashed}")
    assert story.violations == []


def test_an_engine_whose_core_is_killed_while_it_starts_ends_with_an_error(tmp_path: Path) -> None:
    crash = {"kind": "engine-core-crash", "pods": "all", "at": "10s"}
    slow = {"engines": {"default": {"startup": "20s", "load": "1s", "unload": "50ms"}}}
    story = run_story(tmp_path, pods=1, adapters=one(), faults=[crash], cluster=slow, duration="90s")
    (pod,) = story.simulation.store.list("pods").items
    ended = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["exitCode"], restarts(story)) == (1, 1)
    assert story.adapter()["status"]["phase"] == "Running"
    assert story.violations == []
