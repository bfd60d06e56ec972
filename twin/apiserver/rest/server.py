"""The API server as an ASGI application: who asks, may he, what is it about, and who answers.

It runs wherever the store does, in one event loop with it: a handler that does not wait is one transaction. TLS,
sockets and time are whoever's who serves it (`twin/served/`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from twin.apiserver.meta.errors import ApiError, invalid, unprocessable
from twin.apiserver.rest.auth.access_reviews import AccessReviews, is_review
from twin.apiserver.rest.auth.authentication import (
    ANONYMOUS,
    TokenAuthenticator,
    User,
    impersonated_user,
    service_account,
)
from twin.apiserver.rest.auth.rbac import Attributes, Authorizer
from twin.apiserver.rest.conversion import Conversions
from twin.apiserver.rest.discovery import EXTRA, VERSION, Discovery
from twin.apiserver.rest.http import Answer, Request, Response, Stream, body_of, headers_of
from twin.apiserver.rest.middleware import AuditEvent, Interference, Observer, no_interference, no_observer
from twin.apiserver.rest.objects import Objects
from twin.apiserver.rest.openapi import documents as openapi
from twin.apiserver.rest.pod_subresources import ContainerLog, Containers, ExecResult, PodSubresources
from twin.apiserver.rest.printers.table import Now
from twin.apiserver.rest.request_info import RequestInfo, parse_path, request_verb
from twin.apiserver.rest.watch import Watches
from twin.apiserver.storage.store import Store

_HEALTH = ("healthz", "livez", "readyz")
_TOKEN_LIFE = 3600  # seconds; what a TokenRequest is said to be good for, here it is as long as the server
_SHORTEST_LIFE = 600  # seconds; pkg/apis/authentication/validation
_AUDIENCE = "https://kubernetes.default.svc"


class _NoContainers:
    """Nothing runs."""

    def log(self, namespace: str, pod: str, container: str) -> ContainerLog | None:  # noqa: ARG002 - the protocol's signature
        return None

    async def execute(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> ExecResult:  # noqa: ARG002
        return ExecResult(failure="no container runs here")


class ApiServer:
    """Kubernetes' API on a store."""

    def __init__(
        self,
        store: Store,
        access: TokenAuthenticator,
        now: Now,
        *,
        containers: Containers | None = None,
        observer: Observer = no_observer,
        interference: Interference = no_interference,
        address: str = "",
    ) -> None:
        """Put HTTP in front of a store.

        Args:
            store: what is served.
            access: whose tokens are good.
            now: the world's time, for ages.
            containers: who runs the pods' containers; without, there are no logs.
            observer: told of each request that was answered.
            interference: attributes before each request about objects; for faults and latency.
            address: host and port that clients reach the server at.
        """
        self._store = store
        self._access = access
        self._observer = observer
        self._interference = interference
        self._address = address
        self._faces = Conversions(store.kinds)
        self._authorizer = Authorizer(store)
        self._objects = Objects(store, now)
        self._reviews = AccessReviews(access, self._authorizer)
        self._pods = PodSubresources(store, containers or _NoContainers(), now)
        self.watches = Watches(store, now)

    def close(self) -> None:
        """Ends all watches, so that the server can go."""
        self.watches.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        try:
            answer = await self._answer(scope, receive)
        except ApiError as error:
            answer = error_response(error)
        try:
            await answer.send(send, receive)
        except ConnectionResetError:
            await _cut(scope, receive)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        request = Request(
            method=scope["method"],
            path=scope["path"],
            query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            headers=headers_of(scope),
            body=await body_of(receive),
            user=self._user(scope),
        )
        info = parse_path(request.path)
        if info is None:
            return self._elsewhere(request)
        attributes = _attributes(request_verb(request.method, info, request.query), info, request)
        event = AuditEvent(
            request.user, attributes, 0, request.headers.get("user-agent", ""), attributes.name or _named(request)
        )
        try:
            self._authorizer.check(request.user, attributes)
            if self._creates(request, info):  # an apply of what is not there takes both rights, and uses both
                creating = replace(attributes, verb="create", name="")
                self._authorizer.check(request.user, creating)
                self._observer(replace(event, attributes=creating, code=201, implied=True))
            effects = await self._interference(event)
            answer = self._about(attributes.verb, replace(request, read_view=effects.read_view), info)
            effects.after()
        except ApiError as error:
            self._observer(replace(event, code=error.code))
            raise
        self._observer(replace(event, code=200 if isinstance(answer, Stream) else answer.status))
        return answer

    def _creates(self, request: Request, info: RequestInfo) -> bool:
        if (
            request.method != "PATCH"
            or "apply-patch" not in request.headers.get("content-type", "")
            or info.subresource
        ):
            return False
        try:
            self._store.get(self._faces.of(info).resource, info.namespace, info.name)
        except ApiError as error:
            return error.reason == "NotFound"
        return False

    def _user(self, scope: Scope) -> User:
        """Who asks; or who he wants to be taken for, if he may."""
        headers = headers_of(scope)
        if "authorization" not in headers and scope["path"].strip("/").split("/")[0] in (*_HEALTH, "version"):
            return ANONYMOUS
        user = self._access.authenticate(headers)
        other = impersonated_user(scope["headers"])
        if other is None:
            return user
        self._authorizer.check(user, Attributes("impersonate", resource="users", name=other.name))
        return other

    def _elsewhere(self, request: Request) -> Answer:
        """Health, version, discovery, OpenAPI."""
        self._authorizer.check(request.user, Attributes("get", path=request.path))
        first = request.path.strip("/").split("/")[0]
        if first in _HEALTH:
            return Response(b"ok", content_type="text/plain")
        if first == "version":
            return Response.of(VERSION)
        kinds = self._faces.kinds()
        found = (
            openapi.answer(request, kinds) if first == "openapi" else Discovery(kinds).answer(request, self._address)
        )
        if found is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        return found

    def _about(self, verb: str, request: Request, info: RequestInfo) -> Answer:
        """Carries out a request about objects."""
        if is_review(info):
            return self._reviews.answer(request, info)
        api_view = self._faces.of(info)
        extra = {entry["name"].partition("/")[2] for entry in EXTRA.get(api_view.kind.resource, ())}
        if info.subresource in extra:
            return self._token(request, info) if info.subresource == "token" else self._pods.answer(verb, request, info)
        if verb == "watch" or (info.watching and verb == "get"):
            return self.watches.stream(request, api_view, info)
        return self._objects.handle(verb, request, api_view, info)

    def _token(self, request: Request, info: RequestInfo) -> Response:
        """A token for a service account (`kubectl create token`)."""
        account = self._store.get("serviceaccounts", info.namespace, info.name)
        user = service_account(info.namespace, info.name, account["metadata"]["uid"])
        asked = {name: value for name, value in (request.object().get("spec") or {}).items() if value}
        spec = {"audiences": [_AUDIENCE], "expirationSeconds": _TOKEN_LIFE, **asked}
        if spec["expirationSeconds"] < _SHORTEST_LIFE:
            said = "may not specify a duration less than 10 minutes"
            fault = invalid("spec.expirationSeconds", spec["expirationSeconds"], said)
            raise unprocessable("TokenRequest", "authentication.k8s.io", "", [fault])
        until = self._store.timestamp_after(spec["expirationSeconds"])
        status = {"token": self._access.issue(user), "expirationTimestamp": until}
        meta = {"name": info.name, "namespace": info.namespace}
        body = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": meta}
        return Response.of({**body, "spec": spec, "status": status}, 201)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`kubectl exec`, the one thing that is spoken over a WebSocket."""
        info = parse_path(scope["path"])
        try:
            if info is None or (info.resource, info.subresource) != ("pods", "exec"):
                raise ApiError(404, "NotFound", "the server could not find the requested resource")
            user = self._user(scope)
            attributes = Attributes("create", "", "pods", "exec", info.namespace, info.name)
            self._authorizer.check(user, attributes)
        except ApiError:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        self._observer(AuditEvent(user, attributes, 101, headers_of(scope).get("user-agent", "")))
        await self._pods.execute(scope, receive, send, info)


def _named(request: Request) -> str:
    """What an object to be created is called; nothing if the body does not say, or cannot be read."""
    if request.method != "POST":
        return ""
    try:
        meta = request.object().get("metadata")
    except ApiError:
        return ""
    return str(meta.get("name", "")) if isinstance(meta, dict) else ""


async def _cut(scope: Scope, receive: Receive) -> None:
    """Ends the connection within an answer, if who serves this has said how (`connection`, as in `twin/served`)."""
    connection = scope.get("state", {}).get("connection")
    if connection is None:
        raise ConnectionResetError("the connection was reset by peer")
    connection().abort()
    while (await receive())["type"] != "http.disconnect":
        continue


def error_response(error: ApiError) -> Response:
    """The answer that an error is."""
    headers: dict[str, Any] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if error.code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response.of(error.status, error.code, **{name.replace("-", "_"): text for name, text in headers.items()})


def _attributes(verb: str, info: RequestInfo, request: Request) -> Attributes:
    name = info.name
    if not name and verb in ("list", "watch", "deletecollection"):  # a rule by name also holds for a list of that one
        selected = request.query.get("fieldSelector", "")
        name = selected.removeprefix("metadata.name=") if selected.startswith("metadata.name=") else ""
        name = "" if "," in name else name
    namespace = info.namespace
    if info.resource == "namespaces":
        namespace = info.name
    return Attributes(verb, info.group, info.plural, info.subresource, namespace, name)
