"""Watches over HTTP: one line of JSON per change, until the client disconnects or the watch times out or expires."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace

from twin.apiserver.codec.body import encode_json
from twin.apiserver.meta.errors import ApiError, Object
from twin.apiserver.rest.conversion import ApiVersionView
from twin.apiserver.rest.http import Request, Stream
from twin.apiserver.rest.list_options import check_watch
from twin.apiserver.rest.middleware import ReadView
from twin.apiserver.rest.objects import FORMS, META_GROUP
from twin.apiserver.rest.printers.table import Now, render
from twin.apiserver.rest.request_info import RequestInfo
from twin.apiserver.storage.store import Store
from twin.apiserver.storage.watch import Change, Watch

_DEFAULT_TIMEOUT = 30 * 60.0
"""Seconds; a real server takes 30 to 60 minutes if the client sets no timeout (`--min-request-timeout`)."""
_CHUNK = 50
"""Maximum number of changes in one chunk."""
_INITIAL_END = {"k8s.io/initial-events-end": "true"}


class BrokenConnection(Exception):
    """A fault resets the connection of a watch."""


class Watches:
    """All open watches."""

    def __init__(self, store: Store, now: Now) -> None:
        self._store = store
        self._now = now
        self._open: set[Watch] = set()
        self._last: tuple[Change, bytes] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """End all watches."""
        for watch in list(self._open):
            watch.close()

    def stream(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Stream:
        """Return the response of a watch.

        Raises:
            ApiError: 400 or 422 if the options are not valid, 406 if the client accepts no available form.
        """
        selector = request.query.get("fieldSelector", "")
        if info.name:  # the old form, /watch/…/NAME
            selector = f"metadata.name={info.name}"
        check_watch(request)
        initial = request.flag("sendInitialEvents")
        watch = self._store.watch(
            api_view.resource,
            resource_version="" if initial else request.query.get("resourceVersion", ""),
            namespace=info.namespace,
            label_selector=request.query.get("labelSelector", ""),
            field_selector=api_view.selector(selector),
            bookmarks=request.flag("allowWatchBookmarks"),
        )
        timeout = float(request.number("timeoutSeconds", 0)) or _DEFAULT_TIMEOUT
        timer = asyncio.get_running_loop().call_later(timeout, watch.close)
        self._open.add(watch)
        read_view = request.read_view
        if read_view is not None:
            read_view.watch_opened(watch)

        def close() -> None:
            timer.cancel()
            if read_view is not None:
                read_view.watch_closed(watch)
            watch.close()
            self._open.discard(watch)

        bookmark = initial and request.flag("allowWatchBookmarks")
        line = self._line_encoder(request, api_view)
        return Stream(self._lines(watch, line, read_view, initial=initial, bookmark=bookmark), close)

    async def _lines(
        self,
        watch: Watch,
        line: Callable[[Change], bytes],
        read_view: ReadView | None,
        *,
        initial: bool,
        bookmark: bool,
    ) -> AsyncIterator[bytes]:
        try:
            if initial:
                async for chunk in _chunks(watch.take(), line, None):
                    yield chunk
                if bookmark:
                    yield line(self._initial_end(watch))
            while changes := await watch.batch():
                async for chunk in _chunks(changes, line, read_view):
                    yield chunk
        except ApiError as error:
            if not error.code:  # a fault that resets the connection
                raise BrokenConnection(error.message) from error
            yield _line("ERROR", error.status)

    def _initial_end(self, watch: Watch) -> Change:
        """Return the bookmark after the initial events."""
        mark = watch.bookmark()
        meta = {**mark.object["metadata"], "annotations": _INITIAL_END}
        return replace(mark, object={**mark.object, "metadata": meta})

    def _line_encoder(self, request: Request, api_view: ApiVersionView) -> Callable[[Change], bytes]:
        """Return the function that encodes a change in the form that the client prefers."""
        form = request.form(META_GROUP, *FORMS)
        if not form:
            if api_view.is_stored_form:
                return self._plain_line
            return lambda change: _line(change.type, api_view.change(change).object)
        included = request.query.get("includeObject", "")
        with_header = True

        def line(change: Change) -> bytes:
            nonlocal with_header
            obj = api_view.change(change).object
            meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            if change.type == "BOOKMARK" and form != "Table":
                return _line(change.type, {"kind": form, "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]})
            rendered = render(form, api_view.kind, [obj], meta, self._now(), included, with_header=with_header)
            with_header = False
            return _line(change.type, rendered)

        return line

    def _plain_line(self, change: Change) -> bytes:
        """Return the line of a change; the last one is cached for other watches of the same resource."""
        if self._last is None or self._last[0] is not change:
            self._last = (change, _line(change.type, change.object))
        return self._last[1]


async def _chunks(
    changes: Iterable[Change], line: Callable[[Change], bytes], read_view: ReadView | None
) -> AsyncIterator[bytes]:
    """Yield lines in chunks of limited size, so that a slow reader occupies little memory."""
    lines: list[bytes] = []
    for change in changes:
        if read_view is not None and (delay := read_view.delay(change)):
            yield b"".join(lines)
            lines.clear()
            await asyncio.sleep(delay)
        lines.append(line(change))
        if len(lines) == _CHUNK:
            yield b"".join(lines)
            lines.clear()
    yield b"".join(lines)


def _line(type_: str, obj: Object) -> bytes:
    return encode_json({"type": type_, "object": obj}) + b"\n"
