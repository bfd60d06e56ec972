"""The API server as an ASGI application: who asks, may he, what is it about, and who answers.

It runs wherever the store does, in one event loop with it: a handler that does not wait is one transaction. TLS,
sockets and time are whoever's who serves it (`twin/served/`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from twin.apiserver.errors import ApiError, invalid, unprocessable
from twin.apiserver.rest.auth.access_reviews import Reviews, is_review
from twin.apiserver.rest.auth.authentication import ANONYMOUS, Access, User, impersonated, service_account
from twin.apiserver.rest.auth.rbac import Attributes, Authorizer
from twin.apiserver.rest.conversion import Faces
from twin.apiserver.rest.discovery import EXTRA, VERSION, Discovery
from twin.apiserver.rest.http import Answer, Call, Reply, Stream, body_of, headers_of
from twin.apiserver.rest.middleware import Interference, Observer, Used, nobody, undisturbed
from twin.apiserver.rest.objects import Objects
from twin.apiserver.rest.openapi import documents as openapi
from twin.apiserver.rest.pod_subresources import Containers, Executed, Log, Pods
from twin.apiserver.rest.printers.table import Now
from twin.apiserver.rest.request_info import Target, target_of, verb_of
from twin.apiserver.rest.watch import Watches
from twin.apiserver.storage.store import Store

_HEALTH = ("healthz", "livez", "readyz")
_TOKEN_LIFE = 3600  # seconds; what a TokenRequest is said to be good for, here it is as long as the server
_SHORTEST_LIFE = 600  # seconds; pkg/apis/authentication/validation
_AUDIENCE = "https://kubernetes.default.svc"


class _NoContainers:
    """Nothing runs."""

    def log(self, namespace: str, pod: str, container: str) -> Log | None:  # noqa: ARG002 - the protocol's signature
        return None

    async def execute(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> Executed:  # noqa: ARG002
        return Executed(failure="no container runs here")


class ApiServer:
    """Kubernetes' API on a store."""

    def __init__(
        self,
        store: Store,
        access: Access,
        now: Now,
        *,
        containers: Containers | None = None,
        observer: Observer = nobody,
        interference: Interference = undisturbed,
        address: str = "",
    ) -> None:
        """Put HTTP in front of a store.

        Args:
            store: what is served.
            access: whose tokens are good.
            now: the world's time, for ages.
            containers: who runs the pods' containers; without, there are no logs.
            observer: told of each request that was answered.
            interference: asked before each request about objects; for faults and latency.
            address: host and port that clients reach the server at.
        """
        self._store = store
        self._access = access
        self._observer = observer
        self._interference = interference
        self._address = address
        self._faces = Faces(store.kinds)
        self._authorizer = Authorizer(store)
        self._objects = Objects(store, now)
        self._reviews = Reviews(access, self._authorizer)
        self._pods = Pods(store, containers or _NoContainers(), now)
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
            answer = failed(error)
        try:
            await answer.send(send, receive)
        except ConnectionResetError:
            await _cut(scope, receive)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        call = Call(
            method=scope["method"],
            path=scope["path"],
            query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            headers=headers_of(scope),
            body=await body_of(receive),
            user=self._user(scope),
        )
        target = target_of(call.path)
        if target is None:
            return self._elsewhere(call)
        asked = _attributes(verb_of(call.method, target, call.query), target, call)
        used = Used(call.user, asked, 0, call.headers.get("user-agent", ""), asked.name or _named(call))
        try:
            self._authorizer.check(call.user, asked)
            if self._creates(call, target):  # an apply of what is not there takes both rights, and uses both
                creating = replace(asked, verb="create", name="")
                self._authorizer.check(call.user, creating)
                self._observer(replace(used, asked=creating, code=201, implied=True))
            met = await self._interference(used)
            answer = self._about(asked.verb, replace(call, sight=met.sight), target)
            met.afterwards()
        except ApiError as error:
            self._observer(replace(used, code=error.code))
            raise
        self._observer(replace(used, code=200 if isinstance(answer, Stream) else answer.status))
        return answer

    def _creates(self, call: Call, target: Target) -> bool:
        if call.method != "PATCH" or "apply-patch" not in call.headers.get("content-type", "") or target.subresource:
            return False
        try:
            self._store.get(self._faces.of(target).resource, target.namespace, target.name)
        except ApiError as error:
            return error.reason == "NotFound"
        return False

    def _user(self, scope: Scope) -> User:
        """Who asks; or who he wants to be taken for, if he may."""
        headers = headers_of(scope)
        if "authorization" not in headers and scope["path"].strip("/").split("/")[0] in (*_HEALTH, "version"):
            return ANONYMOUS
        user = self._access.identify(headers)
        other = impersonated(scope["headers"])
        if other is None:
            return user
        self._authorizer.check(user, Attributes("impersonate", resource="users", name=other.name))
        return other

    def _elsewhere(self, call: Call) -> Answer:
        """Health, version, discovery, OpenAPI."""
        self._authorizer.check(call.user, Attributes("get", path=call.path))
        first = call.path.strip("/").split("/")[0]
        if first in _HEALTH:
            return Reply(b"ok", content_type="text/plain")
        if first == "version":
            return Reply.of(VERSION)
        kinds = self._faces.kinds()
        found = openapi.answer(call, kinds) if first == "openapi" else Discovery(kinds).answer(call, self._address)
        if found is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        return found

    def _about(self, verb: str, call: Call, target: Target) -> Answer:
        """Carries out a request about objects."""
        if is_review(target):
            return self._reviews.answer(call, target)
        face = self._faces.of(target)
        extra = {entry["name"].partition("/")[2] for entry in EXTRA.get(face.kind.resource, ())}
        if target.subresource in extra:
            return self._token(call, target) if target.subresource == "token" else self._pods.answer(verb, call, target)
        if verb == "watch" or (target.watching and verb == "get"):
            return self.watches.stream(call, face, target)
        return self._objects.handle(verb, call, face, target)

    def _token(self, call: Call, target: Target) -> Reply:
        """A token for a service account (`kubectl create token`)."""
        account = self._store.get("serviceaccounts", target.namespace, target.name)
        user = service_account(target.namespace, target.name, account["metadata"]["uid"])
        asked = {name: value for name, value in (call.object().get("spec") or {}).items() if value}
        spec = {"audiences": [_AUDIENCE], "expirationSeconds": _TOKEN_LIFE, **asked}
        if spec["expirationSeconds"] < _SHORTEST_LIFE:
            said = "may not specify a duration less than 10 minutes"
            fault = invalid("spec.expirationSeconds", spec["expirationSeconds"], said)
            raise unprocessable("TokenRequest", "authentication.k8s.io", "", [fault])
        until = self._store.time_in(spec["expirationSeconds"])
        status = {"token": self._access.issue(user), "expirationTimestamp": until}
        meta = {"name": target.name, "namespace": target.namespace}
        body = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": meta}
        return Reply.of({**body, "spec": spec, "status": status}, 201)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`kubectl exec`, the one thing that is spoken over a WebSocket."""
        target = target_of(scope["path"])
        try:
            if target is None or (target.resource, target.subresource) != ("pods", "exec"):
                raise ApiError(404, "NotFound", "the server could not find the requested resource")
            user = self._user(scope)
            asked = Attributes("create", "", "pods", "exec", target.namespace, target.name)
            self._authorizer.check(user, asked)
        except ApiError:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        self._observer(Used(user, asked, 101, headers_of(scope).get("user-agent", "")))
        await self._pods.execute(scope, receive, send, target)


def _named(call: Call) -> str:
    """What an object to be created is called; nothing if the body does not say, or cannot be read."""
    if call.method != "POST":
        return ""
    try:
        meta = call.object().get("metadata")
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


def failed(error: ApiError) -> Reply:
    """The answer that an error is."""
    headers: dict[str, Any] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if error.code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Reply.of(error.status, error.code, **{name.replace("-", "_"): text for name, text in headers.items()})


def _attributes(verb: str, target: Target, call: Call) -> Attributes:
    name = target.name
    if not name and verb in ("list", "watch", "deletecollection"):  # a rule by name also holds for a list of that one
        selected = call.query.get("fieldSelector", "")
        name = selected.removeprefix("metadata.name=") if selected.startswith("metadata.name=") else ""
        name = "" if "," in name else name
    namespace = target.namespace
    if target.resource == "namespaces":
        namespace = target.name
    return Attributes(verb, target.group, target.plural, target.subresource, namespace, name)
