"""Kubernetes Events for users: written in the background, repeats counted on one object.

Events are the least important write: they wait for nobody and nobody waits for them, and one that cannot be written
is dropped with a line in the log.
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
"""Events that may still be counted up; client-go keeps as many."""
_WAITING = 10_000
"""Events that may wait to be written; the API server may be away for long, and memory is finite."""
_LONGEST_NOTE = 1024
"""Bytes of `note` that events.k8s.io accepts."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    adapter: ModelAdapter
    type: str
    reason: str
    note: str


class EventRecorder:
    """`event` returns at once; `run` writes."""

    def __init__(
        self,
        cluster: Client,
        clock: Clock,
        identity: str,
        log: FilteringBoundLogger,
        heard: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._identity = identity
        self._log = log
        self._heard = heard
        self._queue: asyncio.Queue[_Wanted] = asyncio.Queue(_WAITING)
        self._counts: OrderedDict[str, int] = OrderedDict()

    def event(self, adapter: ModelAdapter, type_: str, reason: str, note: str) -> None:
        self._heard(type_, reason)
        shown = note.encode()[:_LONGEST_NOTE].decode(errors="ignore")
        wanted = _Wanted(adapter, type_, reason, shown)
        try:
            self._queue.put_nowait(wanted)
        except asyncio.QueueFull:
            self._dropped(wanted, "too many wait to be written")

    async def run(self) -> None:
        """Writes what is told, for ever."""
        while True:
            wanted = await self._queue.get()
            try:
                await self._write(wanted)
            except ClientError as error:
                self._dropped(wanted, str(error))
            finally:
                self._queue.task_done()

    async def flush(self) -> None:
        """Waits until all that was told is written or dropped."""
        await self._queue.join()

    def _dropped(self, wanted: _Wanted, why: str) -> None:
        self._log.debug("event dropped", adapter=wanted.adapter.key, reason=wanted.reason, error=why)

    async def _write(self, wanted: _Wanted) -> None:
        meta = wanted.adapter.metadata
        digest = sha256(f"{meta.uid}/{wanted.type}/{wanted.reason}/{wanted.note}".encode()).hexdigest()[:16]
        name = f"{meta.name}.{digest}"
        count = self._counts.get(name, 0) + 1
        self._counts[name] = count
        self._counts.move_to_end(name)
        if len(self._counts) > _SERIES_KEPT:
            self._counts.popitem(last=False)
        if count > 1:
            try:
                await self._count_up(meta.namespace, name, count)
            except NotFound:
                await self._create(wanted, name)  # events live for an hour, the operator longer
            return
        try:
            await self._create(wanted, name)
        except AlreadyExists:
            known = await self._cluster.get(EVENTS, meta.namespace, name)
            self._counts[name] = (known.series.count if known.series is not None else 1) + 1
            await self._count_up(meta.namespace, name, self._counts[name])

    async def _count_up(self, namespace: str, name: str, count: int) -> None:
        series = EventSeries(count=count, last_observed_time=format_micro_time(self._clock.now()))
        await self._cluster.patch(EVENTS, namespace, name, {"series": json_value(series)})

    async def _create(self, wanted: _Wanted, name: str) -> None:
        meta = wanted.adapter.metadata
        event = Event(
            metadata=ObjectMeta(name=name, namespace=meta.namespace),
            event_time=format_micro_time(self._clock.now()),
            reporting_controller="lora-controller",
            reporting_instance=self._identity,
            action=wanted.reason,
            reason=wanted.reason,
            regarding=ObjectReference(
                api_version=f"{GROUP}/v1alpha1",
                kind="ModelAdapter",
                name=meta.name,
                namespace=meta.namespace,
                uid=meta.uid,
            ),
            note=wanted.note,
            type=wanted.type,
        )
        await self._cluster.create(EVENTS, event)
