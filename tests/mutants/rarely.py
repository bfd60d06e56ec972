"""Small simulations of what few clusters meet, each for code that no other world runs; not a test."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.harness.story import ADAPTERS, Action, run_story
from tests.harness.test_takeover import load_copies
from tests.mutants.judging import ONE, run_world
from tests.mutants.scaled import CROWDED
from tests.twin.worlds import MODEL, adapters, deployment
from twin.sim.simulation import Simulation

_LATE = {"kind": "stale-reads", "lag": "4s", "from": "5s"}


def _plain(**sections: Any) -> Callable[[Path], str]:
    return lambda folder: run_world(folder, **{"adapters": ONE, "duration": "4m"} | sections)[1]


def _told(*actions: tuple[float, Action], **sections: Any) -> Callable[[Path], str]:
    """Return a world with these actions of people and other clients, each at its time in seconds."""

    def world(folder: Path) -> str:
        story = run_story(folder, *actions, **{"adapters": ONE, "duration": "3m"} | sections)
        first = story.violations[0] if story.violations else None
        return f"{first.invariant}: {first.object} {first.message}" if first is not None else ""

    return world


def _edit(at: float, of: str, **change: Any) -> dict[str, Any]:
    return {"at": f"{at}s", "of": of, **change}


def _pods(at: float, replicas: int) -> dict[str, Any]:
    return _edit(at, f"Deployment/{MODEL}", patch={"spec": {"replicas": replicas}})


def _forbidden(resource: str, begin: int, end: int) -> dict[str, Any]:
    return {"kind": "api-forbidden", "resources": [resource], "from": f"{begin}s", "until": f"{end}s"}


def _service(owned: bool) -> Action:
    """Return the creation of a Service that the operator does not see yet, its own or another owner's."""

    def create(simulation: Simulation) -> None:
        adapter = simulation.store.get(ADAPTERS, "default", "a-0")
        owner = {"apiVersion": "model.aibrix.ai/v1alpha1", "kind": "ModelAdapter", "controller": True}
        owners = [{**owner, "name": "a-0", "uid": adapter["metadata"]["uid"]}] if owned else []
        metadata = {"name": "a-0", "namespace": "default", "ownerReferences": owners}
        body = {"metadata": metadata, "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80}]}}
        simulation.store.create("services", body, namespace="default")

    return create


def _moves(algorithm: str, by: str = "adapters", **sections: Any) -> Callable[[Path], str]:
    """Return a world in which pods come and go, and replicas are moved so that they are even."""
    rebalance = {"algorithm": algorithm, "by": by, "interval": "10s", "tolerance": 0}
    world: dict[str, Any] = {
        "pods": 2,
        "controller": {"rebalance": rebalance, "scrape_interval": "5s"},
        "adapters": [
            adapters(5, replicas=1, arrive={"at": "15s"}),
            adapters(3, name="b-{i}", replicas=2, arrive={"at": "20s"}),
        ],
        "edits": [_pods(50, 3), _pods(110, 4), _edit(140, "ModelAdapter/a-0", delete=True)],
    }
    return _plain(**world | sections)


RARE_WORLDS: Mapping[str, Callable[[Path], str]] = {
    "replicas move by a flow": _moves("min-cost-flow"),
    "replicas move by requests": _moves(
        "greedy", "requests", traffic={"rate": "2/s", "from": "25s", "output_tokens": 100}
    ),
    "few moves at a time": _moves(
        "min-cost-flow",
        controller={"rebalance": {"algorithm": "min-cost-flow", "interval": "10s", "max_per_minute": 1}},
    ),
    "a Service is seen too late": _told((30.2, _service(owned=True)), faults=[_LATE]),
    "another owner's Service is seen too late": _told((30.2, _service(owned=False)), faults=[_LATE]),
    "many are refused together": _plain(
        adapters=[adapters(5, replicas=1, arrive={"at": "30s"})], faults=[_forbidden("services", 20, 75)]
    ),
    "deleted while a withdrawal is refused": _plain(
        adapters=[adapters(1, replicas=2, arrive={"at": "30s"})],
        faults=[_forbidden("endpointslices", 60, 130), {"kind": "pod-kill", "pods": {"count": 2}, "at": "70s"}],
        edits=[_edit(80, "ModelAdapter/a-0", delete=True)],
    ),
    "said again after a crash": _plain(
        pods=1,
        faults=[
            {"kind": "invalid-adapter", "adapters": ["a-0"], "from": "1s"},
            {"kind": "controller-crash", "at": "100s", "restart_after": "1s"},
        ],
        edits=[
            _edit(at, "ModelAdapter/a-0", patch={"spec": {"artifactURL": f"huggingface://acme/a-{number}"}})
            for number, at in enumerate((60, 120, 150, 180))
        ],
    ),
    "another client takes the name": _told(
        (29.5, lambda simulation: load_copies(simulation, 1, path="acme/else")), pods=1
    ),
    "another client loads it first": _told((29.5, lambda simulation: load_copies(simulation, 1)), pods=1),
    "prefixes can be reset": _plain(
        objects=[deployment(2, env={"VLLM_SERVER_DEV_MODE": "1"})],
        edits=[_edit(60, "ModelAdapter/a-0", patch={"spec": {"artifactURL": "huggingface://acme/second"}})],
    ),
    "scaling is forbidden": _plain(**CROWDED, faults=[_forbidden("modeladapters", 60, 140)]),
}
