"""The whole lifecycle of an adapter, and the points at which the operator can be killed; not a test.

The life has everything in it that "What is remembered, where, and in which order" speaks of: creation, loads that
fail, a switch to another pod, scaling up and down, another artifact, deletion. A run of it without a crash says how
many writes and requests there are; each of them is then a point to be killed before and after.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.twin.worlds import MODEL, a_scenario, adapters
from twin.evaluate import invariants
from twin.evaluate.invariants.deadlines import Violation
from twin.kernel.loop import run
from twin.scenario import Scenario
from twin.sim.simulation import Simulation
from twin.trace.lines import AdapterLine, EngineLine, EventLine, FaultLine, Line, RequestLine, SliceLine
from twin.world.controller_replica import Replica

Step = Literal["write", "request"]
When = Literal["before", "during", "after"]

RESTART = 1.5
"""Seconds from a crash until the next process starts."""
_WRITE = 0.1
"""Seconds in which the write that begins a move is answered and its Event is written."""
_DURING = 0.3
"""Seconds after a request was sent: a load takes longer, so it is under way."""


def a_life(folder: Path, **sections: Any) -> Scenario:
    """Return a scenario: three pods, one of which refuses at first, one adapter that stays and one that is deleted."""
    life: dict[str, Any] = {
        "seed": 4,  # the pod that refuses is one that was chosen
        "duration": "14m",
        "pods": 3,
        "cluster": {
            "engines": {"default": {"startup": "2s", "load": "700ms", "unload": "50ms"}},
            "artifacts": {"bandwidth": "10Gbit/s"},
            "api": {"latency": "4ms"},
        },
        "adapters": [
            adapters(1, replicas=2, arrive={"at": "20s"}),
            adapters(1, replicas=None, arrive={"at": "30s"}) | {"name": "all-{i}"},
        ],
        "faults": [
            {"kind": "connection-refused", "pods": {"count": 1}, "from": "15s", "until": "4m"},
            {"kind": "engine-restart", "pods": {"count": 1}, "at": "5m"},
        ],
        "edits": [
            {"at": "6m", "of": "ModelAdapter/a-0", "patch": {"spec": {"replicas": 3}}},
            {"at": "7m", "of": "ModelAdapter/a-0", "patch": {"spec": {"artifactURL": "huggingface://acme/second"}}},
            {"at": "8m", "of": "ModelAdapter/a-0", "patch": {"spec": {"replicas": 1}}},
            {"at": "9m", "of": "ModelAdapter/all-0", "delete": True},
        ],
    }
    return a_scenario(folder, **life | sections)


def a_move(folder: Path) -> Scenario:
    """Return a scenario: two adapters on one pod, until a second pod appears and rebalancing moves one of them."""
    return a_scenario(
        folder,
        seed=4,
        duration="3m",
        pods=1,
        cluster={
            "engines": {"default": {"startup": "2s", "load": "700ms", "unload": "50ms"}},
            "artifacts": {"bandwidth": "10Gbit/s"},
            "api": {"latency": "4ms"},
        },
        adapters=[adapters(2, replicas=1, arrive={"at": "20s"})],
        edits=[{"at": "40s", "of": f"Deployment/{MODEL}", "patch": {"spec": {"replicas": 2}}}],
        controller={"rebalance": {"algorithm": "min-cost-flow", "interval": "10s", "tolerance": 0}},
    )


@dataclass(frozen=True, slots=True)
class Point:
    """A point to kill at: before, during or after the nth write or request."""

    step: Step
    number: int
    when: When

    def __str__(self) -> str:
        return f"{self.when} {self.step} {self.number}"


@dataclass(frozen=True, slots=True)
class Life:
    """Result of a run."""

    lines: list[Line]
    violations: list[Violation]
    steps: Counter[Step]
    """Number of writes and requests."""
    times: Mapping[Step, Sequence[float]]
    """Times of the writes and requests, in seconds."""

    @property
    def crashed(self) -> bool:
        return any(isinstance(line, FaultLine) and line.fault == "controller-crash" for line in self.lines)

    def reasons(self) -> set[str]:
        """Return the reasons of all Events."""
        return {line.reason for line in self.lines if isinstance(line, EventLine)}

    def end(self) -> dict[str, Any]:
        """Return the relevant final state: phases, replicas, adapters of engines, endpoints."""
        adapters: dict[str, Any] = {}
        held: dict[tuple[str, str], str] = {}
        published: dict[str, frozenset[str]] = {}
        for line in self.lines:
            match line:
                case AdapterLine(event="deleted"):
                    adapters.pop(line.object, None)
                case AdapterLine():
                    adapters[line.object] = (line.phase, frozenset(line.instances), not any(line.attempts.values()))
                case EngineLine(event="loaded"):
                    held[line.object, line.adapter] = line.root
                case EngineLine(event="unloaded"):
                    held.pop((line.object, line.adapter), None)
                case EngineLine():
                    held = {place: root for place, root in held.items() if place[0] != line.object}
                case SliceLine(event="deleted"):
                    published.pop(line.adapter, None)
                case SliceLine():
                    published[line.adapter] = frozenset(line.pods)
        return {
            "phases": {name: phase for name, (phase, _, _) in adapters.items()},
            "replicas": {name: len(pods) for name, (_, pods, _) in adapters.items()},
            "retries forgotten": {name: forgotten for name, (_, _, forgotten) in adapters.items()},
            "roots": Counter((adapter, root) for (_, adapter), root in held.items()),
            "published where loaded": all(
                pods == {pod.split("/")[1] for pod, name in held if name == adapter.split("/")[1]}
                for adapter, pods in published.items()
            ),
            "adapters on a pod": max(Counter(pod for pod, _ in held).values(), default=0),
        }


def live(scenario: Scenario, *killed_at: Point) -> Life:
    """Run a scenario; the operator is killed at these points and restarted."""
    simulation = Simulation(scenario)
    counts: Counter[tuple[Step, When]] = Counter()
    times: dict[Step, list[float]] = {"write": [], "request": []}

    def kill(replica: Replica, point: Point) -> None:
        at = simulation.recorder.now()
        simulation.recorder.emit(FaultLine(t=at, id=99, fault="controller-crash", event="strike", detail=str(point)))
        replica.crash()
        simulation.restart(replica, RESTART)

    def reached(step: Step, replica: Replica, when: When) -> None:
        counts[step, when] += 1
        if when == "before":
            times[step].append(simulation.recorder.now())
        for point in killed_at:
            if point.step != step or counts[step, when] != point.number:
                continue
            if when == point.when:
                kill(replica, point)
            elif (when, point.when) == ("before", "during"):
                asyncio.get_running_loop().call_later(_DURING, kill, replica, point)

    for replica in simulation.replicas:
        replica.write_watchers.append(lambda replica, when: reached("write", replica, when))
        replica.request_watchers.append(lambda replica, when: reached("request", replica, when))
    run(simulation.main(None), simulation.env)
    simulation.recorder.close()
    lines = list(simulation.recorder.lines)
    steps: Counter[Step] = Counter({step: counts[step, "before"] for step, _ in counts})
    return Life(lines, list(invariants.check(lines).violations), steps, times)


def move_points(life: Life) -> list[Point]:
    """Return every point from the first write of a move on."""
    begun = next(line.t for line in life.lines if isinstance(line, EventLine) and line.reason == "Moving")
    first = {step: sum(time < begun - _WRITE for time in life.times[step]) for step in life.times}
    return [point for point in points(life.steps) if point.number > first[point.step]]


def points(steps: Counter[Step]) -> list[Point]:
    """Return every point of a run with that many steps."""
    whens: dict[Step, tuple[When, ...]] = {"write": ("before", "after"), "request": ("before", "during", "after")}
    return [
        Point(step, number, when)
        for step in sorted(steps)
        for number in range(1, steps[step] + 1)
        for when in whens[step]
    ]


def attempts(lines: list[Line], adapter: str, pod: str) -> list[float]:
    """Return the times of loads of `adapter` on `pod`, in seconds."""
    return [
        line.t
        for line in lines
        if isinstance(line, RequestLine)
        and (line.event, line.verb, line.adapter, line.object) == ("sent", "load", adapter, pod)
    ]
