"""Speed of the store with objects of the size of a real ModelAdapter; nothing is asserted.

`measure()` gives operations a second by name; run the file to see them.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from twin.apiserver import Store
from twin.scenario.manifests.admission import definition

ADAPTERS = "modeladapters.model.aibrix.ai"
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def _store(adapters: int) -> Store:
    store = Store(lambda: _EPOCH, lambda: "abcde")
    store.register_crd(definition())
    for number in range(adapters):
        store.create(ADAPTERS, _adapter(f"adapter-{number}"))
        store.patch(ADAPTERS, "default", f"adapter-{number}", _announcement(0))
        store.patch(ADAPTERS, "default", f"adapter-{number}", _status(0), subresource="status")
    return store


def _adapter(name: str) -> dict[str, Any]:
    labels = {"model.aibrix.ai/name": "qwen-coder-1-5b-instruct", "adapter.model.aibrix.ai/enabled": "true"}
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"model.aibrix.ai/name": name}},
        "spec": {
            "baseModel": "qwen-coder-1-5b-instruct",
            "podSelector": {"matchLabels": labels},
            "artifactURL": f"huggingface://acme/{name}",
            "replicas": 2,
            "additionalConfig": {"rank": "16"},
        },
    }


def _announcement(number: int) -> dict[str, Any]:
    pods = ["qwen-7d9c5f6b8-abcde", "qwen-7d9c5f6b8-fghij"]
    annotations = {f"adapter.model.aibrix.ai/retry-count.{pod}": str(number) for pod in pods}
    annotations |= {"adapter.model.aibrix.ai/scheduled-pods": ",".join(pods)}
    annotations |= {"adapter.model.aibrix.ai/placements": '{"qwen-7d9c5f6b8-abcde":["uid","id","hash"]}'}
    return {"metadata": {"annotations": annotations, "finalizers": ["adapter.model.aibrix.ai/finalizer"]}}


def _status(number: int) -> dict[str, Any]:
    conditions = [
        {
            "type": name,
            "status": "True",
            "reason": "ModelAdapterAvailable",
            "message": f"ModelAdapter default/x is {name.lower()} {number}",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": 1,
        }
        for name in ("Initialized", "Scheduled", "Loaded", "Bound", "Ready")
    ]
    return {
        "status": {
            "phase": "Running",
            "conditions": conditions,
            "instances": ["a", "b"],
            "candidates": 100,
            "desiredReplicas": 2,
            "readyReplicas": number % 3,
        }
    }


def _service(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "svc", "labels": {"model.aibrix.ai/name": f"x{number}"}},
        "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 8000}]},
    }


def _rate(count: int, operation: Callable[[int], object]) -> float:
    start = time.perf_counter()
    for number in range(count):
        operation(number)
    return count / (time.perf_counter() - start)


async def _delivered(watches: int, writes: int) -> float:
    store = _store(100)
    streams = [store.watch(ADAPTERS, resource_version=store.resource_version) for _ in range(watches)]

    async def read(stream: Any) -> None:
        for _ in range(writes):
            await anext(stream)

    readers = [asyncio.create_task(read(stream)) for stream in streams]
    await asyncio.sleep(0)
    spent = 0.0
    for number in range(writes):
        store.patch(ADAPTERS, "default", f"adapter-{number % 100}", _announcement(number + 1))
        if number % 10 == 9:
            start = time.perf_counter()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            spent += time.perf_counter() - start
    await asyncio.gather(*readers)
    return watches * writes / spent


def measure() -> dict[str, float]:
    """Return operations per second, by name."""
    store = _store(1000)
    for _ in range(5):
        store.subscribe(lambda change: None)

    def name(number: int) -> str:
        return f"adapter-{number % 1000}"

    return {
        "reads": _rate(20_000, lambda n: store.get(ADAPTERS, "default", name(n))),
        "merge patches": _rate(10_000, lambda n: store.patch(ADAPTERS, "default", name(n), _announcement(n + 1))),
        "status patches": _rate(
            10_000, lambda n: store.patch(ADAPTERS, "default", name(n), _status(n + 1), subresource="status")
        ),
        "applies": _rate(
            2_000, lambda n: store.patch("services", "default", "svc", _service(n), type="apply", manager="m")
        ),
        "creates": _rate(2_000, lambda n: store.create(ADAPTERS, _adapter(f"new-{n}"))),
        "lists of 1000": _rate(200, lambda _: store.list(ADAPTERS, label_selector="model.aibrix.ai/name")),
        "watch events": asyncio.run(_delivered(20, 2_000)),
    }


if __name__ == "__main__":
    for what, rate in measure().items():
        print(f"{what:16} {rate:12,.0f} /s")
