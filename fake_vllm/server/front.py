"""Headers that depend on the request alone: CORS and request ids, as the middleware of a real server adds them."""

from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any

from fake_vllm.engine.engine import Engine, EngineConfig
from fake_vllm.http.cors import SAME_ORIGIN, CorsPolicy
from fake_vllm.router import Request, Response

RawHeaders = list[tuple[bytes, bytes]]
Send = Callable[[MutableMapping[str, Any]], Coroutine[Any, Any, None]]

_SAME_ORIGIN: RawHeaders = [(name.encode(), value.encode()) for name, value in SAME_ORIGIN.items()]


class Front:
    """The middleware of one server. The API key is checked before it (`router.authorize`)."""

    def __init__(self, config: EngineConfig) -> None:
        server = config.server
        self._request_ids = server.request_ids
        if config.dialect == "sglang":  # entrypoints/http_server.py
            self._cors = CorsPolicy(("*",), credentials=True)
            return
        origins = config.quirks.allowed_origins if server.allowed_origins is None else server.allowed_origins
        self._cors = CorsPolicy(origins, server.allowed_methods, server.allowed_headers, server.allow_credentials)

    def preflight(self, request: Request) -> Response | None:
        """Return the response to a preflight request, None for other requests."""
        return self._cors.preflight(request) if request.method == "OPTIONS" else None

    def headers(self, engine: Engine, request: Request, *, cors: bool = True) -> RawHeaders:
        """Return the headers to add to a response; `cors`: it comes from behind the CORS middleware."""
        headers: RawHeaders = []
        if cors:
            origin = request.headers.get("origin")
            headers = _SAME_ORIGIN if origin is None else _encoded(self._cors.headers_for(origin))
        if self._request_ids:
            name = request.headers.get("x-request-id") or engine.new_id()
            headers = [*headers, (b"x-request-id", name.encode("latin-1"))]
        return headers


def sending(send: Send, headers: RawHeaders, unless: Callable[[], bool] = lambda: False) -> Send:
    """Return a `send` that adds headers to the response; `unless`: says at its start that it gets none."""

    async def send_with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start" and not unless():
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return send_with_headers


def _encoded(headers: Any) -> RawHeaders:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
