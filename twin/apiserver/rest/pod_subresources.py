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

from formats.timestamps import format_micro_time, parse_timestamp
from twin.apiserver.errors import ApiError, Object, bad_request, conflict
from twin.apiserver.rest.http import Answer, Call, Reply, Stream, encoded
from twin.apiserver.rest.list_options import dry_run
from twin.apiserver.rest.objects import succeeded
from twin.apiserver.rest.printers.table import Now
from twin.apiserver.rest.request_info import Target
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


class Log:
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
class Executed:
    """What came of a command in a container."""

    stdout: bytes = b""
    stderr: bytes = b""
    code: int = 0
    failure: str = ""
    """Why it could not be started at all; empty if it was."""


class Containers(Protocol):
    """Who runs the containers."""

    def log(self, namespace: str, pod: str, container: str) -> Log | None:
        """What a container has written; None if it has not been started yet."""
        ...

    async def execute(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> Executed:
        """Run a command beside the container's process."""
        ...


class Pods:
    """The subresources of pods that are no part of the object."""

    def __init__(self, store: Store, containers: Containers, now: Now) -> None:
        self._store = store
        self._containers = containers
        self._now = now

    def answer(self, verb: str, call: Call, target: Target) -> Answer:
        """The answer to `pods/NAME/…`.

        Raises:
            ApiError: 404, 405 or 400, as a real server's.
        """
        match target.subresource, verb:
            case "log", "get":
                return self._log(call, target)
            case "eviction", "create":
                return self._evict(call, target)
            case "binding", "create":
                return self._bind(call, target)
            case "exec", _:
                raise bad_request("Upgrade request required: exec is spoken over a WebSocket")
        raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

    def _bind(self, call: Call, target: Target) -> Reply:
        """As a scheduler does it, once for each pod."""
        bound = self._store.get("pods", target.namespace, target.name)["spec"].get("nodeName")
        if bound:
            cause = f'pod {target.name} is already assigned to node "{bound}"'
            raise conflict("pods/binding", "", target.name, cause)
        body = {"spec": {"nodeName": str((call.object().get("target") or {}).get("name", ""))}}
        self._store.patch("pods", target.namespace, target.name, body, dry_run=dry_run(call))
        return Reply.of(succeeded({}), 201)

    def _evict(self, call: Call, target: Target) -> Reply:
        options = call.object().get("deleteOptions") or {}
        conditions = options.get("preconditions") or {}
        self._store.delete(
            "pods",
            target.namespace,
            target.name,
            uid=conditions.get("uid") or "",
            resource_version=conditions.get("resourceVersion") or "",
            grace_period=options.get("gracePeriodSeconds"),
            dry_run=dry_run(call, options),
        )
        return Reply.of(succeeded({}), 201)

    def _log(self, call: Call, target: Target) -> Answer:
        container = self._container(target.namespace, target.name, call.query.get("container", ""))
        if call.flag("previous"):
            raise bad_request(f'previous terminated container "{container}" in pod "{target.name}" not found')
        log = self._containers.log(target.namespace, target.name, container)
        if log is None:
            raise bad_request(f'container "{container}" in pod "{target.name}" is waiting to start: ContainerCreating')
        lines = self._asked_for(call, log.lines())
        stamped = call.flag("timestamps")
        text = b"".join(_written(line, stamped) for line in lines)
        if not call.flag("follow"):
            limit = call.number("limitBytes", len(text))
            return Reply(text[:limit], content_type="text/plain")
        last = log.lines()[-1].number if log.lines() else -1
        return _followed(log, text, last, stamped)

    def _asked_for(self, call: Call, lines: list[LogLine]) -> list[LogLine]:
        """The lines that `sinceSeconds`, `sinceTime` and `tailLines` leave."""
        since: datetime | None = None
        if seconds := call.number("sinceSeconds", 0):
            since = self._now() - timedelta(seconds=seconds)
        elif moment := call.query.get("sinceTime"):
            try:
                since = parse_timestamp(moment)
            except ValueError as error:
                raise bad_request(f"sinceTime: {moment!r} is no RFC 3339 time") from error
        found = lines if since is None else [line for line in lines if line.moment >= since]
        tail = call.number("tailLines", -1)
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

    async def execute(self, scope: Scope, receive: Receive, send: Send, target: Target) -> None:
        """Run the command that the query names; output and result go over the channels of `kubectl exec`."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        offered = scope.get("subprotocols") or []
        protocol = next((each for each in _CHANNELS if each in offered), None)
        try:
            container = self._container(target.namespace, target.name, query.get("container", [""])[0])
            done = await self._containers.execute(target.namespace, target.name, container, query.get("command", []))
        except ApiError as error:
            done = Executed(failure=error.message)
        await receive()  # websocket.connect
        await send({"type": "websocket.accept", "subprotocol": protocol})
        for channel, data in ((_STDOUT, done.stdout), (_STDERR, done.stderr), (_RESULT, encoded(_result(done)))):
            if data:
                await send({"type": "websocket.send", "bytes": channel + data})
        await send({"type": "websocket.close", "code": 1000})
        with contextlib.suppress(RuntimeError):  # it may have hung up by itself
            await receive()


def _result(done: Executed) -> Object:
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
    stamp = f"{format_micro_time(line.moment)} " if stamped else ""
    return f"{stamp}{line.text}\n".encode()


def _followed(log: Log, text: bytes, last: int, stamped: bool) -> Stream:
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
