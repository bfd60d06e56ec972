"""Random scenarios: a small world and a random subset of the fault catalogue, all drawn from one seed.

Each scenario takes a few kinds of faults and leaves out the rest ("swarm testing"): a run with every fault at once
rarely gets far enough for two of them to meet. Faults come in the first minutes, then it is quiet for long enough that
liveness can be judged. What a field of a fault may be is told by its name (`_TASTES`), so a new kind needs nothing
here unless it brings a field that nobody knew.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from controller.policies import BUILT_IN
from twin.experiments.raw_scenario import RawScenario
from twin.kernel.random_streams import Streams
from twin.scenario import FAULTS

MODEL = "base"
LABELS = {"model.aibrix.ai/name": MODEL, "adapter.model.aibrix.ai/enabled": "true"}
KEY = "made-up-key-of-a-swarm"
FIRST, LAST = 20, 300
"""Seconds between which faults begin."""
QUIET = "25m"
"""Duration: what remains after the last fault is longer than the bound of liveness."""
MOST_FAULTS = 5
NEED_TWO = ("leader-loss",)
"""Faults that make no sense with one controller replica."""
_VERSIONS = ("v0.9.1", "v0.24.0", "v0.30.0")  # unloading differs between them

Rng = np.random.Generator
Taste = Callable[[Rng], Any]


def draw(seed: int, kinds: tuple[str, ...] = tuple(FAULTS)) -> RawScenario:
    """The scenario of that seed, of these kinds of faults."""
    streams = Streams(seed)
    world, faults = streams.get("swarm/world"), streams.get("swarm/faults")
    count = int(faults.integers(0, min(MOST_FAULTS, len(kinds)) + 1))
    chosen = sorted(int(i) for i in faults.permutation(len(kinds))[:count])
    replicas = int(world.integers(1, 3))
    if any(kinds[i] in NEED_TWO for i in chosen):
        replicas = 2
    keyed = bool(world.random() < 0.2)
    adapters = [_template(world, number, keyed) for number in range(int(world.integers(1, 4)))]
    return {
        "name": f"swarm-{seed}",
        "description": "Drawn at random: does every invariant hold?",
        "duration": QUIET,
        "seed": seed,
        "cluster": {
            "nodes": {"count": int(world.integers(2, 4)), "gpus": 4, "zones": ["a", "b"]},
            "engines": {"default": {"startup": {"lognormal": {"median": "5s", "p95": "15s"}}}},
        },
        "controller": {"replicas": replicas, "policy": _one(world, *BUILT_IN)},
        "objects": [_deployment(world, keyed)],
        "adapters": adapters,
        **({"edits": [_edit(world, adapters[0])]} if world.random() < 0.4 else {}),
        "faults": [fault(kinds[i], streams.get(f"swarm/fault/{kinds[i]}")) for i in chosen],
        "expect": ["invariants.violations == 0"],
    }


def fault(kind: str, rng: Rng) -> dict[str, Any]:
    """One fault of that kind.

    Raises:
        LookupError: if the kind has a required field that nothing here knows.
    """
    fields = FAULTS[kind].model_fields
    body: dict[str, Any] = {"kind": kind, **_times(fields, rng)}
    for name, taste in _TASTES.items():
        if name in fields and name not in body:
            value = taste(rng)
            if value is not None:
                body[name] = value
    if "callers" in body and "probes" not in str(fields["callers"].annotation):
        del body["callers"]
    _choose_one(body, rng, ("ahead", "behind"))
    _choose_one(body, rng, ("pods", "nodes"))
    missing = [name for name, field in fields.items() if field.is_required() and (field.alias or name) not in body]
    if missing:
        raise LookupError(f"no idea what {', '.join(missing)} of the fault {kind} may be; add it to _TASTES")
    return body


def _times(fields: Mapping[str, Any], rng: Rng) -> dict[str, Any]:
    begin = int(rng.integers(FIRST, LAST))
    if "at" not in fields:
        return {"from": f"{begin}s", "until": f"{begin + int(rng.integers(5, 120))}s"}
    if "before_write" in fields and rng.random() < 0.5:
        return {_one(rng, "before_write", "after_write"): int(rng.integers(1, 80))}
    if "every" in fields and rng.random() < 0.4:
        mean = int(rng.integers(20, 60))
        return {"every": {"exponential": f"{mean}s"}, "from": f"{begin}s", "until": f"{begin + 3 * mean}s"}
    return {"at": f"{begin}s"}


def _choose_one(body: dict[str, Any], rng: Rng, names: tuple[str, str]) -> None:
    if all(name in body for name in names):
        del body[_one(rng, *names)]


def _one(rng: Rng, *values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def _sometimes(share: float, taste: Taste) -> Taste:
    return lambda rng: taste(rng) if rng.random() < share else None


def _seconds(low: int, high: int) -> Taste:
    return lambda rng: f"{int(rng.integers(low, high))}s"


_TASTES: Mapping[str, Taste] = {
    "pods": lambda rng: _one(rng, "all", {"count": 1}, {"count": 1}, {"count": 2}, {"fraction": 0.5}),
    "nodes": lambda _: {"count": 1},
    "deployment": lambda _: MODEL,
    "probability": lambda rng: _one(rng, 0.2, 0.5, 1.0),
    "callers": _sometimes(0.2, lambda _: ["controller", "probes"]),
    "after": lambda rng: bool(rng.random() < 0.5),
    "factor": lambda rng: float(_one(rng, 3, 10, 40)),
    "status": lambda rng: _one(rng, 500, 503),
    "ready_for": _seconds(3, 30),
    "unready_for": _seconds(2, 20),
    "duration": _seconds(20, 120),
    "extra": lambda rng: f"{int(rng.integers(50, 2000))}ms",
    "retry_after": lambda rng: f"{int(rng.integers(1, 5))}s",
    "lag": _seconds(1, 15),
    "restart_after": _seconds(1, 40),
    "ahead": _seconds(1, 60),
    "behind": _seconds(1, 60),
}
"""What a field may be, by its name; None leaves it at its default."""


def _deployment(rng: Rng, keyed: bool) -> dict[str, Any]:
    args = ["--model", "acme/base", "--served-model-name", MODEL, "--enable-lora", "--max-cpu-loras", "16"]
    container = {
        "name": "vllm-openai",
        "image": f"vllm/vllm-openai:{_one(rng, *_VERSIONS)}",
        "args": [*args, *(["--api-key", KEY] if keyed else [])],
        "env": [{"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "True"}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 2, "failureThreshold": 1},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": MODEL},
        "spec": {
            "replicas": int(rng.integers(2, 6)),
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}},
        },
    }


def _template(rng: Rng, number: int, keyed: bool) -> dict[str, Any]:
    name = f"{'abc'[number]}-{{i}}"
    spec: dict[str, Any] = {
        "baseModel": MODEL,
        "podSelector": {"matchLabels": LABELS},
        "artifactURL": f"huggingface://acme/{name}",
    }
    replicas = _one(rng, None, 1, 1, 2, 3)
    if replicas is not None:
        spec["replicas"] = replicas
    if keyed:
        spec["additionalConfig"] = {"api-key": KEY}
    arrive = _one(rng, {"at": "0s"}, {"at": "30s"}, {"poisson": "6/min"}, {"every": "10s", "from": "20s"})
    leave = _one(rng, "never", "never", {"after": {"exponential": "90s"}}, {"at": "4m"})
    return {"name": name, "count": int(rng.integers(1, 7)), "spec": spec, "arrive": arrive, "leave": leave}


def _edit(rng: Rng, template: dict[str, Any]) -> dict[str, Any]:
    name = cast("str", template["name"]).replace("{i}", "0")
    patch = _one(
        rng, {"artifactURL": "huggingface://acme/other"}, {"replicas": 1}, {"replicas": 2}, {"replicas": None}
    )  # fmt: skip
    return {"at": f"{int(rng.integers(60, 240))}s", "of": f"ModelAdapter/{name}", "patch": {"spec": patch}}
