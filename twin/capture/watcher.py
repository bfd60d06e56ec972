"""Watch a cluster for a while and keep every change with its time.

Times are seconds since the start of the capture, by this machine's clock, since timestamps on objects have a resolution
of a second. A watch that the server ends continues where it was. One whose version is too old starts with a list again;
changes in between are then observed late, which a note says.
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

_RESTART_DELAY = 1.0
"""Seconds before a failed watch is restarted."""


@dataclass(frozen=True, slots=True)
class Change:
    """An object was added, modified or deleted."""

    t: float
    kind: str
    type: str
    """ADDED, MODIFIED or DELETED."""
    object: Object


@dataclass(slots=True)
class Observation:
    """Objects and changes of one capture."""

    first: dict[str, list[Object]] = field(default_factory=dict)
    """Initial objects, by kind."""
    changes: list[Change] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


async def watch(
    reader: ClusterReader,
    namespaces: Sequence[str],
    seconds: float,
    on_start: Callable[[Observation], None] = lambda _: None,
) -> Observation:
    """Watch for `seconds`, or until cancelled; `on_start` is called after the initial lists.

    Raises:
        CaptureError: if a required resource cannot be read.
    """
    observation = Observation()
    targets = [(resource, space) for resource in RESOURCES for space in _spaces(resource, namespaces)]
    versions = [await _initial_list(reader, resource, space, observation) for resource, space in targets]
    if not observation.first.get(ADAPTERS.kind) and not namespaces:
        observation.notes.append("no ModelAdapter existed at the start of the capture")
    on_start(observation)
    loop = asyncio.get_running_loop()
    start = loop.time()
    followers = [
        asyncio.create_task(_follow(reader, resource, space, version, observation, lambda: loop.time() - start))
        for (resource, space), version in zip(targets, versions, strict=True)
        if version is not None
    ]
    try:
        done, _ = await asyncio.wait(followers, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    except asyncio.CancelledError:
        observation.notes.append("the capture was interrupted")
    finally:
        observation.seconds = loop.time() - start
        for task in followers:
            task.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
    observation.changes.sort(key=lambda change: change.t)
    return observation


def _spaces(resource: Resource, namespaces: Sequence[str]) -> Sequence[str]:
    return namespaces if namespaces and resource.namespaced else ("",)


async def _initial_list(
    reader: ClusterReader, resource: Resource, namespace: str, observation: Observation
) -> str | None:
    """Add the existing objects to `observation`; return the version to watch from, None if reading is forbidden."""
    try:
        items, version = await reader.list(resource, namespace)
    except (Forbidden, NotFound) as error:
        if resource is ADAPTERS and isinstance(error, NotFound):
            raise CaptureError(
                f"{reader.server}: ModelAdapter is not defined; install its CustomResourceDefinition"
            ) from None
        if resource.required:
            raise CaptureError(f"{reader.server}: {resource.plural} cannot be read: {error_line(error)}") from None
        observation.notes.append(f"{resource.plural} could not be read, so defaults are used: {error_line(error)}")
        return None
    except ClientError as error:
        raise CaptureError(f"{reader.server}: {resource.plural}: {error_line(error)}") from None
    observation.first.setdefault(resource.kind, []).extend(items)
    return version


async def _follow(
    reader: ClusterReader,
    resource: Resource,
    namespace: str,
    version: str,
    observation: Observation,
    now: Callable[[], float],
) -> None:
    current = {
        _name(item): item
        for item in observation.first.get(resource.kind, ())
        if not namespace or item["metadata"].get("namespace") == namespace
    }
    while True:
        try:
            async for type_, item in reader.watch(resource, namespace, version):
                version = str(item["metadata"].get("resourceVersion", version))
                if type_ != "BOOKMARK":
                    observation.changes.append(Change(now(), resource.kind, type_, item))
                    current[_name(item)] = item
                    if type_ == "DELETED":
                        del current[_name(item)]
        except ClientError as error:
            if is_expired(error):
                version = await _catch_up(reader, resource, namespace, current, observation, now) or version
        await asyncio.sleep(_RESTART_DELAY)


async def _catch_up(
    reader: ClusterReader,
    resource: Resource,
    namespace: str,
    current: dict[str, Object],
    observation: Observation,
    now: Callable[[], float],
) -> str:
    """List after an expired watch and record the differences as changes; return the version to continue from."""
    with contextlib.suppress(ClientError):
        items, version = await reader.list(resource, namespace)
        fresh = {_name(item): item for item in items}
        for name, item in fresh.items():
            before = current.get(name)
            if before is None or before["metadata"].get("resourceVersion") != item["metadata"].get("resourceVersion"):
                observation.changes.append(
                    Change(now(), resource.kind, "ADDED" if before is None else "MODIFIED", item)
                )
        for name in current.keys() - fresh.keys():
            observation.changes.append(Change(now(), resource.kind, "DELETED", current[name]))
        current.clear()
        current.update(fresh)
        observation.notes.append(
            f"the watch of {resource.plural} expired at {now():.0f} s; changes around that time were observed late"
        )
        return version
    return ""


def _name(item: Object) -> str:
    meta = item["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"
