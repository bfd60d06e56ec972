"""Small simulations of Secrets, of pods with the runtime sidecar, and of answers that refuse; not a test."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.harness.story import SLICES, run_story
from tests.mutants.judging import ONE, run_world
from tests.twin.sim.test_private_artifacts import PRIVATE, SECRET, a_bare_pod, with_sidecar
from tests.twin.worlds import MODEL, adapters, deployment
from twin.sim.simulation import Simulation

_KEY = "sk-" + "k" * 24
_ENGINE_SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "engine", "namespace": "default"},
    "stringData": {"key": _KEY},
}
_STATUSES = (400, 401, 403, 404, 408, 422, 429, 500, 501, 502, 503, 504)


def _private(folder: Path, *faults: dict[str, Any], **sections: Any) -> str:
    """Run an adapter of a private bucket, on pods with the sidecar unless `objects` says otherwise."""
    world: dict[str, Any] = {
        "objects": [SECRET, with_sidecar(deployment(2))],
        "adapters": [adapters(1, replicas=1, arrive={"at": "30s"}, spec=PRIVATE)],
        "faults": list(faults),
        "duration": "8m",
    }
    return run_world(folder, **world | sections)[1]


def _keyed(folder: Path, *faults: dict[str, Any], key: str = "key", **sections: Any) -> str:
    """Run an adapter whose engines need a key from a Secret."""
    reference = {"apiKeySecretRef": {"name": "engine", "key": key}}
    world: dict[str, Any] = {
        "objects": [_ENGINE_SECRET, deployment(2, key=_KEY)],
        "adapters": [adapters(1, replicas=1, arrive={"at": "30s"}, spec=reference)],
        "faults": list(faults),
        "duration": "6m",
    }
    return run_world(folder, **world | sections)[1]


def _late(secret: str) -> list[dict[str, Any]]:
    """Return edits after which a Secret is missing from 5 to 90 s."""
    of = f"Secret/{secret}"
    return [{"at": "5s", "of": of, "delete": True}, {"at": "90s", "of": of, "create": True}]


def _secrets(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "resources": ["secrets"], "from": "20s", "until": "70s", **fields}


def _answered(folder: Path, status: int) -> str:
    """All engines answer the operator with a status for a minute, in which an adapter is created and one deleted."""
    fault = {"kind": "http-error", "status": status, "from": "25s", "until": "85s", "callers": ["controller"]}
    early = adapters(1, name="early", replicas=1, arrive={"at": "8s"}, leave={"after": "30s"})
    return run_world(folder, adapters=[*ONE, early], faults=[fault], duration="8m")[1]


def _long_names(folder: Path) -> str:
    """Pods whose names are too long for a key of an annotation, and refuse for a while."""
    engines = deployment(2)
    engines["metadata"]["name"] = f"{MODEL}-{'x' * 50}"
    fault = {"kind": "connection-refused", "from": "1s", "until": "2m"}
    return run_world(folder, objects=[engines], adapters=ONE, faults=[fault], duration="8m")[1]


def _back(folder: Path) -> str:
    """The control plane is restored from a backup while no watch is open; a pod and an adapter have gone."""
    faults = [
        {"kind": "watch-drop", "from": "80s", "until": "100s"},
        {"kind": "pod-kill", "pods": {"count": 1}, "at": "85s"},
        {"kind": "version-rollback", "at": "95s"},
    ]
    edits = [{"at": "90s", "of": "ModelAdapter/a-1", "delete": True}]
    return run_world(folder, adapters=[adapters(3, replicas=None)], faults=faults, edits=edits, duration="12m")[1]


def _spoilt(change: dict[str, Any] | None, resource: str = SLICES) -> Callable[[Path], str]:
    """Return a world in which a user changes an object of the operator, or deletes it (None)."""

    def spoil(simulation: Simulation) -> None:
        for item in simulation.store.list(resource, namespace="default").items:
            meta = item["metadata"]
            if not meta["name"].startswith("a-"):
                continue
            if change is None:
                simulation.store.delete(resource, "default", meta["name"])
            else:
                simulation.store.patch(resource, "default", meta["name"], change)

    def world(folder: Path) -> str:
        story = run_story(folder, (90, spoil), adapters=[adapters(1, replicas=2)], duration="4m")
        first = story.violations[0] if story.violations else None
        if first is not None:
            return f"{first.invariant}: {first.object} {first.message}"
        return "" if story.published() == story.holders() else f"published are {story.published()}"

    return world


PRIVATE_WORLDS: dict[str, Callable[[Path], str]] = {
    "a private artifact": lambda folder: _private(
        folder, edits=[{"at": "4m", "of": "ModelAdapter/a-0", "patch": {"spec": {"artifactURL": "s3://bucket/b/"}}}]
    ),
    "credentials come late": lambda folder: _private(folder, edits=_late("bucket")),
    "credentials are unreadable": lambda folder: _private(folder, _secrets("api-error", probability=1.0)),
    "credentials are forbidden": lambda folder: _private(folder, _secrets("api-forbidden")),
    "credentials are no text": lambda folder: _private(folder, objects=[_without_text(), with_sidecar(deployment(2))]),
    "credentials are withheld": lambda folder: _private(folder, objects=[SECRET, a_bare_pod()]),
    "no sidecar": lambda folder: _private(folder, objects=[SECRET, deployment(2)]),
    "the registry is down": lambda folder: _private(folder, {"kind": "registry-down", "from": "20s", "until": "100s"}),
    "the artifact is missing": lambda folder: _private(
        folder, {"kind": "artifact-missing", "from": "20s", "until": "100s"}
    ),
    "given up with a sidecar": lambda folder: _private(
        folder,
        {"kind": "registry-slow", "factor": 1000, "from": "20s", "until": "4m"},
        edits=[{"at": "50s", "of": "ModelAdapter/a-0", "delete": True}],
    ),
    "a key comes late": lambda folder: _keyed(folder, edits=_late("engine")),
    "a key is unreadable": lambda folder: _keyed(folder, _secrets("api-error", probability=1.0)),
    "a key is unreadable again": lambda folder: _keyed(
        folder, _secrets("api-error", probability=1.0) | {"from": "80s", "until": "4m"}
    ),
    "a key is forbidden": lambda folder: _keyed(folder, _secrets("api-forbidden")),
    "a key has another name": lambda folder: _keyed(folder, key="api-key"),
    "names are long": _long_names,
    "versions go back": _back,
    "a slice without its service": _spoilt({"metadata": {"labels": {"kubernetes.io/service-name": None}}}),
    "slices are deleted": _spoilt(None),
    "services are deleted": _spoilt(None, "services"),
    "services drift": _spoilt({"spec": {"selector": {"app": "x"}, "publishNotReadyAddresses": True}}, "services"),
    **{f"answers {status}": lambda folder, status=status: _answered(folder, status) for status in _STATUSES},
}


def _without_text() -> dict[str, Any]:
    secret = deepcopy(SECRET)
    del secret["stringData"]
    return secret | {"data": {"aws_access_key_id": "/w==", "aws_secret_access_key": "/w=="}}
