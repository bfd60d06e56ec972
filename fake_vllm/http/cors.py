"""Cross-origin resource sharing, as Starlette's `CORSMiddleware` does it (starlette/middleware/cors.py, 1.10).

Every recorded release of vLLM runs behind that middleware.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fake_vllm.http.messages import Request, Response

_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY")
_SAFELISTED = ("Accept", "Accept-Language", "Content-Language", "Content-Type")
_MAX_AGE = "600"  # seconds
_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network"
_TEXT = {"content-type": "text/plain; charset=utf-8"}
SAME_ORIGIN: Mapping[str, str] = {"vary": "Origin"}


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """Permissions of a server for pages of other origins; `*` stands for anything."""

    origins: Collection[str]
    methods: Collection[str] = ("*",)
    headers: Collection[str] = ("*",)
    credentials: bool = False

    def preflight(self, request: Request) -> Response | None:
        """Return the response to a preflight request, None for other requests."""
        origin = request.headers.get("origin")
        method = request.headers.get("access-control-request-method")
        if request.method != "OPTIONS" or origin is None or method is None:
            return None
        requested = request.headers.get("access-control-request-headers")
        refused = self._refused(origin, method, requested, request.headers)
        headers = {**_TEXT, "vary": _VARY, **self._preflight_headers(origin, requested)}
        if refused:
            return Response(400, headers, f"Disallowed CORS {', '.join(refused)}".encode())
        return Response(200, headers, b"OK")

    def headers_for(self, origin: str | None) -> Mapping[str, str]:
        """Return the headers to add to the response of a request that is no preflight."""
        if origin is None:
            return SAME_ORIGIN
        headers = {"access-control-allow-credentials": "true"} if self.credentials else {}
        if "*" in self.origins and not self.credentials:
            return {"access-control-allow-origin": "*", **SAME_ORIGIN}
        if self._allows_origin(origin):
            headers["access-control-allow-origin"] = origin
        return {**headers, **SAME_ORIGIN}

    def _allows_origin(self, origin: str) -> bool:
        return "*" in self.origins or origin in self.origins

    def _refused(self, origin: str, method: str, requested: str | None, headers: Mapping[str, str]) -> list[str]:
        """Return what of a preflight request is not allowed."""
        refused = [] if self._allows_origin(origin) else ["origin"]
        if method not in (_METHODS if "*" in self.methods else self.methods):
            refused.append("method")
        if requested is not None and "*" not in self.headers:
            allowed = {name.lower() for name in (*_SAFELISTED, *self.headers)}
            if any(name.strip() not in allowed for name in requested.lower().split(",")):
                refused.append("headers")
        if "access-control-request-private-network" in headers:
            refused.append("private-network")
        return refused

    def _preflight_headers(self, origin: str, requested: str | None) -> dict[str, str]:
        headers = {
            "access-control-allow-methods": ", ".join(_METHODS if "*" in self.methods else self.methods),
            "access-control-max-age": _MAX_AGE,
        }
        if "*" in self.origins and not self.credentials:
            headers["access-control-allow-origin"] = "*"
        elif self._allows_origin(origin):
            headers["access-control-allow-origin"] = origin
        if "*" not in self.headers:
            headers["access-control-allow-headers"] = ", ".join(sorted({*_SAFELISTED, *self.headers}))
        elif requested is not None:
            headers["access-control-allow-headers"] = requested
        if self.credentials:
            headers["access-control-allow-credentials"] = "true"
        return headers
