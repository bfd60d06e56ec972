"""Subresources of pods: logs, exec, eviction and binding.

The store runs no processes. `Containers` provides the logs and runs the commands.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from formats.timestamps import format_micro_time, format_time, parse_timestamp
from twin.apiserver.codec.body import encode_json
from twin.apiserver.meta.errors import ApiError, Object, bad_request, conflict
from twin.apiserver.registry.binding import bound
from twin.apiserver.rest.http import Request, Stream, bytes_response, json_response
from twin.apiserver.rest.list_options import is_dry_run
from twin.apiserver.rest.objects import success_status
from twin.apiserver.rest.printers.table import Now
from twin.apiserver.rest.request_info import RequestInfo
from twin.apiserver.storage.eviction import EvictionOptions, evict_pod
from twin.apiserver.storage.store import Store

_KEPT_LINES = 5000  # of one container's log
_CHANNELS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDOUT, _STDERR, _RESULT = b"\x01", b"\x02", b"\x03"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a container's log."""

    number: int
    timestamp: datetime
    text: str


class ContainerLog:
    """The log of one container; a new line wakes its followers."""

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque(maxlen=_KEPT_LINES)
        self._count = 0
        self._ended = False
        self._waiting: list[asyncio.Future[None]] = []

    def write(self, timestamp: datetime, text: str) -> None:
        """Append a line."""
        self._lines.append(LogLine(self._count, timestamp, text))
        self._count += 1
        self._wake()

    def end(self) -> None:
        """End the log: the container is gone."""
        self._ended = True
        self._wake()

    def lines(self) -> list[LogLine]:
        """Return all kept lines."""
        return list(self._lines)

    async def after(self, number: int) -> list[LogLine]:
        """Wait for and return the lines after a line number; an empty list if the log has ended."""
        while True:
            lines = [line for line in self._lines if line.number > number] if self._count > number + 1 else []
            if lines or self._ended:
                return lines
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
    """Result of a command in a container.

    Attributes:
        stdout: standard output.
        stderr: standard error.
        code: exit code.
        failure: why the command could not be started; empty if it was started.
    """

    stdout: bytes = b""
    stderr: bytes = b""
    code: int = 0
    failure: str = ""


class Containers(Protocol):
    """Runs the containers of pods."""

    def log(self, namespace: str, pod: str, container: str) -> ContainerLog | None:
        """Return the log of a container; None if it has not started."""
        ...

    async def execute(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> ExecResult:
        """Run a command in a container."""
        ...


class PodSubresources:
    """Handlers of the subresources of pods that are not part of the object."""

    def __init__(self, store: Store, containers: Containers, now: Now) -> None:
        self._store = store
        self._containers = containers
        self._now = now

    def respond(self, verb: str, request: Request, info: RequestInfo) -> Response:
        """Return the response of `pods/NAME/…`.

        Raises:
            ApiError: 400, 404 or 405, as from a real server.
        """
        match info.subresource, verb:
            case "log", "get":
                return self._log(request, info)
            case "eviction", "create":
                return self._evict(request, info)
            case "binding", "create":
                return self._bind(request, info)
            case "exec", _:
                raise bad_request("Upgrade request required: exec needs a WebSocket")
        raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

    def _bind(self, request: Request, info: RequestInfo) -> Response:
        """Assign a pod to a node, as a scheduler does once for each pod."""
        pod = self._store.get("pods", info.namespace, info.name)
        node = pod["spec"].get("nodeName")
        if node:
            cause = f'pod {info.name} is already assigned to node "{node}"'
            raise conflict("pods/binding", "", info.name, cause)
        target = str((request.object().get("target") or {}).get("name", ""))
        body = bound(pod, target, format_time(self._now()))
        self._store.patch("pods", info.namespace, info.name, body, subresource="binding", dry_run=is_dry_run(request))
        return json_response(success_status({}), 201)

    def _evict(self, request: Request, info: RequestInfo) -> Response:
        options = request.object().get("deleteOptions") or {}
        preconditions = options.get("preconditions") or {}
        eviction = EvictionOptions(
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
            grace_period=options.get("gracePeriodSeconds"),
            dry_run=is_dry_run(request, options),
        )
        evict_pod(self._store, info.namespace, info.name, self._now(), eviction)
        return json_response(success_status({}), 201)

    def _log(self, request: Request, info: RequestInfo) -> Response:
        container = self._container(info.namespace, info.name, request.query.get("container", ""))
        if request.flag("previous"):
            raise bad_request(f'previous terminated container "{container}" in pod "{info.name}" not found')
        log = self._containers.log(info.namespace, info.name, container)
        if log is None:
            raise bad_request(f'container "{container}" in pod "{info.name}" is waiting to start: ContainerCreating')
        lines = self._select_lines(request, log.lines())
        with_time = request.flag("timestamps")
        text = b"".join(_encode(line, with_time) for line in lines)
        if not request.flag("follow"):
            limit = request.number("limitBytes", len(text))
            return bytes_response(text[:limit], "text/plain")
        last = log.lines()[-1].number if log.lines() else -1
        return Stream(_follow(log, text, last, with_time), media_type="text/plain")

    def _select_lines(self, request: Request, lines: list[LogLine]) -> list[LogLine]:
        """Return the lines that `sinceSeconds`, `sinceTime` and `tailLines` select."""
        since: datetime | None = None
        if seconds := request.number("sinceSeconds", 0):
            since = self._now() - timedelta(seconds=seconds)
        elif text := request.query.get("sinceTime"):
            try:
                since = parse_timestamp(text)
            except ValueError as error:
                raise bad_request(f"sinceTime: {text!r} is not an RFC 3339 timestamp") from error
        selected = lines if since is None else [line for line in lines if line.timestamp >= since]
        tail = request.number("tailLines", -1)
        return selected if tail < 0 else selected[max(0, len(selected) - tail) :]

    def _container(self, namespace: str, name: str, requested: str) -> str:
        """Return the requested container; without a name, the only one."""
        pod = self._store.get("pods", namespace, name)
        names = [
            container["name"] for container in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ()))
        ]
        if not requested and len(names) > 1:
            raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]")
        if requested and requested not in names:
            raise bad_request(f"container {requested} is not valid for pod {name}")
        return requested or names[0]

    async def execute(self, socket: WebSocket, info: RequestInfo) -> None:
        """Run the command of the query; output and result go over the channels of `kubectl exec`."""
        query, offered = socket.query_params, socket.scope.get("subprotocols") or []
        protocol = next((name for name in _CHANNELS if name in offered), None)
        try:
            container = self._container(info.namespace, info.name, query.get("container", ""))
            command = query.getlist("command")
            result = await self._containers.execute(info.namespace, info.name, container, command)
        except ApiError as error:
            result = ExecResult(failure=error.message)
        await socket.accept(protocol)
        status = encode_json(_exec_status(result))
        for channel, data in ((_STDOUT, result.stdout), (_STDERR, result.stderr), (_RESULT, status)):
            if data:
                await socket.send_bytes(channel + data)
        await socket.close()
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the client may have disconnected first
            await socket.receive()


def _exec_status(result: ExecResult) -> Object:
    """Return the Status of a command, as `remotecommand` reads it."""
    status: Object = {"metadata": {}, "status": "Success"}
    if result.failure:
        return {**status, "status": "Failure", "reason": "InternalError", "message": result.failure, "code": 500}
    if result.code:
        return {
            **status,
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "message": f"command terminated with non-zero exit code: exit status {result.code}",
            "details": {"causes": [{"reason": "ExitCode", "message": str(result.code)}]},
        }
    return status


def _encode(line: LogLine, with_time: bool) -> bytes:
    prefix = f"{format_micro_time(line.timestamp)} " if with_time else ""
    return f"{prefix}{line.text}\n".encode()


async def _follow(log: ContainerLog, text: bytes, last: int, with_time: bool) -> AsyncIterator[bytes]:
    """Yield `text`, then the lines after number `last` until the log ends."""
    if text:
        yield text
    while lines := await log.after(last):
        last = lines[-1].number
        yield b"".join(_encode(line, with_time) for line in lines)
