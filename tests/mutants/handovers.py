"""Small simulations of what another operator leaves, of moves, and of clusters that few have; not a test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness.story import ADAPTERS, SLICES, Action, run_story
from tests.harness.test_takeover import as_aibrix_leaves_it, load_copies
from tests.mutants.judging import ONE, run_world
from tests.mutants.placing import command_of
from tests.twin.worlds import MODEL, adapters, deployment
from twin.sim.simulation import Simulation

_PLACEMENTS = "adapter.model.aibrix.ai/placements"


def _taken_over(*actions: tuple[float, Action], copies: int = 3, **sections: Any) -> Callable[[Path], str]:
    """Return a world in which AIBrix's controller has run an adapter, and has left these copies in engines."""

    def world(folder: Path) -> str:
        left = (30.0, lambda simulation: load_copies(simulation, copies))
        story = run_story(folder, left, *actions, **{"adapters": [], "duration": "3m"} | sections)
        first = story.violations[0] if story.violations else None
        if first is not None:
            return f"{first.invariant}: {first.object} {first.message}"
        return "" if story.published() in ([], story.holders()) else f"published are {story.published()}"

    return world


def _delete(simulation: Simulation) -> None:
    simulation.store.delete(ADAPTERS, "default", "a-0")


def _deleted_at_once(simulation: Simulation) -> None:
    as_aibrix_leaves_it(simulation)
    _delete(simulation)


def _status_of_another(simulation: Simulation) -> None:
    """Name all pods as instances, as a second operator of this kind may."""
    pods = [item["metadata"]["name"] for item in simulation.store.list("pods", namespace="default").items]
    condition = {"type": "Progressing", "status": "False", "reason": "Complete", "message": ""}
    status = {"instances": pods, "conditions": [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    simulation.store.patch(ADAPTERS, "default", "a-0", {"status": status}, subresource="status")


def _unreadable(simulation: Simulation) -> None:
    metadata = {"metadata": {"annotations": {_PLACEMENTS: "["}}}
    simulation.store.patch(ADAPTERS, "default", "a-0", metadata)
    _delete(simulation)


def _moving(*faults: dict[str, Any], **sections: Any) -> Callable[[Path], str]:
    """Return a world in which replicas are moved to a third pod."""
    rebalance = {"algorithm": "greedy", "interval": "10s", "tolerance": 0, "max_concurrent": 1}
    added = {"at": "50s", "of": f"Deployment/{MODEL}", "patch": {"spec": {"replicas": 3}}}
    world: dict[str, Any] = {
        "pods": 2,
        "duration": "150s",
        "controller": {"rebalance": rebalance},
        "adapters": [adapters(6, replicas=1, arrive={"at": "15s"})],
        "edits": [added],
        "faults": list(faults),
    }
    return lambda folder: run_world(folder, **world | sections)[1]


def _ranks() -> list[dict[str, Any]]:
    """Return two Deployments whose engines take ranks up to 8 and up to 32."""
    first, second = deployment(1), deployment(1)
    second["metadata"]["name"] = "other"
    command_of(first).extend(["--max-lora-rank", "8"])
    command_of(second).extend(["--max-lora-rank", "32"])
    return [first, second]


def _of_rank(name: str, rank: int) -> dict[str, Any]:
    spec = {"additionalConfig": {"rank": str(rank)}}
    return adapters(1, name=name, replicas=1, arrive={"at": "30s"}, spec=spec)


def _plain(**sections: Any) -> Callable[[Path], str]:
    return lambda folder: run_world(folder, **{"adapters": ONE, "duration": "4m"} | sections)[1]


def _edit(at: int, of: str, **change: Any) -> dict[str, Any]:
    return {"at": f"{at}s", "of": of, **change}


def _spoilt(change: dict[str, Any], resource: str) -> Callable[[Path], str]:
    """Return a world in which a person changes the operator's objects, and later deletes the adapter."""

    def spoil(simulation: Simulation) -> None:
        for item in simulation.store.list(resource, namespace="default").items:
            if item["metadata"]["name"].startswith("a-"):
                simulation.store.patch(resource, "default", item["metadata"]["name"], change)

    return _taken_over((60, spoil), (100, _delete), copies=0, adapters=[adapters(1)])


def _stopped(at: float, *faults: dict[str, Any], **sections: Any) -> Callable[[Path], str]:
    """Return a world in which the operator gets SIGTERM, as from a kubelet, and starts again 15 s later."""

    def stop(simulation: Simulation) -> None:
        simulation.replicas[0].retire()

    def start(simulation: Simulation) -> None:
        if not simulation.replicas[0].alive:
            simulation.replicas[0].start()

    arriving = [adapters(4, replicas=1, arrive={"at": "30s"})]
    world = {"adapters": arriving, "faults": list(faults), "pods": 1} | sections
    return _taken_over((at, stop), (at + 15, start), copies=0, **world)


def _restarted(fault: dict[str, Any], timeout: str = "") -> Callable[[Path], str]:
    """Return a world in which an engine restarts in its pod while it is sent loads."""
    restarts = [{"kind": "engine-restart", "pods": {"count": 1}, "at": f"{at}s"} for at in (30.3, 33, 36)]
    spec = {"additionalConfig": {"timeout": timeout}} if timeout else {}
    arriving = [adapters(3, replicas=1, arrive={"at": "30s"}, spec=spec)]
    return _plain(pods=1, adapters=arriving, faults=[fault, *restarts])


def _on_port_9000() -> dict[str, Any]:
    engines = deployment(1)
    command_of(engines).extend(["--port", "9000"])
    container = engines["spec"]["template"]["spec"]["containers"][0]
    container["readinessProbe"] = {**container["readinessProbe"], "httpGet": {"path": "/health", "port": 9000}}
    return engines


_ORPHANED = {"metadata": {"ownerReferences": None}}
_FLAP = {"kind": "readiness-flap", "pods": {"count": 1}, "ready_for": "15s", "unready_for": "15s"}
_NO_SLICES = {"kind": "api-forbidden", "resources": ["endpointslices"], "from": "80s", "until": "150s"}
_FAMILIES = {"engines": {"default": {"startup": "2s", "load": "700ms", "unload": "50ms"}}}

HANDOVER_WORLDS: dict[str, Callable[[Path], str]] = {
    "taken over": _taken_over((40, as_aibrix_leaves_it)),
    "taken over everywhere": _taken_over(
        (40, lambda simulation: as_aibrix_leaves_it(simulation, instances=3, replicas=None))
    ),
    "taken over without a replica": _taken_over(
        (40, lambda simulation: as_aibrix_leaves_it(simulation, instances=0)), copies=1
    ),
    "taken over and deleted": _taken_over((40, as_aibrix_leaves_it), (60, _delete)),
    "taken over while it is deleted": _taken_over((40, _deleted_at_once)),
    "a status that another operator writes": _taken_over((70, _status_of_another), copies=0, adapters=ONE),
    "unreadable and deleted": _taken_over((70, _unreadable), copies=0, adapters=ONE),
    "replicas move": _moving(),
    "a move is cancelled": _moving({"kind": "out-of-memory", "from": "60s"}),
    "a crash in a move": _moving(
        *({"kind": "controller-crash", "at": f"{at}s", "restart_after": "1s"} for at in (91, 102))
    ),
    "an adapter goes in a move": _moving(
        edits=[
            _edit(50, f"Deployment/{MODEL}", patch={"spec": {"replicas": 3}}),
            *(_edit(90, f"ModelAdapter/a-{number}", delete=True) for number in range(3)),
        ]
    ),
    "fewer replicas while slices are forbidden": _plain(
        adapters=[adapters(1, replicas=3, arrive={"at": "30s"})],
        faults=[_NO_SLICES],
        edits=[_edit(100, "ModelAdapter/a-0", patch={"spec": {"replicas": 1}})],
    ),
    "another artifact while slices are forbidden": _plain(
        adapters=[adapters(1, replicas=2, arrive={"at": "30s"})],
        faults=[_NO_SLICES],
        edits=[_edit(100, "ModelAdapter/a-0", patch={"spec": {"artifactURL": "huggingface://acme/second"}})],
    ),
    "several ranks": _plain(
        objects=_ranks(), adapters=[_of_rank("a-{i}", 64), _of_rank("b-{i}", 16), _of_rank("c-{i}", 8)], duration="2m"
    ),
    "addresses of version 6": _plain(
        cluster=_FAMILIES | {"ip_families": ["IPv6"]}, adapters=[adapters(1)], duration="2m"
    ),
    "another owner of slices": _spoilt(_ORPHANED, SLICES),
    "another owner of services": _spoilt(_ORPHANED, "services"),
    "labels of slices": _spoilt({"metadata": {"labels": {"adapter.model.aibrix.ai/name": "x"}}}, SLICES),
    "the operator is stopped": _stopped(30.4),
    "the operator is stopped while it waits": _stopped(
        33.0, {"kind": "connection-refused", "from": "1s", "until": "50s"}
    ),
    "a stopped leader": _stopped(30.4, controller={"replicas": 2}),
    "retries at random": _plain(
        pods=1,
        controller={"retry": {"jitter": 0.5}},
        adapters=[adapters(3, replicas=1, arrive={"at": "30s"})],
        faults=[{"kind": "connection-refused", "from": "1s", "until": "2m"}],
    ),
    "engines on another port come and go": _plain(
        objects=[_on_port_9000()],
        faults=[{**_FLAP, "from": "60s", "until": "150s"}],
    ),
    "a restart that is noticed late": _restarted({"kind": "stale-reads", "lag": "4s", "from": "5s"}),
    "a restart while loads hang": _restarted(
        {"kind": "timeout", "adapters": ["a-0"], "from": "25s", "until": "32s"}, timeout="3s"
    ),
    "a restart while loads are slow": _restarted({"kind": "slow", "factor": 10, "from": "25s", "until": "60s"}),
    "addresses of both versions": _plain(
        cluster=_FAMILIES | {"ip_families": ["IPv6", "IPv4"]}, adapters=[adapters(1)], duration="2m"
    ),
    "the last adapter of a policy goes": _plain(
        adapters=[adapters(2, replicas=1, arrive={"at": "15s"}, spec={"schedulerName": "load-aware"})],
        edits=[_edit(at, f"ModelAdapter/a-{number}", delete=True) for number, at in enumerate((60, 90))],
    ),
}
