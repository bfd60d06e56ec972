"""The API server as an ASGI application: authenticate, authorize, resolve the resource, dispatch to a handler.

It runs in the event loop of the store, so a handler that does not wait is one transaction. TLS, sockets and the clock
belong to the caller (`twin/serve/`).
"""

from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from twin.apiserver.codec.field_types import decode_message
from twin.apiserver.codec.protobuf import message_name
from twin.apiserver.meta.errors import ApiError, Object, invalid, unprocessable
from twin.apiserver.rest.admitted_writes import AdmittedWrites
from twin.apiserver.rest.auth.access_reviews import AccessReviews, review_type
from twin.apiserver.rest.auth.authentication import (
    ANONYMOUS,
    TokenAuthenticator,
    User,
    impersonated_user,
    service_account,
)
from twin.apiserver.rest.auth.rbac import Attributes, Authorizer
from twin.apiserver.rest.conversion import Conversions
from twin.apiserver.rest.discovery import SUBRESOURCES, VERSION, Discovery
from twin.apiserver.rest.http import Request, Stream, bytes_response, json_response
from twin.apiserver.rest.middleware import AuditEvent, Interference, Observer, no_interference, no_observer
from twin.apiserver.rest.objects import Objects
from twin.apiserver.rest.openapi.documents import find_document
from twin.apiserver.rest.openapi.protobuf import is_accepted
from twin.apiserver.rest.pod_subresources import ContainerLog, Containers, ExecResult, PodSubresources
from twin.apiserver.rest.printers.table import Now
from twin.apiserver.rest.request_info import RequestInfo, parse_path, request_verb
from twin.apiserver.rest.watch import BrokenConnection, Watches
from twin.apiserver.storage.store import Store

_HEALTH = ("healthz", "livez", "readyz")
_TOKEN_LIFETIME = 3600  # seconds, as stated in a TokenRequest; the token itself is valid until the server stops
_MIN_LIFETIME = 600  # seconds; pkg/apis/authentication/validation
_AUTHENTICATION = "authentication.k8s.io/v1"
_AUDIENCE = "https://kubernetes.default.svc"


class _NoContainers:
    """A cluster without running containers."""

    def log(self, namespace: str, pod: str, container: str) -> ContainerLog | None:  # noqa: ARG002 - the protocol's signature
        return None

    async def execute(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> ExecResult:  # noqa: ARG002
        return ExecResult(failure="no container runs here")


class ApiServer:
    """The Kubernetes API of a store."""

    def __init__(
        self,
        store: Store,
        authenticator: TokenAuthenticator,
        now: Now,
        *,
        containers: Containers | None = None,
        observer: Observer = no_observer,
        interference: Interference = no_interference,
        address: str = "",
    ) -> None:
        """Serve a store.

        Args:
            store: the store.
            authenticator: the valid tokens.
            now: returns the time, for ages.
            containers: runs the containers of pods; without it there are no logs.
            observer: called for each answered request.
            interference: called before each request about objects; for faults and latency.
            address: host and port at which clients reach the server.
        """
        self._store = store
        self._authenticator = authenticator
        self._observer = observer
        self._interference = interference
        self._address = address
        self._conversions = Conversions(store.kinds)
        self._authorizer = Authorizer(store)
        self._objects = Objects(store, now)
        self._reviews = AccessReviews(authenticator, self._authorizer)
        self._pods = PodSubresources(store, containers or _NoContainers(), now)
        self._writes = AdmittedWrites(store, self._conversions, self._dispatch)
        self.watches = Watches(store, now)

    def close(self) -> None:
        """End all watches."""
        self.watches.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._exec(WebSocket(scope, receive, send))
            return
        try:
            response = await self._respond(HttpRequest(scope, receive))
        except ApiError as error:
            response = error_response(error)
        except ClientDisconnect:
            return
        try:
            await response(scope, receive, send)
        except BrokenConnection:
            await _reset(scope, receive)

    async def _respond(self, incoming: HttpRequest) -> Response:
        request = await Request.read(incoming, self._user(incoming))
        info = parse_path(request.path)
        if info is None:
            return self._respond_non_resource(request)
        attributes = _attributes(request_verb(request.method, info, request.query), info, request)
        user_agent, name = request.headers.get("user-agent", ""), attributes.name or _name_in_body(request)
        event = AuditEvent(request.user, attributes, 0, user_agent, name)
        try:
            self._authorizer.check(request.user, attributes)
            if self._creates(request, info):  # an apply that creates needs, and uses, both permissions
                creating = replace(attributes, verb="create", name="")
                self._authorizer.check(request.user, creating)
                self._observer(replace(event, attributes=creating, code=201, implied=True))
            effects = await self._interference(event)
            viewed = replace(request, read_view=effects.read_view)
            response = await self._writes.respond(attributes, viewed, info)
            effects.after()
        except ApiError as error:
            self._observer(replace(event, code=error.code))
            raise
        self._observer(replace(event, code=200 if isinstance(response, Stream) else response.status_code))
        return response

    def _creates(self, request: Request, info: RequestInfo) -> bool:
        """Return whether a request is an apply of an object that does not exist."""
        if request.method != "PATCH" or info.subresource or "apply-patch" not in request.content_type:
            return False
        try:
            self._store.get(self._conversions.of(info).resource, info.namespace, info.name)
        except ApiError as error:
            return error.reason == "NotFound"
        return False

    def _user(self, connection: HTTPConnection) -> User:
        """Return the user of a request, after impersonation."""
        headers = connection.headers
        if "authorization" not in headers and connection.scope["path"].strip("/").split("/")[0] in (
            *_HEALTH,
            "version",
        ):
            return ANONYMOUS
        user = self._authenticator.authenticate(headers)
        impersonated = impersonated_user(headers)
        if impersonated is None:
            return user
        self._authorizer.check(user, Attributes("impersonate", resource="users", name=impersonated.name))
        return impersonated

    def _respond_non_resource(self, request: Request) -> Response:
        """Return the response of health, version, discovery and OpenAPI paths."""
        self._authorizer.check(request.user, Attributes("get", path=request.path))
        first = request.path.strip("/").split("/")[0]
        if first in _HEALTH:
            return bytes_response(b"ok", "text/plain")
        if first == "version":
            return json_response(VERSION)
        kinds = self._conversions.kinds()
        if first == "openapi":
            document = find_document(request.path, kinds, protobuf=is_accepted(request.accepted()[0].media_type))
            response = document and bytes_response(document.content, document.media_type)
        else:
            response = Discovery(kinds).respond(request, self._address)
        if response is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        return response

    def _dispatch(self, verb: str, request: Request, info: RequestInfo) -> Response:
        if review := review_type(info.group, info.plural):
            body = _decoded(info.api_version, review.kind, request)
            return json_response(self._reviews.review(review, info.api_version, request.user, body), 201)
        api_view = self._conversions.of(info)
        subresources = {entry["name"].partition("/")[2] for entry in SUBRESOURCES.get(api_view.kind.resource, ())}
        if info.subresource in subresources:
            if info.subresource == "token":
                return self._issue_token(request, info)
            return self._pods.respond(verb, request, info)
        if verb == "watch" or (info.watching and verb == "get"):
            return self.watches.stream(request, api_view, info)
        return self._objects.handle(verb, request, api_view, info)

    def _issue_token(self, request: Request, info: RequestInfo) -> Response:
        """Answer a TokenRequest for a service account (`kubectl create token`)."""
        account = self._store.get("serviceaccounts", info.namespace, info.name)
        user = service_account(info.namespace, info.name, account["metadata"]["uid"])
        body = _decoded(_AUTHENTICATION, "TokenRequest", request)
        requested = {name: value for name, value in (body.get("spec") or {}).items() if value}
        spec = {"audiences": [_AUDIENCE], "expirationSeconds": _TOKEN_LIFETIME, **requested}
        if spec["expirationSeconds"] < _MIN_LIFETIME:
            detail = "may not specify a duration less than 10 minutes"
            error = invalid("spec.expirationSeconds", spec["expirationSeconds"], detail)
            raise unprocessable("TokenRequest", "authentication.k8s.io", "", [error])
        expires = self._store.timestamp_after(spec["expirationSeconds"])
        status = {"token": self._authenticator.issue(user), "expirationTimestamp": expires}
        meta = {"name": info.name, "namespace": info.namespace}
        identity = {"kind": "TokenRequest", "apiVersion": _AUTHENTICATION, "metadata": meta}
        return json_response({**identity, "spec": spec, "status": status}, 201)

    async def _exec(self, socket: WebSocket) -> None:
        """Run `kubectl exec`, the only request over a WebSocket."""
        info = parse_path(socket.scope["path"])
        try:
            if info is None or (info.resource, info.subresource) != ("pods", "exec"):
                raise ApiError(404, "NotFound", "the server could not find the requested resource")
            user = self._user(socket)
            attributes = Attributes("create", "", "pods", "exec", info.namespace, info.name)
            self._authorizer.check(user, attributes)
        except ApiError:
            await socket.close(1008)
            return
        self._observer(AuditEvent(user, attributes, 101, socket.headers.get("user-agent", "")))
        await self._pods.execute(socket, info)


def _decoded(api_version: str, kind: str, request: Request) -> Object:
    """Return the body of a request that is answered instead of stored. Raises `ApiError` if a type is wrong."""
    return decode_message(message_name(api_version, kind), kind, api_version.rpartition("/")[2], request.object())


def _name_in_body(request: Request) -> str:
    """Return the name of an object to create, or "" if the body has none or cannot be decoded."""
    if request.method != "POST":
        return ""
    try:
        meta = request.object().get("metadata")
    except ApiError:
        return ""
    return str(meta.get("name", "")) if isinstance(meta, dict) else ""


async def _reset(scope: Scope, receive: Receive) -> None:
    """Abort the connection within a response, if the caller provides it (`connection`, as in `twin/serve`)."""
    connection = scope.get("state", {}).get("connection")
    if connection is None:
        raise ConnectionResetError("the connection was reset by peer")
    connection().abort()
    while (await receive())["type"] != "http.disconnect":
        continue


def error_response(error: ApiError) -> Response:
    """Return the response of an error."""
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if error.code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return json_response(error.status, error.code, headers)


def _attributes(verb: str, info: RequestInfo, request: Request) -> Attributes:
    name = info.name
    if not name and verb in ("list", "watch", "deletecollection"):  # a rule by name also allows a list of that name
        selector = request.query.get("fieldSelector", "")
        name = selector.removeprefix("metadata.name=") if selector.startswith("metadata.name=") else ""
        name = "" if "," in name else name
    namespace = info.name if info.resource == "namespaces" else info.namespace
    return Attributes(verb, info.group, info.plural, info.subresource, namespace, name)
