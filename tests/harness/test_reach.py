"""Bounds on simulated time and on the number of requests; they are independent of the machine."""

from pathlib import Path
from typing import Any

from tests.twin.worlds import a_scenario, adapters
from twin.evaluate import invariants
from twin.evaluate.measures import summarise
from twin.sim.simulation import simulate
from twin.trace.lines import AdapterLine, Counts, Line

QUICK: dict[str, Any] = {
    "engines": {"default": {"startup": "2s", "load": "1s"}},
    "artifacts": {"bandwidth": "1000Gbit/s"},
}


def running_times(lines: list[Line]) -> dict[str, float]:
    """Return the seconds from creation to Running, by adapter."""
    created: dict[str, float] = {}
    running: dict[str, float] = {}
    for line in lines:
        if isinstance(line, AdapterLine):
            created.setdefault(line.object, line.t)
            if line.phase == "Running":
                running.setdefault(line.object, line.t - created[line.object])
    return running


def test_five_hundred_adapters_at_once_need_at_most_twice_what_their_loads_need(tmp_path: Path) -> None:
    scenario = a_scenario(
        tmp_path,
        pods=50,
        cluster=QUICK | {"nodes": {"count": 13, "gpus": 4}},
        adapters=[adapters(500, replicas=1, arrive={"at": "1m"})],
        duration="3m",
    )
    times = running_times(list(simulate(scenario).lines))
    bound = 500 * 1.0 / (50 * scenario.controller.max_requests_per_pod)  # seconds: all loads
    assert len(times) == 500
    assert max(times.values()) <= 2 * bound


def test_one_adapter_with_an_instant_load_is_running_within_two_seconds_with_every_phase_written(
    tmp_path: Path,
) -> None:
    instant = QUICK | {"engines": {"default": {"startup": "2s", "load": "0s"}}}
    scenario = a_scenario(
        tmp_path, cluster=instant, adapters=[adapters(1, replicas=1, arrive={"at": "1m"})], duration="2m"
    )
    lines = [line for line in simulate(scenario).lines if isinstance(line, AdapterLine)]
    phases = list(dict.fromkeys(line.phase for line in lines if line.phase))
    assert phases == ["Pending", "Scheduled", "Loading", "Bound", "Running"]
    assert max(running_times(list(lines)).values()) <= 2.0


def test_an_engine_that_accepts_and_never_answers_delays_no_adapter_on_other_pods(tmp_path: Path) -> None:
    def times(*faults: dict[str, Any]) -> dict[str, tuple[float, str]]:
        scenario = a_scenario(
            tmp_path,
            pods=6,
            cluster=QUICK | {"nodes": {"count": 2, "gpus": 4}},
            adapters=[adapters(30, replicas=1, arrive={"poisson": "1/s", "from": "1m"})],
            faults=list(faults),
            duration="5m",
        )
        lines = list(simulate(scenario).lines)
        pods = {line.object: line.instances[0] for line in lines if isinstance(line, AdapterLine) and line.instances}
        return {name: (seconds, pods[name]) for name, seconds in running_times(lines).items()}

    quiet = times()
    hung = times({"kind": "timeout", "pods": {"count": 1}, "from": "50s"})
    elsewhere = {name for name, (_, pod) in hung.items() if quiet[name][1] == pod}
    assert len(elsewhere) >= 20
    before, with_it = (sum(run[name][0] for name in elsewhere) for run in (quiet, hung))
    assert abs(with_it - before) < 0.05 * before


def test_in_the_steady_state_engines_are_asked_once_an_audit_and_the_api_server_is_not_written_to(
    tmp_path: Path,
) -> None:
    scenario = a_scenario(
        tmp_path,
        pods=100,
        cluster=QUICK | {"nodes": {"count": 25, "gpus": 4}},
        adapters=[adapters(1000, replicas=2, arrive={"at": "30s"})],
        duration="75m",
    )
    lines = list(simulate(scenario).lines)
    hour = [line for line in lines if isinstance(line, Counts) and line.t > 15 * 60]
    counted: dict[str, int] = {}
    for line in hour:
        for name, count in line.counts.items():
            counted[name] = counted.get(name, 0) + count
    requests = sum(count for name, count in counted.items() if name.startswith("engine."))
    written = sum(counted.get(f"api.{verb}", 0) for verb in ("create", "patch", "delete"))
    assert sum(line.seconds for line in hour) == 3600
    assert requests <= 100 * 3600 / scenario.controller.audit_interval
    assert written == 0
    assert summarise(lines, invariants.check(lines))["invariants"]["violations"] == 0


def test_fifty_adapters_are_running_within_forty_seconds_if_each_write_takes_one(tmp_path: Path) -> None:
    scenario = a_scenario(
        tmp_path,
        pods=20,
        cluster=QUICK | {"nodes": {"count": 5, "gpus": 4}, "api": {"latency": "1s"}},
        adapters=[adapters(50, replicas=1, arrive={"at": "1m"})],
        duration="3m",
    )
    lines = list(simulate(scenario).lines)
    times = running_times(lines)
    assert len(times) == 50
    assert max(times.values()) <= 40
    assert summarise(lines, invariants.check(lines))["invariants"]["violations"] == 0
