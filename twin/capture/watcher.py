"""Looks for a while, and keeps every change with the time at which it was seen.

Times are seconds since the look began, by the machine's own clock: what stands on objects has whole seconds. A watch
that the server ends goes on where it was; one that is too old begins with a new list, and what changed in between is
seen late, which the capture says.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from controller.client.interface import ClientError, Forbidden, NotFound
from twin.capture.client import (
    ADAPTERS,
    RESOURCES,
    CaptureError,
    ClusterReader,
    Object,
    Resource,
    error_line,
    is_expired,
)

_PAUSE = 1.0
"""Seconds before a watch that broke is begun anew."""


@dataclass(frozen=True, slots=True)
class Change:
    """An object came, changed or went."""

    t: float
    kind: str
    type: str
    """ADDED, MODIFIED or DELETED."""
    object: Object


@dataclass(slots=True)
class Observation:
    """What a look has seen."""

    first: dict[str, list[Object]] = field(default_factory=dict)
    """By kind: what stood there when it began."""
    changes: list[Change] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


async def watch(
    reader: ClusterReader,
    namespaces: Sequence[str],
    seconds: float,
    began: Callable[[Observation], None] = lambda _: None,
) -> Observation:
    """Looks for so many seconds, or until cancelled; `began` is told when the first lists are in.

    Raises:
        CaptureError: something without which there is no capture cannot be read.
    """
    seen = Observation()
    places = [(resource, space) for resource in RESOURCES for space in _spaces(resource, namespaces)]
    versions = [await _listed(reader, resource, space, seen) for resource, space in places]
    if not seen.first.get(ADAPTERS.kind) and not namespaces:
        seen.notes.append("there was no ModelAdapter when the capture began")
    began(seen)
    loop = asyncio.get_running_loop()
    start = loop.time()
    followers = [
        asyncio.create_task(_follow(reader, resource, space, version, seen, lambda: loop.time() - start))
        for (resource, space), version in zip(places, versions, strict=True)
        if version is not None
    ]
    try:
        done, _ = await asyncio.wait(followers, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    except asyncio.CancelledError:
        seen.notes.append("the capture was ended early")
    finally:
        seen.seconds = loop.time() - start
        for task in followers:
            task.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
    seen.changes.sort(key=lambda change: change.t)
    return seen


def _spaces(resource: Resource, namespaces: Sequence[str]) -> Sequence[str]:
    return namespaces if namespaces and resource.namespaced else ("",)


async def _listed(reader: ClusterReader, resource: Resource, namespace: str, seen: Observation) -> str | None:
    """Puts what is there into `seen`; returns the version to watch from, None if it may not be read."""
    try:
        items, version = await reader.list(resource, namespace)
    except (Forbidden, NotFound) as error:
        if resource is ADAPTERS and isinstance(error, NotFound):
            raise CaptureError(f"{reader.server}: it has no ModelAdapters: their definition is not there") from None
        if resource.needed:
            raise CaptureError(f"{reader.server}: {resource.plural} may not be read: {error_line(error)}") from None
        seen.notes.append(f"{resource.plural} could not be read, so defaults stand for them: {error_line(error)}")
        return None
    except ClientError as error:
        raise CaptureError(f"{reader.server}: {resource.plural}: {error_line(error)}") from None
    seen.first.setdefault(resource.kind, []).extend(items)
    return version


async def _follow(
    reader: ClusterReader, resource: Resource, namespace: str, version: str, seen: Observation, now: Callable[[], float]
) -> None:
    known = {
        _name(item): item
        for item in seen.first.get(resource.kind, ())
        if not namespace or item["metadata"].get("namespace") == namespace
    }
    while True:
        try:
            async for type_, item in reader.watch(resource, namespace, version):
                version = str(item["metadata"].get("resourceVersion", version))
                if type_ != "BOOKMARK":
                    seen.changes.append(Change(now(), resource.kind, type_, item))
                    known[_name(item)] = item
                    if type_ == "DELETED":
                        del known[_name(item)]
        except ClientError as error:
            if is_expired(error):
                version = await _caught_up(reader, resource, namespace, known, seen, now) or version
        await asyncio.sleep(_PAUSE)


async def _caught_up(
    reader: ClusterReader,
    resource: Resource,
    namespace: str,
    known: dict[str, Object],
    seen: Observation,
    now: Callable[[], float],
) -> str:
    """Lists anew after a watch that was too old, and makes changes of what is different; the version to go on from."""
    with contextlib.suppress(ClientError):
        items, version = await reader.list(resource, namespace)
        fresh = {_name(item): item for item in items}
        for name, item in fresh.items():
            before = known.get(name)
            if before is None or before["metadata"].get("resourceVersion") != item["metadata"].get("resourceVersion"):
                seen.changes.append(Change(now(), resource.kind, "ADDED" if before is None else "MODIFIED", item))
        for name in known.keys() - fresh.keys():
            seen.changes.append(Change(now(), resource.kind, "DELETED", known[name]))
        known.clear()
        known.update(fresh)
        seen.notes.append(f"the watch of {resource.plural} fell behind at {now():.0f} s; changes around then came late")
        return version
    return ""


def _name(item: Object) -> str:
    meta = item["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"
