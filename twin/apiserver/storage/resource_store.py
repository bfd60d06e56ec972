"""The objects of one resource as they are now, and lists of them: selected, sorted, in pages.

A page after the first shows the state that the first one showed: the changes since then are taken back, as far
as the log still has them.
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
    """Objects by namespace and name, the resourceVersion to watch from, and a token if there are more."""

    items: list[Object]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None
    """How many are left, where that can be told."""


class ResourceStore:
    """The objects of one resource."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Object]] = {}
        self._sorted: dict[str, list[str]] = {}
        self.log = WatchCache()

    def __len__(self) -> int:
        return sum(map(len, self._objects.values()))

    def get(self, namespace: str, name: str) -> Object | None:
        """The object, if there is one."""
        found = self._objects.get(namespace)
        return found.get(name) if found else None

    def put(self, change: Change, revision: int) -> None:
        """Take over a committed change."""
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
        self.log.append(change, revision)

    def objects(self, namespace: str = "") -> Iterator[Object]:
        """All objects, or those of one namespace, by namespace and name."""
        for each in [namespace] if namespace else sorted(self._objects):
            found = self._objects.get(each)
            if not found:
                continue
            order = self._sorted.get(each)
            if order is None:
                order = self._sorted[each] = sorted(found)
            yield from (found[name] for name in order)

    def page(
        self, revision: int, *, namespace: str, wanted: Predicate | None, limit: int, continue_token: str
    ) -> ListResult:
        """The objects that are `wanted`, `limit` of them (0: all) from where `continue_token` says."""
        if not limit and not continue_token:
            found = self.objects(namespace)
            items = list(found) if wanted is None else [obj for obj in found if wanted(obj)]
            return ListResult(items, str(revision))
        start: Key | None = None
        if continue_token:
            revision, start = _read_token(continue_token)
        items = [
            obj
            for key, obj in self._at(revision, namespace)
            if (start is None or key > start) and (wanted is None or wanted(obj))
        ]
        if not limit or len(items) <= limit:
            return ListResult(items, str(revision))
        page = items[:limit]
        return ListResult(page, str(revision), _token(revision, _key(page[-1])), len(items) - limit)

    def at(self, revision: int, *, namespace: str, wanted: Predicate | None) -> ListResult:
        """The objects that were `wanted` at an earlier revision."""
        items = [obj for _, obj in self._at(revision, namespace) if wanted is None or wanted(obj)]
        return ListResult(items, str(revision))

    def _at(self, revision: int, namespace: str) -> list[tuple[Key, Object]]:
        """The objects as they were at `revision`, by key."""
        since = self.log.since(revision)
        if since is None:
            raise expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new "
                "list without the continue parameter."
            )
        state = {_key(obj): obj for obj in self.objects(namespace)}
        for change in reversed(since):
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
        return int(body["rv"]), (namespace, name)
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request(f"continue key is not valid: {token!r} did not come from a list of this server") from error
