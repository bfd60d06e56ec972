"""Facts about artifacts that runtime sidecars have read, and failures to read them. In memory only.

An artifact is read before the first load of it, so that no engine is sent what it cannot take. A failure is no reason
not to load: the load finds the same error and reports it, or an older sidecar does not have the route at all.
"""

from dataclasses import dataclass

from controller.api.types import ArtifactStatus


@dataclass(frozen=True, slots=True)
class Inspection:
    """Result of the last request for the facts about an adapter's artifact."""

    hash: str
    """Short hash of the artifact."""
    finished_at: float
    """Seconds since 1970; 0 while the request is in flight."""
    facts: ArtifactStatus | None = None
    """None if they could not be read."""

    @property
    def in_flight(self) -> bool:
        """True if there is no result yet."""
        return not self.finished_at


class Inspections:
    """By adapter: `namespace/name`."""

    def __init__(self) -> None:
        self._by_adapter: dict[str, Inspection] = {}

    def of(self, adapter: str, artifact: str) -> Inspection | None:
        """Return the inspection of the artifact that the adapter names now."""
        inspection = self._by_adapter.get(adapter)
        return inspection if inspection is not None and inspection.hash == artifact else None

    def store(self, adapter: str, inspection: Inspection) -> None:
        """Store a request or its result, unless another artifact is read in the meantime."""
        current = self._by_adapter.get(adapter)
        if inspection.in_flight or (current is not None and current.hash == inspection.hash):
            self._by_adapter[adapter] = inspection

    def forget(self, adapter: str) -> None:
        """Drop what is kept for a deleted adapter."""
        self._by_adapter.pop(adapter, None)
