"""Watches over HTTP: one line of JSON a change, until the client goes, time is up, or history is gone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace

from twin.apiserver.meta.errors import ApiError, Object
from twin.apiserver.rest.conversion import ApiVersionView
from twin.apiserver.rest.http import Request, Stream, encode_json
from twin.apiserver.rest.list_options import check_watch
from twin.apiserver.rest.middleware import ReadView
from twin.apiserver.rest.objects import FORMS, META_GROUP
from twin.apiserver.rest.printers.table import Now, render
from twin.apiserver.rest.request_info import RequestInfo
from twin.apiserver.storage.store import Store
from twin.apiserver.storage.watch import Change, Watch

_DEFAULT_TIMEOUT = 30 * 60.0
"""Seconds; a real server takes 30 to 60 minutes where the client names no time (`--min-request-timeout`)."""
_AT_ONCE = 50
"""Changes that are sent in one piece."""
_INITIAL_END = {"k8s.io/initial-events-end": "true"}


class Watches:
    """All watches that are open."""

    def __init__(self, store: Store, now: Now) -> None:
        self._store = store
        self._now = now
        self._open: set[Watch] = set()
        self._last: tuple[Change, bytes] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """Ends them all: the server goes."""
        for watch in list(self._open):
            watch.close()

    def stream(self, request: Request, api_view: ApiVersionView, info: RequestInfo) -> Stream:
        """The answer to a watch.

        Raises:
            ApiError: 400, it cannot be understood; 406, in no form that the server has.
        """
        selector = request.query.get("fieldSelector", "")
        if info.name:  # the old form, /watch/…/NAME
            selector = f"metadata.name={info.name}"
        check_watch(request)
        whole = request.flag("sendInitialEvents")
        watch = self._store.watch(
            api_view.resource,
            resource_version="" if whole else request.query.get("resourceVersion", ""),
            namespace=info.namespace,
            label_selector=request.query.get("labelSelector", ""),
            field_selector=api_view.selector(selector),
            bookmarks=request.flag("allowWatchBookmarks"),
        )
        timeout = float(request.number("timeoutSeconds", 0)) or _DEFAULT_TIMEOUT
        timer = asyncio.get_running_loop().call_later(timeout, watch.close)
        self._open.add(watch)
        if request.read_view is not None:
            request.read_view.watch_opened(watch)

        def close() -> None:
            timer.cancel()
            if request.read_view is not None:
                request.read_view.watch_closed(watch)
            watch.close()
            self._open.discard(watch)

        marked = whole and request.flag("allowWatchBookmarks")
        return Stream(
            self._lines(watch, self._writer(request, api_view), request.read_view, whole=whole, marked=marked), close
        )

    async def _lines(
        self, watch: Watch, line: Callable[[Change], bytes], read_view: ReadView | None, *, whole: bool, marked: bool
    ) -> AsyncIterator[bytes]:
        try:
            if whole:
                async for piece in _pieces(watch.take(), line, None):
                    yield piece
                if marked:
                    yield line(self._initial_end(watch))
            while changes := await watch.batch():
                async for piece in _pieces(changes, line, read_view):
                    yield piece
        except ApiError as error:
            if not error.code:  # the connection itself breaks
                raise ConnectionResetError(error.message) from error
            yield _line("ERROR", error.status)

    def _initial_end(self, watch: Watch) -> Change:
        """The bookmark that says: this was all that there is."""
        mark = watch.bookmark()
        meta = {**mark.object["metadata"], "annotations": _INITIAL_END}
        return replace(mark, object={**mark.object, "metadata": meta})

    def _writer(self, request: Request, api_view: ApiVersionView) -> Callable[[Change], bytes]:
        """How a change becomes a line, in the form that the client wants."""
        form = request.form(META_GROUP, *FORMS)
        if not form:
            return self._plain if api_view.plain else lambda change: _line(change.type, api_view.change(change).object)
        included = request.query.get("includeObject", "")
        headed = False

        def shown(change: Change) -> bytes:
            nonlocal headed
            obj = api_view.change(change).object
            meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            if change.type == "BOOKMARK" and form != "Table":
                return _line(change.type, {"kind": form, "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]})
            rendered = render(form, api_view.kind, [obj], meta, self._now(), included, headed=not headed)
            headed = True
            return _line(change.type, rendered)

        return shown

    def _plain(self, change: Change) -> bytes:
        """The line of a change; many watch the same, so the last one is kept."""
        if self._last is None or self._last[0] is not change:
            self._last = (change, _line(change.type, change.object))
        return self._last[1]


async def _pieces(
    changes: Iterable[Change], line: Callable[[Change], bytes], read_view: ReadView | None
) -> AsyncIterator[bytes]:
    """Lines, some at once; a client that reads slowly has few of them in memory here."""
    ready: list[bytes] = []
    for change in changes:
        if read_view is not None and (held := read_view.delay(change)):
            yield b"".join(ready)
            ready.clear()
            await asyncio.sleep(held)
        ready.append(line(change))
        if len(ready) == _AT_ONCE:
            yield b"".join(ready)
            ready.clear()
    yield b"".join(ready)


def _line(type_: str, obj: Object) -> bytes:
    return encode_json({"type": type_, "object": obj}) + b"\n"
