"""Inventories of engines, one record per pod."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from controller.cache.pod_view import PodView
from controller.engine.client import AdapterList
from controller.requests.outcomes import EngineRecord, Inventory

_EMPTY = EngineRecord()


class EngineRecords:
    """Records by pod UID. Each record is immutable and replaced on change."""

    def __init__(self) -> None:
        self._records: dict[str, EngineRecord] = {}
        self.by_pod: Mapping[str, EngineRecord] = MappingProxyType(self._records)
        """Read-only view."""

    def get(self, pod: PodView) -> EngineRecord:
        """Return the pod's record, or an empty record."""
        return self._records.get(pod.uid, _EMPTY)

    def inventory(self, pod: PodView) -> Inventory | None:
        """Return the last inventory of the pod's current incarnation."""
        inventory = self.get(pod).inventory
        return inventory if inventory is not None and inventory.engine == pod.engine else None

    def store(self, pod: PodView, adapters: AdapterList) -> None:
        """Store what the engine has listed."""
        record, current = self.get(pod), self.inventory(pod)
        if current is None or current.models is not adapters.adapters or current.unclear:
            current = Inventory(pod.engine, adapters.adapters, adapters.bases)
        if record.unanswered or record.inventory is not current:
            self._records[pod.uid] = replace(record, inventory=current, unanswered="")

    def confirm(self, pod: PodView, name: str, root: str | None) -> None:
        """Record that the engine confirmed a load of `name` from `root`, or (None) an unload."""
        record, current = self.get(pod), self.inventory(pod)
        inventory = record.inventory
        if current is not None:  # otherwise the rest of its inventory is unknown, and the outcome says enough
            models = {other: path for other, path in current.models.items() if other != name}
            if root is not None:
                models[name] = root
            inventory = replace(current, models=models, unclear=current.unclear - {name})
        self._records[pod.uid] = replace(record, inventory=inventory, confirmed=record.confirmed + 1)

    def mark_unclear(self, pod: PodView, name: str) -> None:
        """Record that a request for `name` ended without a clear answer."""
        record, current = self.get(pod), self.inventory(pod)
        inventory = record.inventory
        if current is not None:
            inventory = replace(current, unclear=current.unclear | {name})
        self._records[pod.uid] = replace(record, inventory=inventory, unanswered="")

    def mark_unanswered(self, pod: PodView) -> None:
        """Record that the engine did not answer a request for its inventory."""
        self._records[pod.uid] = replace(self.get(pod), unanswered=pod.engine)

    def forget(self, pod: PodView) -> None:
        """Drop the record of a deleted pod."""
        self._records.pop(pod.uid, None)
