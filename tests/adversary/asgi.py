"""One request to an ASGI application in this process, without a client library that would refuse to send it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as bytes.

    Attributes:
        target: path and query as on the request line.
        headers: names in lower case.
    """

    method: str
    target: str
    body: bytes = b""
    headers: Headers = ()

    def __str__(self) -> str:
        return f"{self.method} {self.target[:300]!r} {list(self.headers)} {self.body[:500]!r}"


@dataclass(slots=True)
class HttpResponse:
    """Status and body; `status` is 0 without a response."""

    status: int = 0
    headers: Headers = ()
    body: bytearray = field(default_factory=bytearray)


async def send(app: Any, request: HttpRequest, *, leaves: bool = False) -> HttpResponse:
    """Return the response to a request; a client that `leaves` disconnects once its body is sent.

    Raises:
        Exception: if the application does not handle one.
    """
    response = HttpResponse()
    messages = [{"type": "http.request", "body": request.body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        if not leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def on_message(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            response.status, response.headers = message["status"], tuple(message.get("headers", ()))
        else:
            response.body += message.get("body", b"")

    await app(_scope(request), receive, on_message)
    return response


def _scope(request: HttpRequest) -> dict[str, Any]:
    path, _, query = request.target.partition("?")
    raw = path.encode("utf-8", "surrogatepass")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote_to_bytes(raw).decode("utf-8", "replace"),
        "raw_path": raw,
        "query_string": query.encode("utf-8", "surrogatepass"),
        "root_path": "",
        "headers": list(request.headers),
        "client": ("192.0.2.1", 1024),
        "server": ("server", 80),
    }
