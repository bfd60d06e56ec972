"""Captures of a simulated cluster in virtual time; not a test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.twin.worlds import a_scenario
from twin.apiserver import Change as StoreChange
from twin.capture.client import ADAPTERS, DEPLOYMENTS, NODES, PODS, SERVICES
from twin.capture.watcher import Change, Observation
from twin.kernel.loop import run
from twin.sim.simulation import Simulation

RESOURCES = {
    "modeladapters.model.aibrix.ai": ADAPTERS.kind,
    "pods": PODS.kind,
    "deployments.apps": DEPLOYMENTS.kind,
    "services": SERVICES.kind,
    "nodes": NODES.kind,
}


def look(folder: Path, start: float, seconds: float, **sections: Any) -> Observation:
    """Return the observation of a simulated cluster for `seconds` from `start` on."""
    simulation = Simulation(a_scenario(folder, duration=f"{start + seconds + 60:.0f}s", **sections))
    observation = Observation(seconds=seconds)
    env, store = simulation.env, simulation.store

    def recorder(kind: str) -> Callable[[StoreChange], None]:
        def keep(change: StoreChange) -> None:
            if start <= env.now < start + seconds:
                observation.changes.append(Change(env.now - start, kind, change.type, change.object))

        return keep

    def begin() -> Any:
        yield env.timeout(start)
        for resource, kind in RESOURCES.items():
            items = store.list(resource).items
            version = {"Deployment": "apps/v1", "ModelAdapter": "model.aibrix.ai/v1alpha1"}.get(kind, "v1")
            observation.first[kind] = [{**item, "apiVersion": version, "kind": kind} for item in items]

    for resource, kind in RESOURCES.items():
        store.subscribe(recorder(kind), resource)
    env.process(begin())
    run(simulation.main(None), env)
    return observation
