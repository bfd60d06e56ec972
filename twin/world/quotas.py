"""The quota controller: the usage in the status of each ResourceQuota.

Source: `pkg/controller/resourcequota`. Objects are followed once there is a quota.
"""

from typing import Any

from fake_vllm.distributions import Uniform
from twin.apiserver import Change
from twin.apiserver.meta.objects import key, split
from twin.apiserver.storage.quotas import QUOTAS, applies, quantity_text, used
from twin.world.context import WorldContext
from twin.world.work import DelayedQueue

DELAY = Uniform(0.010, 0.060)  # seconds until a controller handles a change; a lightly loaded control plane
_MANAGER = "kube-controller-manager"


class Quotas:
    """Keeps the status of all ResourceQuotas."""

    def __init__(self, context: WorldContext) -> None:
        self._store = context.store
        self._quotas: dict[str, Any] = {}
        self._follows_objects = False
        self._queue = DelayedQueue(context, "resource-quota-controller", DELAY, self._sync)
        self._store.subscribe(self._on_quota, QUOTAS)

    def _on_quota(self, change: Change) -> None:
        if not self._follows_objects:
            self._follows_objects = True
            self._store.subscribe(self._on_object)
        name = key(change.object)
        if change.type == "DELETED":
            self._quotas.pop(name, None)
            return
        self._quotas[name] = change.object
        self._queue.add(name)

    def _on_object(self, change: Change) -> None:
        namespace = change.object["metadata"].get("namespace")
        for name in self._quotas if namespace else ():
            if split(name)[0] == namespace:
                self._queue.add(name)

    def _sync(self, name: str) -> None:
        quota = self._quotas.get(name)
        if quota is None or not applies(quota):
            return
        namespace, short = split(name)
        hard = quota["spec"]["hard"]
        amounts = used(quota, self._store.plugins.in_namespace(namespace))
        status = {
            "hard": dict(hard),
            "used": {resource: quantity_text(amount, str(hard[resource])) for resource, amount in amounts.items()},
        }
        before = quota.get("status") or {}
        if before != status:
            body = {"status": {part: {**dict.fromkeys(before.get(part) or {}), **status[part]} for part in status}}
            self._store.patch(QUOTAS, namespace, short, body, subresource="status", manager=_MANAGER)
