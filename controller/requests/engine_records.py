"""Inventories of engines, one record per pod.

A list may be older than a load or unload that ended while it was on its way. Those are kept by number and take
precedence, so that one request is enough, however long it takes and however many others end meanwhile.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from controller.api.spec import artifact_of
from controller.cache.pod_view import PodView
from controller.engine.client import AdapterList
from controller.requests.outcomes import EngineRecord, Inventory, InventoryChange

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

    def store(self, pod: PodView, adapters: AdapterList, changes: int) -> Inventory:
        """Store what the engine has listed; `changes`: those of its record when the list was requested."""
        record, current = self.get(pod), self.inventory(pod)
        if current is not None and changes < record.listed_after:
            return current  # a list that was requested later has been answered before
        later = {
            name: change
            for name, change in record.recent.items()
            if change.number > changes and change.engine == pod.engine
        }
        if current is None or current.models is not adapters.adapters or current.unclear:
            current = _with_changes(Inventory(pod.engine, adapters.adapters, adapters.bases), later)
        stored = replace(record, inventory=current, unanswered="", listed_after=changes, recent=later)
        if stored != record:
            self._records[pod.uid] = stored
        return current

    def confirm(self, pod: PodView, name: str, root: str | None) -> None:
        """Record that the engine confirmed a load of `name` from `root`, or (None) an unload."""
        self._change(pod, name, root, unclear=False)

    def mark_unclear(self, pod: PodView, name: str) -> None:
        """Record that a request for `name` ended without a clear answer."""
        self._change(pod, name, None, unclear=True)

    def _change(self, pod: PodView, name: str, root: str | None, *, unclear: bool) -> None:
        record, current = self.get(pod), self.inventory(pod)
        change = InventoryChange(record.changes + 1, pod.engine, root, unclear)
        # Without an inventory, the rest of what the engine holds is unknown, and the outcome says enough.
        self._records[pod.uid] = replace(
            record,
            inventory=record.inventory if current is None else _with_changes(current, {name: change}),
            unanswered="" if unclear else record.unanswered,
            failed_at=record.failed_at if unclear else 0.0,
            changes=change.number,
            recent={**record.recent, name: change},
            served=record.served if root is None else {**record.served, name: (pod.engine, artifact_of(root))},
        )

    def mark_doubtful(self, pod: PodView) -> None:
        """Record that the engine may have restarted in its container: each name is unclear until the next list."""
        record, current = self.get(pod), self.inventory(pod)
        if current is not None:
            inventory = replace(current, unclear=current.unclear | current.models.keys())
            self._records[pod.uid] = replace(record, inventory=inventory, listed_after=record.changes, unanswered="")

    def mark_failed(self, pod: PodView, timestamp: float) -> None:
        """Record an error of the engine's own, at a time in seconds since 1970."""
        self._records[pod.uid] = replace(self.get(pod), failed_at=timestamp, failed_engine=pod.engine)

    def mark_unanswered(self, pod: PodView) -> None:
        """Record that the engine did not answer a request for its inventory."""
        self._records[pod.uid] = replace(self.get(pod), unanswered=pod.engine)

    def forget(self, pod: PodView) -> None:
        """Drop the record of a deleted pod."""
        self._records.pop(pod.uid, None)


def _with_changes(inventory: Inventory, changes: Mapping[str, InventoryChange]) -> Inventory:
    """Return the inventory after these changes, by name."""
    if not changes:
        return inventory
    models, unclear = dict(inventory.models), set(inventory.unclear)
    for name, change in changes.items():
        if change.unclear:
            unclear.add(name)
            continue
        unclear.discard(name)
        models.pop(name, None)
        if change.root is not None:
            models[name] = change.root
    return replace(inventory, models=models, unclear=frozenset(unclear))
