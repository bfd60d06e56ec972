"""Seam 1 in the twin: the store as a controller's `Client`, for one replica.

A request takes half of its latency to reach the store and half to come back. A replica may crash during either half;
what the store has accepted stays. Each write is recorded when the store has accepted or refused it, even if the replica
never receives the response.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np

from controller.api.types import LEASES, SECRETS, Kind, Lease, Resource
from controller.client.errors import Status, from_status
from controller.client.interface import (
    FIELD_MANAGER,
    ClientError,
    ObjectList,
    Propagation,
    Subresource,
    Unavailable,
    WatchEvent,
)
from controller.client.ratelimit import RateLimits, rate_limits
from fake_vllm.distributions import Latency
from twin.apiserver import ApiError, Change, Object, Store
from twin.kernel.loop import wait_for_event
from twin.trace.lines import ApiLine, LeaseLine
from twin.trace.recorder import Recorder
from twin.world.api_faults import ApiFaults
from twin.world.api_refusals import RefusedRequest

T = TypeVar("T", bound=Resource)
R = TypeVar("R")
_SLOW_READ = 1.0
"""Seconds from which on the read of a Secret is counted as slow: keys change, and pods go away meanwhile."""
OnWrite = Callable[[int, Literal["before", "after"]], None]
"""Called with the number of a write when it is about to be sent, and when it is stored but not answered."""


@dataclass(frozen=True, slots=True)
class StoreContext:
    """The parts of the simulation that one replica's client uses.

    Attributes:
        store: the state behind the Kubernetes API.
        by: the replica's name, for the record and for faults.
        recorder: where requests are recorded.
        latency: duration of a request and its response, in seconds.
        rng: the client's random stream.
        faults: faults of the API server.
        limits: the client's own rate limits.
        on_write: called for each write.
    """

    store: Store
    by: str
    recorder: Recorder
    latency: Latency
    rng: np.random.Generator
    faults: ApiFaults
    limits: RateLimits = field(default_factory=rate_limits)
    on_write: OnWrite = lambda number, time: None  # noqa: ARG005


class StoreClient:
    """The store as one replica sees it."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._store = context.store
        self._recorder = context.recorder
        self._faults = context.faults
        self._limits = context.limits
        self._writes = 0
        self._disconnected = False
        self._decoded: dict[tuple[str, str], tuple[Object, Any]] = {}

    def disconnect(self) -> None:
        """Cut the replica off: none of its requests in flight reaches the store, and it receives no response."""
        self._disconnected = True

    # -- reading

    async def get(self, kind: Kind[T], namespace: str, name: str) -> T:
        def read() -> T:
            return self._decode(kind, self._store.get(_resource(kind), namespace, name))

        return await self._read("get", kind, read)

    async def list(self, kind: Kind[T], *, namespace: str = "", label_selector: str = "") -> ObjectList[T]:
        def read() -> ObjectList[T]:
            snapshot = self._store.list(
                _resource(kind),
                namespace=namespace,
                label_selector=label_selector,
                revision=self._faults.list_revision(),
            )
            return ObjectList([self._decode(kind, item) for item in snapshot.items], snapshot.resource_version)

        return await self._read("list", kind, read)

    async def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        await self._limits.of(kind.group).wait()
        self._recorder.count("api.watch")
        await self._check_faults("watch", kind)
        if self._faults.watch_expired(resource_version):
            raise map_error(self._faults.version_expired())
        try:
            watch = self._store.watch(
                _resource(kind),
                resource_version=resource_version,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=f"metadata.name={name}" if name else "",
                bookmarks=True,
            )
        except ApiError as error:
            raise map_error(error) from None
        self._faults.watch_opened(watch)
        try:
            while changes := await watch.batch():
                await self._transmit(self._draw_latency() / 2 if changes[0].type != "BOOKMARK" else 0.0)
                for change in changes:
                    if delay := self._faults.delay(change):
                        await self._transmit(delay)
                    yield self._event(kind, change)
        except ApiError as error:
            raise map_error(error) from None
        finally:
            self._faults.watch_closed(watch)
            watch.close()

    # -- writing

    async def create(self, kind: Kind[T], obj: T) -> T:
        meta = obj.metadata
        body = kind.desired(obj)
        return await self._write_object(
            "create",
            kind,
            meta.namespace,
            meta.name,
            lambda: self._store.create(_resource(kind), body, namespace=meta.namespace, manager=FIELD_MANAGER),
        )

    async def patch(
        self,
        kind: Kind[T],
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        resource_version: str = "",
        subresource: Subresource = "",
    ) -> T:
        sent = dict(body)
        if resource_version:
            sent["metadata"] = {
                **sent.get("metadata", {}),
                "resourceVersion": resource_version,
            }
        return await self._write_object(
            "patch",
            kind,
            namespace,
            name,
            lambda: self._store.patch(
                _resource(kind), namespace, name, sent, subresource=subresource, manager=FIELD_MANAGER
            ),
            subresource,
        )

    async def delete(
        self,
        kind: Kind[T],
        namespace: str,
        name: str,
        *,
        uid: str = "",
        propagation: Propagation = "Background",
    ) -> None:
        await self._write(
            "delete",
            kind,
            namespace,
            name,
            lambda: self._store.delete(_resource(kind), namespace, name, uid=uid, propagation=propagation),
        )

    # -- one request

    async def _read(self, verb: str, kind: Kind[Any], read: Callable[[], R]) -> R:
        await self._limits.of(kind.group).wait()
        latency = self._draw_latency()
        await self._transmit(latency)
        self._recorder.count(f"api.{verb}")
        if kind is SECRETS and verb == "get" and latency > _SLOW_READ:
            self._recorder.count("api.slow_secrets")
        await self._check_faults(verb, kind)
        try:
            return read()
        except ApiError as error:
            raise map_error(error) from None

    async def _check_faults(self, verb: str, kind: Kind[Any]) -> None:
        """Raise the error that a fault gives to a read or to a new watch."""
        if verb == "watch" and self._faults.watch_unavailable:
            raise map_error(self._faults.connection_lost())
        await self._check_lease_dropped(kind)
        rule = self._faults.matching_rule(verb, kind.plural)
        if rule is not None:
            if rule.code == 429:
                self._recorder.count("api.throttled")
            raise map_error(rule.error(RefusedRequest(verb, kind.plural, kind.group, "", "")))

    async def _check_lease_dropped(self, kind: Kind[Any]) -> None:
        """Wait while responses about Leases are dropped for this replica, then fail."""
        ended = self._faults.lease_dropped(self._context.by) if kind is LEASES else None
        if ended is not None:
            await wait_for_event(ended)
            await self._transmit(0.0)
            raise Unavailable("the connection was reset by peer")

    def _draw_latency(self) -> float:
        """Duration of a request and its response, in seconds."""
        return self._context.latency.draw(self._context.rng) * self._faults.factor

    async def _write_object(
        self,
        verb: Literal["create", "patch"],
        kind: Kind[T],
        namespace: str,
        name: str,
        write: Callable[[], Object],
        subresource: str = "",
    ) -> T:
        """Send a write whose response is the object."""
        stored = await self._write(verb, kind, namespace, name, write, subresource)
        assert stored is not None
        return self._decode(kind, stored)

    async def _write(
        self,
        verb: Literal["create", "patch", "delete"],
        kind: Kind[T],
        namespace: str,
        name: str,
        write: Callable[[], Object | None],
        subresource: str = "",
    ) -> Object | None:
        await self._limits.of(kind.group).wait()
        self._writes += 1
        number = self._writes
        self._context.on_write(number, "before")
        half = self._draw_latency() / 2
        await self._transmit(half)
        await self._check_lease_dropped(kind)
        failure: ApiError | None = None
        stored: Object | None = None
        rule = self._faults.matching_rule(verb, kind.plural)
        version = self._store.resource_version
        try:
            if rule is None or rule.after:
                stored = write()
        except ApiError as error:
            failure = error
        if rule is not None and failure is None:
            failure = rule.error(RefusedRequest(verb, kind.plural, kind.group, namespace, name, subresource))
        unchanged = failure is None and version == self._store.resource_version
        self._record(verb, kind, f"{namespace}/{name}" if namespace else name, subresource, failure, unchanged)
        if kind is LEASES and stored is not None:
            self._record_lease(LEASES.decode(stored))
        self._context.on_write(number, "after")
        await self._transmit(half)
        if failure is not None:
            raise map_error(failure) from None
        return stored

    async def _transmit(self, seconds: float) -> None:
        """Wait while a message is under way; never return if the replica is disconnected."""
        if not self._disconnected:
            await asyncio.sleep(seconds)
        if self._disconnected:
            await asyncio.get_running_loop().create_future()

    def _record(
        self, verb: Any, kind: Kind[Any], key: str, subresource: str, failure: ApiError | None, unchanged: bool
    ) -> None:
        self._recorder.count(f"api.{verb}")
        if failure is not None and failure.code == 409:
            self._recorder.count("api.conflicts")
        if failure is not None and failure.code == 429:
            self._recorder.count("api.throttled")
        line = ApiLine(
            t=self._recorder.now(),
            object=key,
            by=self._context.by,
            verb=verb,
            resource=kind.plural,
            subresource=subresource,
            code=failure.code if failure is not None else (201 if verb == "create" else 200),
            reason=failure.reason if failure is not None else "",
            unchanged=unchanged,
        )
        self._recorder.emit(line)

    def _record_lease(self, lease: Lease) -> None:
        """Record until when the lease is valid: others wait its full duration from when they saw it."""
        now = self._recorder.now()
        until = round(now + lease.spec.lease_duration_seconds, 6)
        self._recorder.emit(LeaseLine(t=now, by=lease.spec.holder_identity, until=until))

    # -- JSON to structs

    def _event(self, kind: Kind[T], change: Change) -> WatchEvent[T]:
        if change.type == "BOOKMARK":
            return WatchEvent("BOOKMARK", kind.bookmark(change.object["metadata"]["resourceVersion"]))
        return WatchEvent(change.type, self._decode(kind, change.object))

    def _decode(self, kind: Kind[T], raw: Object) -> T:
        """Return the struct of an object; each version is decoded once for response and watch event."""
        meta = raw["metadata"]
        slot = (kind.plural, f"{meta.get('namespace', '')}/{meta['name']}")
        kept = self._decoded.get(slot)
        if kept is not None and kept[0] is raw:
            cached: T = kept[1]
            return cached
        decoded = kind.decode(raw)
        self._decoded[slot] = (raw, decoded)
        return decoded


def map_error(error: ApiError) -> ClientError:
    """Return the client's error for the server's, by the same table as the client of a real API server."""
    status = msgspec.convert(error.status, Status)
    return from_status(status, error.code, error.retry_after)


def _resource(kind: Kind[Any]) -> str:
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural
