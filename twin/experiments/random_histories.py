"""Changes of a random scenario that let it meet a history (see `histories.py`); which ones it met, its record says."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from twin.experiments.histories import HISTORIES
from twin.experiments.raw_scenario import RawScenario

Rng = np.random.Generator
Recipe = Callable[[RawScenario, Rng], None]
MOST = 3
"""Histories of one scenario."""
LARGE = 0.3
"""Probability that a scenario which drew more than 100 pods has them: it takes as long as five others."""


def add_histories(draft: RawScenario, rng: Rng) -> None:
    """Change a scenario so that it may meet up to `MOST` random histories."""
    names = list(HISTORIES)
    chosen = [names[int(i)] for i in rng.permutation(len(names))[: int(rng.integers(0, MOST + 1))]]
    if "shrunk-from-100" in chosen and rng.random() > LARGE:
        chosen.remove("shrunk-from-100")
    for name in chosen:
        RECIPES[name](draft, rng)


def _first(draft: RawScenario) -> dict[str, Any]:
    """Return the first template; its adapters are there from the start and stay."""
    template: dict[str, Any] = draft["adapters"][0]
    template.update(arrive={"at": "0s"}, leave="never")
    return template


def _name(draft: RawScenario) -> str:
    return str(_first(draft)["name"]).replace("{i}", "0")


def _edit(draft: RawScenario, at: int, of: str, **change: Any) -> None:
    draft.setdefault("edits", []).append({"at": f"{at}s", "of": of, **change})


def _fault(draft: RawScenario, kind: str, begin: int, end: int, **fields: Any) -> None:
    draft["faults"].append({"kind": kind, "from": f"{begin}s", "until": f"{end}s", **fields})


def _at(rng: Rng, low: int, high: int) -> int:
    return int(rng.integers(low, high))


def _recreated_while_failed(draft: RawScenario, rng: Rng) -> None:
    name, at = _name(draft), _at(rng, 60, 150)
    _fault(draft, "invalid-adapter", 0, at + 5, adapters=[name])
    _edit(draft, at, f"ModelAdapter/{name}", delete=True)
    _edit(draft, at, f"ModelAdapter/{name}", create=True)


def _edited_late_in_retries(draft: RawScenario, rng: Rng) -> None:
    _fault(draft, "connection-refused", 0, 170)
    patch = {"spec": {"artifactURL": "huggingface://acme/edited"}}
    _edit(draft, _at(rng, 80, 165), f"ModelAdapter/{_name(draft)}", patch=patch)


def _same_name_other_address(draft: RawScenario, rng: Rng) -> None:
    template = deepcopy(draft["objects"][0]["spec"]["template"])
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "base-0"} | template["metadata"]}
    draft["objects"].append(pod | {"spec": template["spec"]})
    at = _at(rng, 40, 200)
    _edit(draft, at, "Pod/base-0", delete=True)
    _edit(draft, at, "Pod/base-0", create=True)


def _equal_labels_in_namespaces(draft: RawScenario, _: Rng) -> None:
    other = deepcopy(draft["objects"][0])
    other["metadata"]["namespace"] = "other"
    other["spec"]["replicas"] = 2
    draft["objects"].append(other)
    draft["adapters"].append(deepcopy(draft["adapters"][0]) | {"namespace": "other", "count": 2})


def _ipv6(draft: RawScenario, _: Rng) -> None:
    draft["cluster"]["ip_families"] = ["IPv6"]


def _dual_stack(draft: RawScenario, rng: Rng) -> None:
    draft["cluster"]["ip_families"] = ["IPv4", "IPv6"] if rng.random() < 0.5 else ["IPv6", "IPv4"]


def _shrunk_from_100(draft: RawScenario, rng: Rng) -> None:
    deployment = draft["objects"][0]
    deployment["spec"]["replicas"] = 102
    probe = deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    probe["periodSeconds"] = 20
    draft["cluster"]["nodes"] = {"count": 30, "gpus": 4, "zones": ["a", "b"]}
    draft["cluster"]["engines"] = {"default": {"startup": "5s", "load": "500ms"}}
    draft["cluster"]["pod_start"] = "2s"
    template = _first(draft)
    template["count"] = 1
    template["spec"].pop("replicas", None)
    draft["adapters"] = [template]
    draft.pop("traffic", None)
    patch = {"spec": {"replicas": _at(rng, 2, 6)}}
    _edit(draft, 50, "Deployment/base", patch=patch)


def _full_queue_pod_died(draft: RawScenario, rng: Rng) -> None:
    _slow_loads(draft)
    template = _first(draft)
    template["count"] = 16
    template["spec"]["replicas"] = 1
    draft["faults"].append({"kind": "pod-kill", "pods": {"count": 1}, "at": f"{_at(rng, 22, 32)}s"})


def _slow_loads(draft: RawScenario) -> None:
    draft["cluster"]["engines"]["default"] = {"startup": "5s", "load": "15s"}


def _list_overtaken(draft: RawScenario, rng: Rng) -> None:
    draft["controller"]["audit_interval"] = "10s"
    begin = _at(rng, 15, 60)
    _fault(draft, "latency", begin, begin + 150, pods="all", extra="4s")
    draft["adapters"][-1].update(count=6, arrive={"poisson": "4/min", "from": "10s"})


def _slow_credentials(draft: RawScenario, rng: Rng) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "keys"},
        "stringData": {"engine": "made-up-key"},
    }
    draft["objects"].append(secret)
    for template in draft["adapters"]:
        if "api-key" not in template["spec"].get("additionalConfig", {}):
            template["spec"]["apiKeySecretRef"] = {"name": "keys", "key": "engine"}
    begin = _at(rng, 5, 60)
    _fault(draft, "api-slow", begin, begin + _at(rng, 30, 90), factor=400.0)
    draft["adapters"][-1].update(count=6, arrive={"poisson": "6/min", "from": "5s"})


def _retry_after(draft: RawScenario, rng: Rng) -> None:
    waits = ("3s", "20s", "24h", "inf", "-1", "Wed, 21 Oct 2026 07:28:00 GMT")
    _first(draft)
    _fault(
        draft,
        "http-error",
        0,
        _at(rng, 60, 200),
        status=(429, 503, 504)[_at(rng, 0, 3)],
        retry_after=waits[_at(rng, 0, len(waits))],
        probability=(0.5, 1.0)[_at(rng, 0, 2)],
    )


def _slow_lease(draft: RawScenario, rng: Rng) -> None:
    draft["controller"]["replicas"] = 2
    begin = _at(rng, 20, 200)
    _fault(draft, "api-slow", begin, begin + _at(rng, 30, 90), factor=float(_at(rng, 900, 1500)))


def _long_termination(draft: RawScenario, rng: Rng) -> None:
    stuck = {"kind": "pod-stuck-terminating", "pods": {"count": 1}, "duration": f"{_at(rng, 70, 200)}s"}
    draft["faults"].append({**stuck, "at": f"{_at(rng, 30, 200)}s"})


def _leftovers_of_two_leaders(draft: RawScenario, rng: Rng) -> None:
    _slow_loads(draft)
    draft["controller"]["replicas"] = 2
    _first(draft)["count"] = 8
    at = _at(rng, 18, 30)
    for begin in (at, at + _at(rng, 8, 25)):
        draft["faults"].append({"kind": "controller-crash", "at": f"{begin}s", "restart_after": "2s"})


RECIPES: Mapping[str, Recipe] = {
    "recreated-while-failed": _recreated_while_failed,
    "edited-late-in-retries": _edited_late_in_retries,
    "same-name-other-address": _same_name_other_address,
    "equal-labels-in-namespaces": _equal_labels_in_namespaces,
    "ipv6": _ipv6,
    "dual-stack": _dual_stack,
    "shrunk-from-100": _shrunk_from_100,
    "full-queue-pod-died": _full_queue_pod_died,
    "list-overtaken": _list_overtaken,
    "slow-credentials": _slow_credentials,
    "retry-after": _retry_after,
    "slow-lease": _slow_lease,
    "long-termination": _long_termination,
    "leftovers-of-two-leaders": _leftovers_of_two_leaders,
}
"""Change for each history."""
