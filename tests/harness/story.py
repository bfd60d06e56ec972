"""A small simulation with actions at given times, for changes that no scenario makes, and its final state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake_vllm.engine.engine import Engine
from tests.twin.worlds import a_scenario, adapters
from twin.evaluate import invariants
from twin.evaluate.invariants.deadlines import Violation
from twin.kernel.loop import run
from twin.sim.simulation import Simulation
from twin.trace.lines import AdapterLine, EventLine, Line, RequestLine

ADAPTERS = "modeladapters.model.aibrix.ai"
SLICES = "endpointslices.discovery.k8s.io"
ENGINES: Mapping[str, Any] = {
    "engines": {"default": {"startup": "2s", "load": "700ms", "unload": "50ms"}},
    "artifacts": {"bandwidth": "10Gbit/s"},
}

Action = Callable[[Simulation], object]


@dataclass
class Story:
    """Result of a run."""

    simulation: Simulation
    lines: list[Line] = field(default_factory=list)
    held: dict[str, dict[str, str]] = field(default_factory=dict)
    """At the end: pod to the adapters of its engine, and their roots."""

    @property
    def violations(self) -> list[Violation]:
        return list(invariants.check(self.lines).violations)

    def adapter(self, name: str = "a-0") -> dict[str, Any]:
        """Return the adapter's final object."""
        return self.simulation.store.get(ADAPTERS, "default", name)

    def conditions(self, name: str = "a-0") -> dict[str, tuple[str, str, str]]:
        """Return (status, reason, message) by condition type."""
        conditions = self.adapter(name)["status"]["conditions"]
        return {c["type"]: (c["status"], c["reason"], c["message"]) for c in conditions}

    def published(self, name: str = "a-0") -> list[str]:
        """Return the pods in the adapter's EndpointSlices at the end."""
        label = f"kubernetes.io/service-name={name}"
        slices = self.simulation.store.list(SLICES, namespace="default", label_selector=label).items
        return sorted(point["targetRef"]["name"] for item in slices for point in item.get("endpoints") or [])

    def holders(self, name: str = "a-0") -> list[str]:
        """Return the pods whose engine has the adapter at the end."""
        return sorted(pod for pod, adapters in self.held.items() if name in adapters)

    def status_lines(self, name: str = "a-0") -> list[AdapterLine]:
        return [line for line in self.lines if isinstance(line, AdapterLine) and line.object == f"default/{name}"]

    def sent(self, verb: str, name: str = "a-0") -> list[RequestLine]:
        requests = [line for line in self.lines if isinstance(line, RequestLine)]
        return [line for line in requests if (line.event, line.verb, line.adapter) == ("sent", verb, name)]

    def event_notes(self, name: str = "a-0") -> list[tuple[str, str]]:
        """Return (reason, note) of each Event, in order."""
        events = [line for line in self.lines if isinstance(line, EventLine)]
        return [(line.reason, line.note) for line in events if line.object == f"default/{name}"]


def one(**spec: Any) -> list[dict[str, Any]]:
    """Return one adapter with one replica, created when all pods are ready."""
    return [adapters(1, replicas=1, arrive={"at": "30s"}, spec=spec)]


def engines(simulation: Simulation) -> list[Engine]:
    """Return the running engines, ordered by pod name."""
    hosts = [simulation.world.host_of(pod) for pod in simulation.world.running_pods()]
    return [host.engine for host in hosts if host is not None and host.engine is not None]


def run_story(folder: Path, *actions: tuple[float, Action], **sections: Any) -> Story:
    """Run the simulation with each action at its time, in seconds."""
    simulation = Simulation(a_scenario(folder, **{"cluster": ENGINES} | sections))
    story = Story(simulation)

    def act(timestamp: float, action: Action) -> Any:
        yield simulation.env.timeout(timestamp)
        action(simulation)

    def look(_: Simulation) -> None:
        for host in simulation.world.hosts.values():
            if host.engine is not None:
                story.held[host.pod.split("/")[1]] = dict(host.engine.adapters)

    for timestamp, action in (*actions, (simulation.scenario.duration - 0.001, look)):
        simulation.env.process(act(timestamp, action))
    run(simulation.main(None), simulation.env)
    simulation.recorder.close()
    story.lines = list(simulation.recorder.lines)
    return story
