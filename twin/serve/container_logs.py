"""Logs of containers for `kubectl logs`, and the commands that `kubectl exec` can run in them.

An engine's log has the lines that vLLM would write, derived from the record; the operator's log is its own.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from urllib.parse import urlsplit

import httpx

from twin.apiserver import Change, Object
from twin.apiserver.meta.objects import key
from twin.apiserver.rest.pod_subresources import ContainerLog, ExecResult
from twin.trace.lines import Line, RequestLine
from twin.world.kubelet.pod_spec import engine_of, long_running
from twin.world.network.engine_host import EngineHost, Event
from twin.world.network.transport import Network

Now = Callable[[], datetime]

_PATHS = {"load": "/v1/load_lora_adapter", "unload": "/v1/unload_lora_adapter"}
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 500: "Internal Server Error"}


class ContainerLogs:
    """The logs of all containers."""

    def __init__(self, network: Network, now: Now) -> None:
        self._logs: dict[tuple[str, str], ContainerLog] = {}
        self._engines: dict[str, str] = {}
        self._transport = network.transport("kubectl-exec", "controller")
        self._now = now
        self._addresses: dict[str, tuple[str, int]] = {}

    # -- requests

    def log(self, namespace: str, pod: str, container: str) -> ContainerLog | None:
        """Return the log of a container; None if it has not been started yet."""
        return self._logs.get((f"{namespace}/{pod}", container))

    async def execute(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> ExecResult:
        """Run `curl URL` against the pod's own engine; no other command is available."""
        if (f"{namespace}/{pod}", container) not in self._logs:
            return ExecResult(failure=f"container {container} is not running")
        if not command or command[0] != "curl":
            missing = command[0] if command else ""
            return ExecResult(failure=f'exec: "{missing}": executable file not found in $PATH (only curl is available)')
        return await self._curl(f"{namespace}/{pod}", list(command[1:]))

    async def _curl(self, pod: str, arguments: list[str]) -> ExecResult:
        url = next((item for item in arguments if not item.startswith("-")), "")
        parts = urlsplit(url if "://" in url else f"http://{url}")
        ip, port = self._addresses.get(pod, ("", 0))
        if parts.hostname not in ("localhost", "127.0.0.1", ip):
            return ExecResult(stderr=f"curl: (6) Could not resolve host: {parts.hostname}\n".encode(), code=6)
        refused = f"curl: (7) Failed to connect to {parts.hostname} port {parts.port or 80}\n".encode()
        if (parts.port or 80) != port:
            return ExecResult(stderr=refused, code=7)
        request = httpx.Request("GET", f"http://{ip}:{port}{parts.path or '/'}", extensions={"timeout": {"read": 30.0}})
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.TransportError:
            return ExecResult(stderr=refused, code=7)
        return ExecResult(stdout=response.content)

    # -- events

    def write(self, pod: str, container: str, text: str) -> None:
        """Append a line to a container's log."""
        self._logs.setdefault((pod, container), ContainerLog()).write(self._now(), text)

    def pod_changed(self, change: Change) -> None:
        """Start the logs of started containers, and remove those of a deleted pod."""
        pod = key(change.object)
        spec = change.object["spec"]
        if change.type == "DELETED":
            for item in long_running(spec):
                log = self._logs.pop((pod, item["name"]), None)
                if log is not None:
                    log.end()
            self._engines.pop(pod, None)
            return
        self._engines.setdefault(pod, engine_of(change.object["metadata"], spec))
        state = change.object.get("status") or {}
        for status in (*state.get("initContainerStatuses", ()), *state.get("containerStatuses", ())):
            if "running" in status["state"] and (pod, status["name"]) not in self._logs:
                self.write(pod, status["name"], _first_line(status))

    def engine_changed(self, host: EngineHost, event: Event, adapter: str, root: str) -> None:
        """Log an event of an engine."""
        self._addresses[host.pod] = (host.ip, host.port)
        text = {
            "started": f"Starting vLLM API server on http://0.0.0.0:{host.port}",
            "stopped": "Shutting down",
            "loaded": f"Loaded new LoRA adapter: name '{adapter}', path '{root}'",
            "unloaded": f"Removed LoRA adapter: name '{adapter}'",
        }
        self._engine_line(host.pod, _info("api_server.py", text[event], self._now()))

    def on_line(self, line: Line) -> None:
        """Log the access line of a load or unload request."""
        if isinstance(line, RequestLine) and line.event == "done" and line.status:
            status = f"{line.status} {_REASONS.get(line.status, '')}".strip()
            self._engine_line(line.object, f'INFO:     {line.by} - "POST {_PATHS[line.verb]} HTTP/1.1" {status}')

    def _engine_line(self, pod: str, text: str) -> None:
        container = self._engines.get(pod)
        if container is not None:
            self.write(pod, container, text)


def _first_line(status: Object) -> str:
    return f"container {status['name']} of image {status.get('image', '')} started"


def _info(module: str, text: str, timestamp: datetime) -> str:
    return f"INFO {timestamp:%m-%d %H:%M:%S} [{module}] {text}"
