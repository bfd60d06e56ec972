"""Other operators of this project that write the same adapters, as two releases in one cluster do.

Each operator leaves its name and the time on the object with every write of its annotations. One that sees the name of
another appear while it leads is not alone: a former leader has stopped before the Lease is free, and a write of its own
that is late meets a conflict. A name that an old manifest restores has an old time.
"""

from dataclasses import dataclass

from controller.api import annotations
from controller.api.annotations import WRITER, Writer
from controller.api.types import ModelAdapter
from controller.clock import Clock

_SETTLED = 15.0
"""Seconds after the start in which writes of a former leader may still arrive; client-go's lease duration."""
_REPEAT = 600.0
"""Seconds between two warnings about one adapter."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Last writer that this process has seen on an adapter."""

    uid: str
    text: str
    """Annotation; empty if the adapter has none."""
    timestamp: float = 0.0
    """Time of the write, in seconds since 1970."""


class OtherOperators:
    """Notices other operators. `identity` and `namespace`: this replica's name, and the namespace of its Lease."""

    def __init__(self, identity: str, namespace: str, clock: Clock) -> None:
        self._identity = identity
        self._namespace = namespace
        self._clock = clock
        self._started = clock.now().timestamp()
        self._seen: dict[str, _Seen] = {}
        self._warned: dict[str, float] = {}

    def signature(self) -> str:
        """Return the annotation's value for a write that is made now."""
        return annotations.write_writer(Writer(self._identity, self._namespace, self._clock.now().timestamp()))

    def warning(self, adapter: ModelAdapter) -> str:
        """Return the warning to give now about another operator that writes the adapter; empty without one."""
        key, uid, text = adapter.key, adapter.metadata.uid, adapter.metadata.annotations.get(WRITER, "")
        before = self._seen.get(key)
        if before is not None and (before.uid, before.text) == (uid, text):
            return ""
        writer = annotations.read_writer(text)
        self._seen[key] = _Seen(uid, text, writer.timestamp if writer is not None else 0.0)
        if before is None or before.uid != uid or writer is None or writer.identity == self._identity:
            return ""
        now = self._clock.now().timestamp()
        if writer.timestamp <= before.timestamp or now < self._started + _SETTLED:
            return ""
        if now < self._warned.get(key, 0.0) + _REPEAT:
            return ""
        self._warned[key] = now
        return (
            f"Another operator, {writer.identity} with its Lease in namespace {writer.namespace}, writes this adapter "
            f"too (this one: {self._identity} in {self._namespace}): both send loads, and each overwrites the other's "
            "status. Stop one of them, or give each namespaces of its own (--namespaces)"
        )

    def forget(self, key: str) -> None:
        """Drop what is kept for a deleted adapter."""
        self._seen.pop(key, None)
        self._warned.pop(key, None)
