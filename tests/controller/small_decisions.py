"""Small decisions for random inputs: policies, demand, errors of engines, annotations, pods; not a test.

`small_decisions.txt` has the results. A line that changes on purpose is reviewed there:

    python -m tests.controller.small_decisions    # writes them again
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import httpx

from controller.api import annotations
from controller.api.annotations import MOVE, PLACEMENTS, RETRY_COUNT, SCHEDULED_PODS
from controller.api.types import (
    PODS,
    Autoscaling,
    AutoscalingTarget,
    StabilizationWindow,
)
from controller.backoff import Backoff
from controller.cache.pod_view import pod_view
from controller.demand.budget import Claim, divide
from controller.demand.estimate import pod_sample, requests_by_adapter
from controller.demand.scaling import Demand, DemandSample, decide
from controller.engine.errors import failure
from controller.engine.metrics import MetricsSample
from controller.policies import BUILT_IN, Candidate, EngineLoad, View, find
from controller.requests.load_monitor import LoadSample, _load, _refused_more, _restarted
from tests.controller.builders import NOW

FILE = Path(__file__).with_suffix(".txt")
COUNT = 40
"""Inputs of each kind."""


def _policy(rng: Random) -> Iterator[str]:
    candidates = [_candidate(rng, f"pod-{letter}") for letter in "abcdef"]
    placed = rng.randint(0, 2)
    view = View(
        adapter=f"default/{rng.randint(0, 9)}",
        count=rng.randint(1, 4),
        candidates=tuple(candidates[placed : placed + rng.randint(1, 5)]),
        placed=tuple(candidates[:placed]),
        seed=rng.getrandbits(32),
        rank=rng.choice((0, 8, 32)),
    )
    for name in BUILT_IN:
        yield f"{name} {' '.join(find(name).choose(view))}"


def _candidate(rng: Random, name: str) -> Candidate:
    load = EngineLoad(
        latency=rng.choice((None, 0.0, 0.2, 3.0)),
        throughput=rng.choice((None, 0.0, 90.0, 800.0)),
        requests=rng.choice((None, 0.0, 2.0, 9.0)),
        adapters=rng.randint(0, 4),
    )
    return Candidate(
        name=name,
        adapters=rng.randint(0, 9),
        max_loras=rng.choice((1, 4)),
        max_cpu_loras=rng.choice((4, 8)),
        node=f"node-{rng.randint(0, 2)}",
        zone=rng.choice("ab"),
        load=rng.choice((None, load, load, load)),
        expected_requests=rng.choice((0.0, 1.5, 6.0)),
        max_lora_rank=rng.choice((0, 8, 16, 64)),
    )


def _scaling(rng: Random) -> Iterator[str]:
    least, interval, level = rng.randint(1, 2), rng.choice((5.0, 15.0)), rng.choice((0.4, 2.0, 5.0, 9.0, 40.0))
    spec = Autoscaling(
        min=least,
        max=least + rng.randint(0, 6),
        target=AutoscalingTarget(concurrency=rng.choice((0.5, 4.0))),
        scale_up=StabilizationWindow(stabilization_window_seconds=rng.choice((0.0, 30.0))),
        scale_down=StabilizationWindow(stabilization_window_seconds=rng.choice((20.0, 120.0))),
        cooldown_seconds=rng.choice((0.0, 30.0)),
    )
    ages = [number * interval + rng.choice((0.0, 0.0, 1.0)) for number in range(rng.randint(0, 30), -1, -1)]
    late = rng.choice((0.0, 0.0, 0.0, 2 * interval, 9 * interval))
    samples = [
        DemandSample(NOW - age - late, level * rng.choice((0.5, 1.0, 1.0, 1.05, 2.0)), complete=rng.random() < 0.97)
        for age in ages
        if rng.random() < 0.97
    ]
    made = decide(
        spec,
        rng.choice((None, 0, 1, 2, 2, 3, 5)),
        Demand(tuple(samples), interval, granted=rng.choice((None, None, 0, 2))),
        scaled_at=NOW - rng.choice((-5.0, 10.0, 30.0, 500.0, 500.0)),
        room=rng.randint(0, 6),
        now=NOW,
    )
    limits = " ".join(limit.reason for limit in (made.problem, made.limit) if limit is not None)
    yield f"{made.replicas} {limits} {made.cause}"


def _budget(rng: Random) -> Iterator[str]:
    claims = {
        f"{rng.choice('xyz')}/a-{number}": Claim(rng.randint(0, 5), rng.choice((0, 0, 5)))
        for number in range(rng.randint(1, 7))
    }
    yield json.dumps(divide(claims, rng.randint(0, 12)))


def _page(rng: Random) -> MetricsSample:
    return MetricsSample(
        busy_seconds=rng.choice((None, 4.0, 9.0)),
        ended=rng.choice((None, 2.0, 5.0)),
        tokens=rng.choice((None, 100.0, 700.0)),
        requests=rng.choice((None, 0.0, 3.0, 3.0, 8.0, -1.0, 1e9)),
        adapters=frozenset(rng.sample(("sql", "chat", "code"), rng.randint(0, 3))),
        started_at=rng.choice((None, 5.0, 5.0, 6.0)),
        refused=rng.choice((None, 0.0, 4.0)),
    )


def _load_of_pages(rng: Random) -> Iterator[str]:
    before, after = _page(rng), _page(rng)
    earlier = LoadSample("1", rng.choice((5.0, 10.0)), before, EngineLoad())
    yield f"{_load(rng.choice((None, earlier, earlier)), 10.0, after, 2)}"
    yield f"restarted {_restarted(before, after)}, refused more {_refused_more(before, after)}"
    pages = [_page(rng) for _ in range(rng.randint(2, 6))]
    samples = [
        sample for first, page in zip([None, *pages], pages, strict=False) if (sample := pod_sample(first, page))
    ]
    shares = requests_by_adapter(tuple(samples))
    yield f"{len(samples)} samples: {', '.join(f'{name} {shares[name]:.3f}' for name in sorted(shares))}"


_TEXTS = (
    "",
    "LoRA rank 64 is greater than max_lora_rank 16.",
    "The lora adapter 'a' has already been loaded.",
    "Call to add_lora method failed: CUDA out of memory",
    "No adapter found for /mnt/a",
    "No adapter found for acme/a",
    "something else",
)


def _error(rng: Random) -> Iterator[str]:
    text, kind = rng.choice(_TEXTS), rng.choice(("", "NotFoundError"))
    code = rng.choice((400, "artifact_not_found", "engine_timeout", "name_taken", "store_unavailable", "x"))
    bodies = (
        {"error": {"message": text, "type": kind, "code": code}},
        {"message": text, "type": kind},
        {"error": text},
        {"detail": rng.choice((text, None))},
        {"success": False, "error_message": text},
    )
    headers = {"retry-after": rng.choice(("0", "7", "3600", "soon"))} if rng.random() < 0.4 else {}
    response = httpx.Response(rng.choice((400, 401, 404, 408, 422, 429, 500, 501, 502, 503, 504)), headers=headers)
    body = b"<html>" if rng.random() < 0.1 else json.dumps(rng.choice(bodies)).encode()
    verb = rng.choice(("load", "load", "unload", "list"))
    made = failure(verb, response, body)
    flags = [name for name in ("retriable", "elsewhere", "ambiguous", "of_engine") if getattr(made, name)]
    yield f"{verb} {type(made).__name__} {made.reason} {made.scope.value} {' '.join(flags)} {made.retry_after:g}"
    yield f"  {made.message}"


def _annotations(rng: Random) -> Iterator[str]:
    before, after = (annotations.read(_stored(rng)) for _ in range(2))
    yield f"{after.selected} {after.attempts} {after.placements} {after.move} {after.unreadable}"
    yield json.dumps(annotations.changes(before, after))


def _stored(rng: Random) -> Mapping[str, str]:
    move = {"source": "a", "target": "b", "started": "2027-01-15T07:00:00.000000Z"}
    place = {"a": {"uid": "u", "engine": "e", "artifact": "f"}}
    values = {
        SCHEDULED_PODS: rng.choice(("a", "a,b", ",")),
        PLACEMENTS: rng.choice((json.dumps(place), json.dumps(place), "{", "[]", "{}")),
        MOVE: rng.choice((json.dumps(move), json.dumps(move | {"finished": "2027-01-15T07:01:00Z"}), "?", "")),
        f"{RETRY_COUNT}a": rng.choice(("0", "3", "-1", "x")),
        f"{annotations.LAST_RETRY_TIME}a": rng.choice(("2027-01-15T07:00:00.000000Z", "soon")),
    }
    return {key: value for key, value in values.items() if rng.random() < 0.7}


_POD_FIELDS = (
    *("ip", "ips", "port", "engine", "container", "ready", "changed", "terminating", "max_loras", "max_cpu_loras"),
    *("max_lora_rank", "sidecar", "owned", "problem", "base_names", "prefix_cache", "enabled", "available"),
)


def _pod(rng: Random) -> Iterator[str]:
    ready = {"type": "Ready", "status": rng.choice(("True", "True", "False"))}
    addresses = rng.choice(([], [{"ip": "10.0.0.1"}], [{"ip": "fd00::1"}], [{"ip": "fd00::1"}, {"ip": "10.0.0.1"}]))
    labels = {"adapter.model.aibrix.ai/enabled": rng.choice(("true", "no"))}
    labels |= rng.choice(({}, {"model.aibrix.ai/port": "9001"}, {"model.aibrix.ai/port": "no"}))
    labels |= rng.choice(({}, {"model.aibrix.ai/engine": "sglang"}))
    arguments = ["--port", "9000", "--max-loras", "3", "--max-lora-rank", "32", "--served-model-name", "base"]
    engine = {"name": "engine", "image": "vllm/vllm-openai:v0.24.0", "args": arguments[: rng.choice((0, 2, 4, 8))]}
    other = {"name": rng.choice(("aibrix-runtime", "proxy"))}
    metadata: dict[str, Any] = {"name": "a", "namespace": "default", "uid": "1", "labels": labels}
    if rng.random() < 0.2:
        metadata["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    raw = {
        "metadata": metadata,
        "spec": {"containers": [engine, other][: rng.randint(1, 2)], "nodeName": "n"},
        "status": {
            "phase": rng.choice(("Running", "Running", "Failed")),
            "podIP": addresses[0]["ip"] if addresses else "",
            "podIPs": addresses,
            "conditions": [ready] if rng.random() < 0.9 else [],
            "containerStatuses": [{"name": name, "containerID": f"id-{name}"} for name in ("proxy", "engine")],
        },
    }
    view = pod_view(PODS.decode(raw), "zone")
    yield ", ".join(f"{name} {getattr(view, name)}" for name in _POD_FIELDS)
    yield f"  {sorted(view.addresses.items())}, takes rank 32: {view.takes_rank(32)}"


def _backoff(rng: Random) -> Iterator[str]:
    waits = Backoff(base=rng.choice((1.0, 5.0)), cap=rng.choice((20.0, 300.0)), jitter=rng.choice((0.0, 0.5)))
    yield " ".join(f"{waits.delay(failures, salt=str(rng.random())):.3f}" for failures in range(1, 8))


KINDS: Mapping[str, Callable[[Random], Iterator[str]]] = {
    "policies": _policy,
    "scaling": _scaling,
    "budget": _budget,
    "load": _load_of_pages,
    "errors": _error,
    "annotations": _annotations,
    "pods": _pod,
    "back-off": _backoff,
}


def texts() -> list[str]:
    """Return the lines of `small_decisions.txt` for the operator as it is."""
    lines = []
    for kind, make in KINDS.items():
        for number in range(COUNT):
            lines += [f"# {kind} {number}", *(text.rstrip() for text in make(Random(f"{kind} {number}")))]
    return lines


def stored() -> list[str]:
    """Return these lines as they were reviewed."""
    return FILE.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    FILE.write_text("\n".join([*texts(), ""]), encoding="utf-8")
