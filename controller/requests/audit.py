"""Asks each engine now and then what it holds: what it forgot without a sign, or holds after a lost answer.

One request per pod and `audit_interval`, however many adapters are on it; the adapters that the answer is news to are
woken, and nobody else.
"""

import asyncio
from collections.abc import Callable

from controller.cache.cache import Cache
from controller.cache.pod_view import PodView
from controller.requests.tracker import RequestTracker


class EngineAuditor:
    """One task a pod. `wake` queues an adapter's key."""

    def __init__(self, caches: Cache, operations: RequestTracker, interval: float, wake: Callable[[str], None]) -> None:
        self._caches = caches
        self._operations = operations
        self._interval = interval
        self._wake = wake
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def pod_changed(self, old: PodView | None, new: PodView | None, tasks: asyncio.TaskGroup) -> None:
        """Begins with a pod that is there, ends with one that goes."""
        pod = new or old
        assert pod is not None
        under_way = self._tasks.get(pod.uid)
        if new is None or new.terminating:
            if under_way is not None:
                self._tasks.pop(pod.uid).cancel()
        elif under_way is None and new.enabled:
            self._tasks[pod.uid] = tasks.create_task(self._audit(pod.namespace, pod.name), name=f"audit {pod.name}")

    def cancel(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _audit(self, namespace: str, name: str) -> None:
        pod_key = f"{namespace}/{name}"
        while True:
            await asyncio.sleep(self._interval)
            pod = self._caches.views(namespace).get(name)
            here = self._caches.occupancy.on(pod_key)
            asking = next((a for key in here if (a := self._caches.adapters.get(key)) is not None), None)
            if pod is None or asking is None or not pod.ip or not pod.engine:
                continue
            changed = await self._operations.audit(asking, pod)
            if changed:
                for key in sorted(self._caches.occupancy.on(pod_key)):
                    if key.split("/")[1] in changed:
                        self._wake(key)
