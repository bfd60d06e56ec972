"""A proxy in front of a server that keeps the requests which pass through it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

_TIMEOUT = 120.0  # seconds
_HOP = ("connection", "transfer-encoding", "content-length", "content-encoding", "keep-alive", "date", "server")
Sent = dict[str, Any]
"""`method`, `path`, and `json` if there is a body."""


class Proxy:
    """Forwards to one server.

    Attributes:
        url: base URL of the proxy.
        sent: requests since it was last emptied, in the order in which they arrived.
    """

    def __init__(self, server: str) -> None:
        self.sent: list[Sent] = []
        self._client = httpx.Client(base_url=server, timeout=_TIMEOUT, trust_env=False)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> None:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._client.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._forward()

            def do_POST(self) -> None:
                self._forward()

            def log_message(self, *_: object) -> None:
                pass

            def _forward(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length") or 0))
                body = {"json": json.loads(content)} if content else {}
                proxy.sent.append({"method": self.command, "path": self.path, **body})
                headers = {name: self.headers[name] for name in ("content-type", "accept") if name in self.headers}
                response = proxy._client.request(self.command, self.path, content=content, headers=headers)
                self.send_response(response.status_code)
                for name, value in response.headers.items():
                    if name.lower() not in _HOP:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(response.content)))
                self.end_headers()
                self.wfile.write(response.content)

        return Handler


@contextmanager
def recording(server: str) -> Iterator[Proxy]:
    """Yield a proxy in front of the server with this base URL."""
    proxy = Proxy(server)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
