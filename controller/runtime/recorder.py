"""Kubernetes Events: written in the background, repeats counted on one object.

Events are the least important writes: nothing waits for them, and one that cannot be written is dropped and logged.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from structlog.typing import FilteringBoundLogger

from controller.api.types import (
    EVENTS,
    GROUP,
    Event,
    EventSeries,
    ModelAdapter,
    ObjectMeta,
    ObjectReference,
    json_value,
)
from controller.client.interface import AlreadyExists, Client, ClientError, NotFound
from controller.clock import Clock
from formats.timestamps import format_micro_time

_SERIES_KEPT = 4096
"""Events whose count is kept; client-go keeps as many."""
_QUEUE_SIZE = 10_000
"""Maximum number of events in the queue while the API server is unavailable."""
_LONGEST_NOTE = 1024
"""Maximum bytes of `note` in events.k8s.io."""


@dataclass(frozen=True, slots=True)
class _Pending:
    adapter: ModelAdapter
    type: str
    reason: str
    note: str


class EventRecorder:
    """`event` queues an Event; `run` writes the queue."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        identity: str,
        log: FilteringBoundLogger,
        observer: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._identity = identity
        self._log = log
        self._observer = observer
        self._queue: asyncio.Queue[_Pending] = asyncio.Queue(_QUEUE_SIZE)
        self._counts: OrderedDict[str, int] = OrderedDict()

    def event(self, adapter: ModelAdapter, type_: str, reason: str, note: str) -> None:
        """Queue an Event about an adapter. `type_` is `Normal` or `Warning`."""
        self._observer(type_, reason)
        text = note.encode()[:_LONGEST_NOTE].decode(errors="ignore")
        pending = _Pending(adapter, type_, reason, text)
        try:
            self._queue.put_nowait(pending)
        except asyncio.QueueFull:
            self._dropped(pending, "the queue is full")

    async def run(self) -> None:
        """Write queued events, forever."""
        while True:
            pending = await self._queue.get()
            try:
                await self._write(pending)
            except ClientError as error:
                self._dropped(pending, str(error))
            finally:
                self._queue.task_done()

    async def flush(self) -> None:
        """Wait until all queued events are written or dropped."""
        await self._queue.join()

    def _dropped(self, pending: _Pending, error: str) -> None:
        self._log.debug("event dropped", adapter=pending.adapter.key, reason=pending.reason, error=error)

    async def _write(self, pending: _Pending) -> None:
        meta = pending.adapter.metadata
        digest = sha256(f"{meta.uid}/{pending.type}/{pending.reason}/{pending.note}".encode()).hexdigest()[:16]
        name = f"{meta.name}.{digest}"
        count = self._counts.get(name, 0) + 1
        self._counts[name] = count
        self._counts.move_to_end(name)
        if len(self._counts) > _SERIES_KEPT:
            self._counts.popitem(last=False)
        if count > 1:
            try:
                await self._increment(meta.namespace, name, count)
            except NotFound:
                await self._create(pending, name)  # events are deleted after an hour
            return
        try:
            await self._create(pending, name)
        except AlreadyExists:
            del self._counts[name]  # it is not known until the Event was read
            current = await self._client.get(EVENTS, meta.namespace, name)
            self._counts[name] = (current.series.count if current.series is not None else 1) + 1
            await self._increment(meta.namespace, name, self._counts[name])

    async def _increment(self, namespace: str, name: str, count: int) -> None:
        series = EventSeries(count=count, last_observed_time=format_micro_time(self._clock.now()))
        await self._client.patch(EVENTS, namespace, name, {"series": json_value(series)})

    async def _create(self, pending: _Pending, name: str) -> None:
        meta = pending.adapter.metadata
        event = Event(
            metadata=ObjectMeta(name=name, namespace=meta.namespace),
            event_time=format_micro_time(self._clock.now()),
            reporting_controller="lora-controller",
            reporting_instance=self._identity,
            action=pending.reason,
            reason=pending.reason,
            regarding=ObjectReference(
                api_version=f"{GROUP}/v1alpha1",
                kind="ModelAdapter",
                name=meta.name,
                namespace=meta.namespace,
                uid=meta.uid,
            ),
            note=pending.note,
            type=pending.type,
        )
        await self._client.create(EVENTS, event)
