"""Lists each engine's adapters periodically, to notice adapters that an engine dropped, or loaded after a lost answer.

Each pod gets one request per `audit_interval`, for all its adapters together, sooner after a list that failed; only
adapters whose entry changed are woken.
"""

import asyncio
from collections.abc import Callable

from controller.cache.cache import Cache
from controller.cache.pod_view import PodView
from controller.requests.engine_calls import EngineCalls

_FIRST_RETRY = 5.0
"""Seconds after a list that failed, doubled with each further failure up to `audit_interval`: an engine that does not
answer may be restarting, and forgets its adapters then."""


class EngineAuditor:
    """One task per pod, in the group `tasks`. `wake` queues an adapter's key."""

    def __init__(
        self,
        cache: Cache,
        calls: EngineCalls,
        interval: float,
        wake: Callable[[str], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._cache = cache
        self._calls = calls
        self._interval = interval
        self._wake = wake
        self._tasks = tasks
        self._audits: dict[str, asyncio.Task[None]] = {}

    def pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        """Start auditing a new pod; stop when it is deleted."""
        pod = new or old
        assert pod is not None
        audit = self._audits.get(pod.uid)
        if new is None or new.terminating:
            if audit is not None:
                self._audits.pop(pod.uid).cancel()
        elif audit is None and new.enabled:
            self._audits[pod.uid] = self._tasks.create_task(
                self._audit(pod.namespace, pod.name), name=f"audit {pod.name}"
            )

    def audit_now(self, pod: PodView) -> None:
        """List an engine's adapters besides the periodic audits."""
        self._tasks.create_task(self._list(pod.namespace, pod.name), name=f"audit {pod.name} on a hint")

    async def _audit(self, namespace: str, name: str) -> None:
        failures = 0
        while True:
            retry = _FIRST_RETRY * 2 ** (failures - 1) if failures else self._interval
            await asyncio.sleep(min(retry, self._interval))
            failures = 0 if await self._list(namespace, name) else min(failures + 1, 16)

    async def _list(self, namespace: str, name: str) -> bool:
        """List a pod's adapters and wake those whose entry changed; return False if its engine did not answer."""
        pod_key = f"{namespace}/{name}"
        pod = self._cache.pods_in(namespace).get(name)
        keys = self._cache.occupancy.on(pod_key)
        adapter = next((a for key in keys if (a := self._cache.adapters.get(key)) is not None), None)
        if pod is None or adapter is None or not pod.ip or not pod.engine:
            return True
        changed = await self._calls.list_changed_names(adapter, pod)
        if changed is None:
            return False
        if changed:
            for key in sorted(self._cache.occupancy.on(pod_key)):
                if key.split("/")[1] in changed:
                    self._wake(key)
        return True
