"""Random scenarios: a small cluster and a random subset of the fault catalogue, all drawn from one seed.

A scenario may also have what lets it meet a few of the listed histories (`random_histories.py`).

Each scenario contains a few kinds of faults and omits the rest ("swarm testing"): a run with every fault at once rarely
gets far enough for two of them to interact. Faults are injected in the first minutes; the rest of the run is quiet for
long enough that liveness can be checked. Fault fields are filled by their names (`_GENERATORS`), so a new kind of fault
needs a change here only if it has a field with a new name.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from controller.policies import BUILT_IN
from twin.experiments.random_histories import add_histories
from twin.experiments.raw_scenario import RawScenario
from twin.kernel.random_streams import Streams
from twin.scenario import FAULTS

MODEL = "base"
LABELS = {"model.aibrix.ai/name": MODEL, "adapter.model.aibrix.ai/enabled": "true"}
KEY = "made-up-key-of-a-swarm"
FIRST, LAST = 20, 300
"""Seconds between which faults start."""
QUIET = "25m"
"""Duration of the run: the time after the last fault exceeds the liveness bound."""
MOST_FAULTS = 5
EXPECTATIONS = ("invariants.violations == 0", "adapters.running >= 0")
"""The second is always true: a random scenario may end with no adapter Running, which a run must expect to pass."""
NEED_TWO = ("leader-loss",)
"""Faults that need at least two controller replicas."""
IMAGE_FAULT = "image-registry-down"
"""Fault that needs images that are not on every node."""
_VERSIONS = ("v0.9.1", "v0.24.0", "v0.30.0")  # they differ in how they unload

Rng = np.random.Generator
Generator = Callable[[Rng], Any]


def draw(seed: int, kinds: tuple[str, ...] = tuple(FAULTS)) -> RawScenario:
    """Return the scenario of a seed, with these kinds of faults; with all of them, also with histories."""
    streams = Streams(seed)
    world, faults = streams.get("swarm/world"), streams.get("swarm/faults")
    count = int(faults.integers(0, min(MOST_FAULTS, len(kinds)) + 1))
    chosen = sorted(int(i) for i in faults.permutation(len(kinds))[:count])
    replicas = int(world.integers(1, 3))
    if any(kinds[i] in NEED_TWO for i in chosen):
        replicas = 2
    keyed = bool(world.random() < 0.2)
    adapters = [_template(world, number, keyed) for number in range(int(world.integers(1, 4)))]
    draft: RawScenario = {
        "name": f"swarm-{seed}",
        "description": "Random scenario: are all invariants satisfied?",
        "duration": QUIET,
        "seed": seed,
        "cluster": {
            "nodes": {"count": int(world.integers(2, 4)), "gpus": 4, "zones": ["a", "b"]},
            "engines": {"default": {"startup": {"lognormal": {"median": "5s", "p95": "15s"}}}},
        },
        "controller": {"replicas": replicas, "policy": _pick(world, *BUILT_IN)},
        "objects": [_deployment(world, keyed)],
        "adapters": adapters,
        **({"edits": [_edit(world, adapters[0])]} if world.random() < 0.4 else {}),
        **_traffic(streams.get("swarm/traffic")),
        "faults": [fault(kinds[i], streams.get(f"swarm/fault/{kinds[i]}")) for i in chosen],
        "expect": list(EXPECTATIONS),
    }
    if any(kinds[i] == IMAGE_FAULT for i in chosen):
        draft["cluster"]["images"] = {"pull": {"uniform": ["5s", "40s"]}}
    if tuple(kinds) == tuple(FAULTS):
        add_histories(draft, streams.get("swarm/histories"))
    return draft


def fault(kind: str, rng: Rng) -> dict[str, Any]:
    """Return a random fault of this kind.

    Raises:
        LookupError: if the kind has a required field without a generator.
    """
    fields = FAULTS[kind].model_fields
    body: dict[str, Any] = {"kind": kind, **_times(fields, rng)}
    for name, generator in _GENERATORS.items():
        if name in fields and name not in body:
            value = _OF_KIND.get((kind, name), generator)(rng)
            if value is not None:
                body[name] = value
    if "callers" in body and "probes" not in str(fields["callers"].annotation):
        del body["callers"]
    _keep_one(body, rng, ("ahead", "behind"))
    _keep_one(body, rng, ("pods", "nodes"))
    missing = [name for name, field in fields.items() if field.is_required() and (field.alias or name) not in body]
    if missing:
        raise LookupError(f"fault {kind}: no generator for {', '.join(missing)}; add it to _GENERATORS")
    return body


def _times(fields: Mapping[str, Any], rng: Rng) -> dict[str, Any]:
    begin = int(rng.integers(FIRST, LAST))
    if "at" not in fields:
        return {"from": f"{begin}s", "until": f"{begin + int(rng.integers(5, 120))}s"}
    if "before_write" in fields and rng.random() < 0.5:
        return {_pick(rng, "before_write", "after_write"): int(rng.integers(1, 80))}
    if "every" in fields and rng.random() < 0.4:
        mean = int(rng.integers(20, 60))
        return {"every": {"exponential": f"{mean}s"}, "from": f"{begin}s", "until": f"{begin + 3 * mean}s"}
    return {"at": f"{begin}s"}


def _keep_one(body: dict[str, Any], rng: Rng, names: tuple[str, str]) -> None:
    if all(name in body for name in names):
        del body[_pick(rng, *names)]


def _pick(rng: Rng, *values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def _sometimes(probability: float, generator: Generator) -> Generator:
    return lambda rng: generator(rng) if rng.random() < probability else None


def _seconds(low: int, high: int) -> Generator:
    return lambda rng: f"{int(rng.integers(low, high))}s"


_GENERATORS: Mapping[str, Generator] = {
    "pods": lambda rng: _pick(rng, "all", {"count": 1}, {"count": 1}, {"count": 2}, {"fraction": 0.5}),
    "nodes": lambda _: {"count": 1},
    "deployment": lambda _: MODEL,
    "probability": lambda rng: _pick(rng, 0.2, 0.5, 1.0),
    "callers": _sometimes(0.2, lambda _: ["controller", "probes"]),
    "after": lambda rng: bool(rng.random() < 0.5),
    "factor": lambda rng: float(_pick(rng, 3, 10, 40)),
    "status": lambda rng: _pick(rng, 429, 500, 503, 504),
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
"""Generators of field values, by name; None leaves the default."""
_OF_KIND: Mapping[tuple[str, str], Generator] = {("api-error", "status"): lambda rng: _pick(rng, 500, 503, 504)}
"""Generators for fields that have other values in one kind of fault."""


def _deployment(rng: Rng, keyed: bool) -> dict[str, Any]:
    args = ["--model", "acme/base", "--served-model-name", MODEL, "--enable-lora", "--max-cpu-loras", "16"]
    container = {
        "name": "vllm-openai",
        "image": f"vllm/vllm-openai:{_pick(rng, *_VERSIONS)}",
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
    replicas = _pick(rng, None, 1, 1, 2, 3)
    if replicas is not None:
        spec["replicas"] = replicas
    if keyed:
        spec["additionalConfig"] = {"api-key": KEY}
    arrive = _pick(rng, {"at": "0s"}, {"at": "30s"}, {"poisson": "6/min"}, {"every": "10s", "from": "20s"})
    leave = _pick(rng, "never", "never", {"after": {"exponential": "90s"}}, {"at": "4m"})
    return {"name": name, "count": int(rng.integers(1, 7)), "spec": spec, "arrive": arrive, "leave": leave}


def _traffic(rng: Rng) -> dict[str, Any]:
    """Return users' requests for half of the scenarios: few, since they only show which weights answer."""
    if rng.random() < 0.5:
        return {}
    return {"traffic": {"rate": _pick(rng, "12/min", "1/s"), "prompt_tokens": 64, "output_tokens": 8}}


def _edit(rng: Rng, template: dict[str, Any]) -> dict[str, Any]:
    name = cast("str", template["name"]).replace("{i}", "0")
    patch = _pick(
        rng, {"artifactURL": "huggingface://acme/other"}, {"replicas": 1}, {"replicas": 2}, {"replicas": None}
    )  # fmt: skip
    return {"at": f"{int(rng.integers(60, 240))}s", "of": f"ModelAdapter/{name}", "patch": {"spec": patch}}
