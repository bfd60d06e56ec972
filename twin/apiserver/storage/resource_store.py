"""The current objects of one resource, and lists of them: selected, sorted, in pages.

Later pages of a list show the state of the first page: changes since then are reverted, as long as the watch cache
still has them.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass

from twin.apiserver.meta.errors import Object, bad_request, expired
from twin.apiserver.meta.selectors import Predicate
from twin.apiserver.storage.watch import Change, WatchCache

Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class ListResult:
    """Result of a list.

    Attributes:
        items: objects, sorted by namespace and name.
        resource_version: version from which a watch continues this list.
        continue_token: token of the next page; empty on the last one.
        remaining: number of objects on later pages, if known.
    """

    items: list[Object]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None


class ResourceStore:
    """The objects of one resource."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Object]] = {}
        self._sorted: dict[str, list[str]] = {}
        self.changes = WatchCache()

    def __len__(self) -> int:
        return sum(map(len, self._objects.values()))

    def has_any(self, namespace: str = "") -> bool:
        """Return True if there is an object in a namespace (empty = any)."""
        return bool(self._objects.get(namespace)) if namespace else any(self._objects.values())

    def get(self, namespace: str, name: str) -> Object | None:
        """Return the object, or None if it does not exist."""
        objects = self._objects.get(namespace)
        return objects.get(name) if objects else None

    def put(self, change: Change, revision: int) -> None:
        """Apply a committed change."""
        meta = change.object["metadata"]
        namespace, name = meta.get("namespace", ""), meta["name"]
        if change.type == "MODIFIED":
            self._objects[namespace][name] = change.object
        elif change.type == "ADDED":
            self._objects.setdefault(namespace, {})[name] = change.object
            self._sorted.pop(namespace, None)
        else:
            del self._objects[namespace][name]
            self._sorted.pop(namespace, None)
        self.changes.append(change, revision)

    def renumber(self, revision: int) -> int:
        """Give all objects the versions after `revision`; return the last one."""
        for obj in list(self.objects()):
            revision += 1
            namespace, name = _key(obj)
            meta = {**obj["metadata"], "resourceVersion": str(revision)}
            self._objects[namespace][name] = {**obj, "metadata": meta}
        return revision

    def objects(self, namespace: str = "") -> Iterator[Object]:
        """Yield the objects of one namespace (empty = all), sorted by namespace and name."""
        for current in [namespace] if namespace else sorted(self._objects):
            objects = self._objects.get(current)
            if not objects:
                continue
            order = self._sorted.get(current)
            if order is None:
                order = self._sorted[current] = sorted(objects)
            yield from (objects[name] for name in order)

    def page(
        self, revision: int, *, namespace: str, matches: Predicate | None, limit: int, continue_token: str
    ) -> ListResult:
        """Return at most `limit` matching objects (0 = all), starting at `continue_token`."""
        if limit <= 0 and not continue_token:
            objects = self.objects(namespace)
            items = list(objects) if matches is None else [obj for obj in objects if matches(obj)]
            return ListResult(items, str(revision))
        start: Key | None = None
        if continue_token:
            revision, start = _read_token(continue_token)
        items = [
            obj
            for key, obj in self._at(revision, namespace)
            if (start is None or key > start) and (matches is None or matches(obj))
        ]
        if limit <= 0 or len(items) <= limit:
            return ListResult(items, str(revision))
        page = items[:limit]
        return ListResult(page, str(revision), _token(revision, _key(page[-1])), len(items) - limit)

    def list_at(self, revision: int, *, namespace: str, matches: Predicate | None) -> ListResult:
        """Return the matching objects as of an earlier revision."""
        items = [obj for _, obj in self._at(revision, namespace) if matches is None or matches(obj)]
        return ListResult(items, str(revision))

    def _at(self, revision: int, namespace: str) -> list[tuple[Key, Object]]:
        """Return the objects as of `revision`, sorted by key."""
        changes = self.changes.since(revision)
        if changes is None:
            raise expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new "
                "list without the continue parameter."
            )
        state = {_key(obj): obj for obj in self.objects(namespace)}
        for change in reversed(changes):
            key = _key(change.object)
            if namespace and key[0] != namespace:
                continue
            if change.old is None:
                del state[key]
            else:
                state[key] = change.old
        return sorted(state.items(), key=lambda entry: entry[0])


def _key(obj: Object) -> Key:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


def _token(revision: int, last: Key) -> str:
    body = json.dumps({"v": "twin", "rv": revision, "start": last}, separators=(",", ":"))
    return base64.urlsafe_b64encode(body.encode()).decode()


def _read_token(token: str) -> tuple[int, Key]:
    try:
        body = json.loads(base64.urlsafe_b64decode(token))
        namespace, name = body["start"]
        revision = int(body["rv"])
        if not isinstance(namespace, str) or not isinstance(name, str) or revision < 0:
            raise TypeError
        return revision, (namespace, name)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise bad_request(f"continue key is not valid: {token!r} did not come from a list of this server") from error
