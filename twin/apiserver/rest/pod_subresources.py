"""What is asked of the containers of a pod: their logs, and a command in one of them; and a pod's eviction.

The store holds no processes. Who runs them says what they have written and what a command answers (`Containers`).
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from twin.apiserver.meta.errors import ApiError, Object, bad_request, conflict
from twin.apiserver.rest.http import Answer, Request, Response, Stream, encode_json
from twin.apiserver.rest.list_options import dry_run
from twin.apiserver.rest.objects import succeeded
from twin.apiserver.rest.printers.table import Now
from twin.apiserver.rest.request_info import RequestInfo
from twin.apiserver.storage.store import Store

_KEPT = 5000  # lines of one container's log
_CHANNELS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDOUT, _STDERR, _RESULT = b"\x01", b"\x02", b"\x03"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a container has written."""

    number: int
    moment: datetime
    text: str


class ContainerLog:
    """What one container has written; whoever follows it is woken by the next line."""

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque(maxlen=_KEPT)
        self._count = 0
        self._ended = False
        self._waiting: list[asyncio.Future[None]] = []

    def write(self, moment: datetime, text: str) -> None:
        """A line comes in."""
        self._lines.append(LogLine(self._count, moment, text))
        self._count += 1
        self._wake()

    def end(self) -> None:
        """The container is gone: nothing follows."""
        self._ended = True
        self._wake()

    def lines(self) -> list[LogLine]:
        """All that is kept."""
        return list(self._lines)

    async def after(self, number: int) -> list[LogLine]:
        """Lines after the one of that number, at least one; empty: there will be no more."""
        while True:
            found = [line for line in self._lines if line.number > number] if self._count > number + 1 else []
            if found or self._ended:
                return found
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What came of a command in a container."""

    stdout: bytes = b""
    stderr: bytes = b""
    code: int = 0
    failure: str = ""
    """Why it could not be started at all; empty if it was."""


class Containers(Protocol):
    """Who runs the containers."""

    def log(self, namespace: str, pod: str, container: str) -> ContainerLog | None:
        """What a container has written; None if it has not been started yet."""
        ...

    async def execute(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> ExecResult:
        """Run a command beside the container's process."""
        ...


class PodSubresources:
    """The subresources of pods that are no part of the object."""

    def __init__(self, store: Store, containers: Containers, now: Now) -> None:
        self._store = store
        self._containers = containers
        self._now = now

    def answer(self, verb: str, request: Request, info: RequestInfo) -> Answer:
        """The answer to `pods/NAME/…`.

        Raises:
            ApiError: 404, 405 or 400, as a real server's.
        """
        match info.subresource, verb:
            case "log", "get":
                return self._log(request, info)
            case "eviction", "create":
                return self._evict(request, info)
            case "binding", "create":
                return self._bind(request, info)
            case "exec", _:
                raise bad_request("Upgrade request required: exec is spoken over a WebSocket")
        raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

    def _bind(self, request: Request, info: RequestInfo) -> Response:
        """As a scheduler does it, once for each pod."""
        bound = self._store.get("pods", info.namespace, info.name)["spec"].get("nodeName")
        if bound:
            cause = f'pod {info.name} is already assigned to node "{bound}"'
            raise conflict("pods/binding", "", info.name, cause)
        body = {"spec": {"nodeName": str((request.object().get("target") or {}).get("name", ""))}}
        self._store.patch("pods", info.namespace, info.name, body, dry_run=dry_run(request))
        return Response.of(succeeded({}), 201)

    def _evict(self, request: Request, info: RequestInfo) -> Response:
        options = request.object().get("deleteOptions") or {}
        conditions = options.get("preconditions") or {}
        self._store.delete(
            "pods",
            info.namespace,
            info.name,
            uid=conditions.get("uid") or "",
            resource_version=conditions.get("resourceVersion") or "",
            grace_period=options.get("gracePeriodSeconds"),
            dry_run=dry_run(request, options),
        )
        return Response.of(succeeded({}), 201)

    def _log(self, request: Request, info: RequestInfo) -> Answer:
        container = self._container(info.namespace, info.name, request.query.get("container", ""))
        if request.flag("previous"):
            raise bad_request(f'previous terminated container "{container}" in pod "{info.name}" not found')
        log = self._containers.log(info.namespace, info.name, container)
        if log is None:
            raise bad_request(f'container "{container}" in pod "{info.name}" is waiting to start: ContainerCreating')
        lines = self._asked_for(request, log.lines())
        stamped = request.flag("timestamps")
        text = b"".join(_written(line, stamped) for line in lines)
        if not request.flag("follow"):
            limit = request.number("limitBytes", len(text))
            return Response(text[:limit], content_type="text/plain")
        last = log.lines()[-1].number if log.lines() else -1
        return _followed(log, text, last, stamped)

    def _asked_for(self, request: Request, lines: list[LogLine]) -> list[LogLine]:
        """The lines that `sinceSeconds`, `sinceTime` and `tailLines` leave."""
        since: datetime | None = None
        if seconds := request.number("sinceSeconds", 0):
            since = self._now() - timedelta(seconds=seconds)
        elif moment := request.query.get("sinceTime"):
            try:
                since = datetime.fromisoformat(moment)
            except ValueError as error:
                raise bad_request(f"sinceTime: {moment!r} is no RFC 3339 time") from error
        found = lines if since is None else [line for line in lines if line.moment >= since]
        tail = request.number("tailLines", -1)
        return found if tail < 0 else found[max(0, len(found) - tail) :]

    def _container(self, namespace: str, name: str, asked: str) -> str:
        """The container that is meant; the only one if none is named."""
        pod = self._store.get("pods", namespace, name)
        names = [each["name"] for each in pod["spec"]["containers"]]
        if not asked and len(names) > 1:
            said = " ".join(names)
            raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{said}]")
        if asked and asked not in names:
            raise bad_request(f"container {asked} is not valid for pod {name}")
        return asked or names[0]

    # -- a command, over a WebSocket

    async def execute(self, scope: Scope, receive: Receive, send: Send, info: RequestInfo) -> None:
        """Run the command that the query names; output and result go over the channels of `kubectl exec`."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        offered = scope.get("subprotocols") or []
        protocol = next((each for each in _CHANNELS if each in offered), None)
        try:
            container = self._container(info.namespace, info.name, query.get("container", [""])[0])
            done = await self._containers.execute(info.namespace, info.name, container, query.get("command", []))
        except ApiError as error:
            done = ExecResult(failure=error.message)
        await receive()  # websocket.connect
        await send({"type": "websocket.accept", "subprotocol": protocol})
        for channel, data in ((_STDOUT, done.stdout), (_STDERR, done.stderr), (_RESULT, encode_json(_result(done)))):
            if data:
                await send({"type": "websocket.send", "bytes": channel + data})
        await send({"type": "websocket.close", "code": 1000})
        with contextlib.suppress(RuntimeError):  # it may have hung up by itself
            await receive()


def _result(done: ExecResult) -> Object:
    """How it ended, as `remotecommand` reads it."""
    body: Object = {"metadata": {}, "status": "Success"}
    if done.failure:
        return {**body, "status": "Failure", "reason": "InternalError", "message": done.failure, "code": 500}
    if done.code:
        causes = [{"reason": "ExitCode", "message": str(done.code)}]
        said = f"command terminated with non-zero exit code: exit status {done.code}"
        return {
            **body,
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "message": said,
            "details": {"causes": causes},
        }
    return body


def _written(line: LogLine, stamped: bool) -> bytes:
    stamp = line.moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ ") if stamped else ""
    return f"{stamp}{line.text}\n".encode()


def _followed(log: ContainerLog, text: bytes, last: int, stamped: bool) -> Stream:
    closed = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal last
        if text:
            yield text
        gone = asyncio.ensure_future(closed.wait())
        try:
            while not closed.is_set():
                more = asyncio.ensure_future(log.after(last))
                await asyncio.wait({more, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not more.done():
                    more.cancel()
                    return
                if not (lines := more.result()):
                    return
                last = lines[-1].number
                yield b"".join(_written(line, stamped) for line in lines)
        finally:
            gone.cancel()

    return Stream(chunks(), closed.set, "text/plain")
