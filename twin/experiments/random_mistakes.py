"""Random worlds in which users make mistakes and nothing fails: a correct operator violates no invariant in any."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from twin.experiments.random_scenario import LABELS, MODEL, draw
from twin.experiments.raw_scenario import RawScenario
from twin.kernel.random_streams import Streams

Rng = np.random.Generator
Mistake = Callable[[RawScenario, Rng], None]
MOST = 3
"""Mistakes in one scenario."""


def draw_mistakes(seed: int) -> RawScenario:
    """Return the scenario of a seed: no faults, and one to `MOST` mistakes of users."""
    draft = draw(seed, ())
    rng, names = Streams(seed).get("swarm/mistakes"), list(MISTAKES)
    draft["cluster"]["missing_secrets"] = "absent"
    draft["name"], draft["description"] = f"mistakes-{seed}", "Users' mistakes: are all invariants satisfied?"
    for index in rng.permutation(len(names))[: int(rng.integers(1, MOST + 1))]:
        MISTAKES[names[int(index)]](draft, rng)
    return draft


def _spec(draft: RawScenario, rng: Rng) -> dict[str, Any]:
    """Return the spec of a random template."""
    templates = draft["adapters"]
    spec: dict[str, Any] = templates[int(rng.integers(len(templates)))]["spec"]
    return spec


def _name(draft: RawScenario) -> str:
    return str(draft["adapters"][0]["name"]).replace("{i}", "0")


def _container(draft: RawScenario) -> dict[str, Any]:
    container: dict[str, Any] = draft["objects"][0]["spec"]["template"]["spec"]["containers"][0]
    return container


def _at(rng: Rng, low: int = 20, high: int = 240) -> str:
    return f"{int(rng.integers(low, high))}s"


def _edit(draft: RawScenario, at: str, of: str, **change: Any) -> None:
    draft.setdefault("edits", []).append({"at": at, "of": of, **change})


def _another_deployment(draft: RawScenario, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    other: dict[str, Any] = deepcopy(draft["objects"][0])
    other["metadata"]["name"] = name
    other["spec"]["replicas"] = 2
    other["spec"]["selector"]["matchLabels"] = other["spec"]["template"]["metadata"]["labels"] = dict(labels)
    draft["objects"].append(other)
    return other


def _pods_are_not_enabled(draft: RawScenario, rng: Rng) -> None:
    _another_deployment(draft, "plain", {"model.aibrix.ai/name": MODEL, "tier": "plain"})
    _spec(draft, rng)["podSelector"] = {"matchLabels": {"model.aibrix.ai/name": MODEL}}


def _selector_matches_nothing(draft: RawScenario, rng: Rng) -> None:
    _spec(draft, rng)["podSelector"] = {"matchLabels": {"model.aibrix.ai/name": "bsae"}}


def _selector_is_changed_to_nothing(draft: RawScenario, rng: Rng) -> None:
    selector = {"podSelector": {"matchLabels": {"model.aibrix.ai/name": "bsae"}}}
    _edit(draft, _at(rng), f"ModelAdapter/{_name(draft)}", patch={"spec": selector})


def _no_room(draft: RawScenario, rng: Rng) -> None:
    args = _container(draft)["args"]
    args[args.index("--max-cpu-loras") + 1] = "2"
    draft["adapters"][0]["count"] = 20
    _spec(draft, rng)["schedulerName"] = "bin-pack"


def _too_many_replicas(draft: RawScenario, rng: Rng) -> None:
    _spec(draft, rng)["replicas"] = int(rng.integers(7, 30))


def _key_is_wrong(draft: RawScenario, rng: Rng) -> None:
    _container(draft)["args"] += ["--api-key", "made-up-key-of-the-engines"]
    _secret(draft, "engine")
    _spec(draft, rng)["apiKeySecretRef"] = {"name": "keys", "key": "engine"}


def _secret_lacks_the_key(draft: RawScenario, rng: Rng) -> None:
    _secret(draft, "other")
    _spec(draft, rng)["apiKeySecretRef"] = {"name": "keys", "key": "engine"}


def _no_secret(draft: RawScenario, rng: Rng) -> None:
    _spec(draft, rng)["apiKeySecretRef"] = {"name": "none", "key": "engine"}


def _secret_is_deleted(draft: RawScenario, rng: Rng) -> None:
    _secret(draft, "engine")
    _spec(draft, rng)["apiKeySecretRef"] = {"name": "keys", "key": "engine"}
    at = int(rng.integers(20, 200))
    _edit(draft, f"{at}s", "Secret/keys", delete=True)
    if rng.random() < 0.5:
        _edit(draft, f"{at + int(rng.integers(1, 90))}s", "Secret/keys", create=True)


def _secret(draft: RawScenario, key: str) -> None:
    if not any(item["kind"] == "Secret" for item in draft["objects"]):
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}}
        draft["objects"].append({**secret, "stringData": {key: "made-up-key-of-a-user"}})


def _rank_is_too_high(draft: RawScenario, rng: Rng) -> None:
    _container(draft)["args"] += ["--max-lora-rank", "8"]
    _spec(draft, rng)["artifactURL"] = "/adapters/large"
    draft["cluster"]["artifacts"] = {"files": {"/adapters/large": {"rank": int(rng.integers(16, 300))}}}


def _updating_is_off(draft: RawScenario, rng: Rng) -> None:
    other = _another_deployment(draft, "fixed", {**LABELS, "tier": "fixed"})
    other["spec"]["template"]["spec"]["containers"][0]["env"] = []
    if rng.random() < 0.5:
        draft["objects"].remove(other)
        _container(draft)["env"] = []


def _service_name_is_taken(draft: RawScenario, _: Rng) -> None:
    spec = {"selector": {"app": "shop"}, "ports": [{"port": 80}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": _name(draft)}, "spec": spec}
    draft["objects"].append(service)


def _unknown_scheduler(draft: RawScenario, rng: Rng) -> None:
    _spec(draft, rng)["schedulerName"] = "least-adaptors"


def _scaled_to_zero(draft: RawScenario, rng: Rng) -> None:
    replicas = draft["objects"][0]["spec"]["replicas"]
    at = int(rng.integers(20, 200))
    _edit(draft, f"{at}s", f"Deployment/{MODEL}", patch={"spec": {"replicas": 0}})
    if rng.random() < 0.7:
        back = at + int(rng.integers(1, 120))
        _edit(draft, f"{back}s", f"Deployment/{MODEL}", patch={"spec": {"replicas": replicas}})


def _timeout_is_no_duration(draft: RawScenario, rng: Rng) -> None:
    spec = _spec(draft, rng)
    spec["additionalConfig"] = {
        **spec.get("additionalConfig", {}),
        "timeout": "soon" if rng.random() < 0.5 else "100ms",
    }


def _base_is_not_served(draft: RawScenario, rng: Rng) -> None:
    _spec(draft, rng)["baseModel"] = "another-model"


def _probe_is_wrong(draft: RawScenario, _: Rng) -> None:
    other = _another_deployment(draft, "unready", {**LABELS, "tier": "unready"})
    container = other["spec"]["template"]["spec"]["containers"][0]
    container["readinessProbe"]["httpGet"]["path"] = "/healthy"


def _needs_the_sidecar(draft: RawScenario, rng: Rng) -> None:
    _spec(draft, rng)["artifactURL"] = "s3://acme-bucket/adapters/{i}"


def _user_changes_their_mind(draft: RawScenario, rng: Rng) -> None:
    name, at = _name(draft), int(rng.integers(20, 200))
    for number in range(int(rng.integers(2, 6))):
        patch = {"spec": {"replicas": int(rng.integers(0, 4)), "artifactURL": f"huggingface://acme/try-{number}"}}
        _edit(draft, f"{at + number * int(rng.integers(1, 20))}s", f"ModelAdapter/{name}", patch=patch)


def _deleted_and_created_again(draft: RawScenario, rng: Rng) -> None:
    name, at = _name(draft), _at(rng)
    _edit(draft, at, f"ModelAdapter/{name}", delete=True)
    _edit(draft, at, f"ModelAdapter/{name}", create=True)


MISTAKES: Mapping[str, Mistake] = {
    "pods are not enabled": _pods_are_not_enabled,
    "a selector matches nothing": _selector_matches_nothing,
    "a selector is changed to nothing": _selector_is_changed_to_nothing,
    "no room for a policy": _no_room,
    "too many replicas": _too_many_replicas,
    "a key is wrong": _key_is_wrong,
    "a Secret lacks the key": _secret_lacks_the_key,
    "no Secret": _no_secret,
    "a Secret is deleted": _secret_is_deleted,
    "a rank is too high": _rank_is_too_high,
    "updating is off": _updating_is_off,
    "a Service has the name": _service_name_is_taken,
    "an unknown scheduler": _unknown_scheduler,
    "scaled to zero": _scaled_to_zero,
    "a timeout is not a duration": _timeout_is_no_duration,
    "a base is not served": _base_is_not_served,
    "a probe is wrong": _probe_is_wrong,
    "an artifact needs the sidecar": _needs_the_sidecar,
    "a user changes their mind": _user_changes_their_mind,
    "deleted and created again": _deleted_and_created_again,
}
"""Mistakes by name."""
