"""Small simulations of what other people's clusters and users do, judged by the invariants and accounts; not a test."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.mutants.judging import ONE, run_world, running_by
from tests.mutants.placing import command_of
from tests.twin.worlds import MODEL, SELECTOR, adapters, deployment

_OLD, _NEW = "sk-" + "o" * 24, "sk-" + "n" * 24
_SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "a-0", "namespace": "default"},
    "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80}]},
}


def _plain(**sections: Any) -> Callable[[Path], str]:
    """Return a world that the invariants and its account alone judge."""
    return lambda folder: run_world(folder, **{"adapters": ONE, "duration": "6m"} | sections)[1]


def _running(by: float, replicas: int = 1, **sections: Any) -> Callable[[Path], str]:
    """Return a world whose adapter runs from a time on."""

    def world(folder: Path) -> str:
        lines, wrong = run_world(folder, **{"adapters": ONE, "duration": "6m"} | sections)
        return wrong or running_by(lines, by, replicas)

    return world


def _edits(*changes: tuple[int, str, Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    """Return edits of (seconds, object, patch); None deletes the object."""
    return [
        {"at": f"{at}s", "of": of} | ({"delete": True} if patch is None else {"patch": dict(patch)})
        for at, of, patch in changes
    ]


def _adapter(*changes: tuple[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return _edits(*((at, "ModelAdapter/a-0", {"spec": dict(spec)}) for at, spec in changes))


def _of(count: int = 1, replicas: int | None = 1, **spec: Any) -> list[dict[str, Any]]:
    return [adapters(count, replicas=replicas, arrive={"at": "30s"}, spec=spec)]


def _secret(value: str) -> dict[str, Any]:
    meta = {"name": "engine", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"key": value}}


def _keyed(*faults: dict[str, Any], at: int = 90) -> dict[str, Any]:
    """Return a world whose engines accept only the key that its Secret gets at a time."""
    rotated = _edits((at, "Secret/engine", {"stringData": {"key": _NEW}}))
    keyed = _of(apiKeySecretRef={"name": "engine", "key": "key"})
    objects = [deployment(2, key=_NEW), _secret(_OLD)]
    return {"objects": objects, "adapters": keyed, "edits": rotated, "faults": list(faults)}


def _on_port(port: int) -> list[dict[str, Any]]:
    """Return two Deployments, the engines of the second on another port."""
    first, second = deployment(1), deployment(1)
    second["metadata"]["name"] = "other"
    command_of(second).extend(["--port", str(port)])
    container = second["spec"]["template"]["spec"]["containers"][0]
    container["readinessProbe"] = {**container["readinessProbe"], "httpGet": {"path": "/health", "port": port}}
    return [first, second]


def _expressed() -> list[dict[str, Any]]:
    """Return adapters whose selectors have one expression each; two of the four match."""
    key, matching = "model.aibrix.ai/name", [("In", [MODEL, "x"]), ("Exists", None)]
    others: list[tuple[str, list[str] | None]] = [("NotIn", [MODEL]), ("DoesNotExist", None)]
    templates = []
    for number, (operator, values) in enumerate([*matching, *others]):
        expression = {"key": key, "operator": operator} | ({"values": values} if values else {})
        enabled = {"adapter.model.aibrix.ai/enabled": "true"}
        selector = {"matchLabels": enabled, "matchExpressions": [expression]}
        templates.append(adapters(1, name=f"by-{number}", replicas=1, spec={"podSelector": selector}))
    return templates


def _without_label() -> list[dict[str, Any]]:
    engines = deployment(1)
    labels = {"model.aibrix.ai/name": MODEL, "enabled": "no"}
    engines["spec"] |= {"selector": {"matchLabels": labels}}
    engines["spec"]["template"]["metadata"]["labels"] = labels
    return [engines, deployment(1) | {"metadata": {"name": "second", "namespace": "default"}}]


def _crash(at: int) -> dict[str, Any]:
    return {"kind": "controller-crash", "at": f"{at}s", "restart_after": "1s"}


def _statefully(folder: Path) -> str:
    """A pod is replaced by one of its name while no watch is open, as a StatefulSet does."""
    template = deployment(1)["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "base-0"} | template["metadata"]}
    edits = [{"at": "90s", "of": "Pod/base-0", "delete": True}, {"at": "91s", "of": "Pod/base-0", "create": True}]
    silent = {"kind": "watch-drop", "from": "85s", "until": "110s"}
    objects = [deployment(1), pod | {"spec": template["spec"]}]
    return run_world(folder, objects=objects, adapters=_of(2, None), edits=edits, faults=[silent], duration="6m")[1]


_MESS = {
    "adapter.model.aibrix.ai/placements": "{",
    "adapter.model.aibrix.ai/retry-count.x": "many",
    "adapter.model.aibrix.ai/last-retry-time.x": "soon",
}
_RENAMED = {"spec": {"template": {"metadata": {"labels": SELECTOR["matchLabels"] | {"generation": "two"}}}}}
_REFUSED = {"kind": "connection-refused", "pods": {"count": 1}, "from": "1s", "until": "3m"}
_FORBIDDEN = {"kind": "api-forbidden", "from": "20s", "until": "2m"}

CLUSTER_WORLDS: dict[str, Callable[[Path], str]] = {
    "a rotated key": _running(90 + 15, **_keyed()),
    "a rotated key, no watches": _running(170, **_keyed({"kind": "watch-drop", "from": "80s", "until": "4m"})),
    "a rotated key, retried": _plain(**_keyed(at=33)),
    "a foreign service": _plain(objects=[deployment(2), _SERVICE], edits=_edits((120, "Service/a-0", None))),
    "slices are forbidden": _plain(faults=[_FORBIDDEN | {"resources": ["endpointslices"]}]),
    "services are forbidden": _plain(faults=[_FORBIDDEN | {"resources": ["services"]}]),
    "forbidden at a deletion": _plain(
        faults=[_FORBIDDEN | {"from": "60s", "until": "90s", "resources": ["endpointslices"]}],
        edits=_edits((70, "ModelAdapter/a-0", None)),
    ),
    "two ports": _running(40, 2, objects=_on_port(9000), adapters=_of(replicas=None)),
    "the first port goes": _plain(
        objects=_on_port(9000),
        adapters=_of(replicas=2),
        edits=_edits((120, f"Deployment/{MODEL}", {"spec": {"replicas": 0}})),
    ),
    "a pod of the same name": _statefully,
    "an older release refuses": _plain(
        objects=[deployment(2, image="vllm/vllm-openai:v0.16.0")],
        faults=[{"kind": "invalid-adapter", "adapters": ["a-0"], "from": "20s", "until": "2m"}],
        duration="9m",
    ),
    "expressions": _plain(adapters=_expressed(), duration="3m"),
    "a pod without the label": _running(40, objects=_without_label(), adapters=_of(replicas=None)),
    "an unknown policy": _running(
        120, adapters=_of(schedulerName="best"), edits=_adapter((90, {"schedulerName": "spread"}))
    ),
    "a wrong timeout": _plain(adapters=_of(additionalConfig={"timeout": "soon"})),
    "a rank too large": _running(
        120,
        adapters=_of(additionalConfig={"rank": "512"}),
        edits=_adapter((90, {"additionalConfig": {"rank": "8"}})),
    ),
    "another base model": _plain(adapters=_of(baseModel="llama"), edits=_adapter((90, {"baseModel": MODEL}))),
    "zero replicas": _running(130, 2, edits=_adapter((60, {"replicas": 0}), (120, {"replicas": 2}))),
    "fewer replicas": _running(100, 1, adapters=_of(replicas=3), edits=_adapter((90, {"replicas": 1}))),
    "messy annotations": _running(40, edits=_edits((90, "ModelAdapter/a-0", {"metadata": {"annotations": _MESS}}))),
    "a rollout": _running(150, 2, adapters=_of(replicas=2), edits=_edits((90, f"Deployment/{MODEL}", _RENAMED))),
    "no pods, then some": _running(120, pods=0, edits=_edits((90, f"Deployment/{MODEL}", {"spec": {"replicas": 2}}))),
    "no pods any more": _plain(edits=_edits((90, f"Deployment/{MODEL}", {"spec": {"replicas": 0}}))),
    "an edit while retrying": _plain(
        pods=1, faults=[_REFUSED], edits=_adapter((70, {"artifactURL": "huggingface://acme/second"}))
    ),
    "deleted while loading": _plain(edits=[{"at": "30.5s", "of": "ModelAdapter/a-0", "delete": True}]),
    "created again": _running(
        110,
        edits=[
            {"at": "60s", "of": "ModelAdapter/a-0", "delete": True},
            {"at": "62s", "of": "ModelAdapter/a-0", "create": True},
        ],
    ),
    "restarts of the operator": _running(40, faults=[_crash(at) for at in (31, 45, 90, 91)]),
    "a restart while retrying": _plain(pods=1, faults=[_REFUSED, _crash(50)]),
    "all of a namespace": _plain(pods=2, adapters=_of(12, None), edits=_edits((90, f"Deployment/{MODEL}", None))),
}
