"""Questions about access: `kubectl auth can-i`, `auth whoami`, and what webhooks and proxies ask.

Sources: `k8s.io/api/authorization/v1`, `k8s.io/api/authentication/v1`. Nothing is stored.
"""

from twin.apiserver.meta.errors import Object, bad_request
from twin.apiserver.rest.auth.authentication import TokenAuthenticator, User
from twin.apiserver.rest.auth.rbac import Attributes, Authorizer
from twin.apiserver.rest.discovery import REVIEWS
from twin.apiserver.rest.http import Request, Response
from twin.apiserver.rest.request_info import RequestInfo

_EVERYTHING: Object = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
_EVERYWHERE: Object = {"verbs": ["*"], "nonResourceURLs": ["*"]}


def is_review(info: RequestInfo) -> bool:
    """Whether a path names a kind that is only asked."""
    return any(info.plural == plural for plural, _, _ in REVIEWS.get(info.group, ()))


class AccessReviews:
    """Answers questions about access."""

    def __init__(self, access: TokenAuthenticator, authorizer: Authorizer) -> None:
        self._access = access
        self._authorizer = authorizer

    def answer(self, request: Request, info: RequestInfo) -> Response:
        """The review with its status filled in."""
        body = request.object()
        spec = body.get("spec") or {}
        match info.plural:
            case "selfsubjectaccessreviews":
                status = self._decided(request.user, spec)
            case "subjectaccessreviews" | "localsubjectaccessreviews":
                status = self._decided(User(str(spec.get("user", "")), tuple(spec.get("groups") or ())), spec)
            case "selfsubjectrulesreviews":
                status = self._rules(request.user, str(spec.get("namespace", "")))
            case "tokenreviews":
                status = self._token(str(spec.get("token", "")))
            case _:
                status = {"userInfo": _info(request.user)}
        kind = next(kind for plural, kind, _ in REVIEWS[info.group] if plural == info.plural)
        shown = {key: value for key, value in body.items() if key != "status"}
        identity = {"kind": kind, "apiVersion": info.api_version, "metadata": {}}
        return Response.of({**shown, **identity, "status": status}, 201)

    def _decided(self, user: User, spec: Object) -> Object:
        if asked := spec.get("resourceAttributes"):
            fields = ("verb", "group", "resource", "subresource", "namespace", "name")
            wanted = Attributes(**{field: str(asked.get(field, "")) for field in fields})
        elif asked := spec.get("nonResourceAttributes"):
            wanted = Attributes(str(asked.get("verb", "")), path=str(asked.get("path", "")))
        else:
            raise bad_request("exactly one of spec.resourceAttributes and spec.nonResourceAttributes is needed")
        return {"allowed": self._authorizer.allows(user, wanted)}

    def _rules(self, user: User, namespace: str) -> Object:
        if user.is_master:
            return {"resourceRules": [_EVERYTHING], "nonResourceRules": [_EVERYWHERE], "incomplete": False}
        found = list(self._authorizer.rules(user, namespace))
        return {
            "resourceRules": [rule for rule in found if "nonResourceURLs" not in rule],
            "nonResourceRules": [rule for rule in found if "nonResourceURLs" in rule],
            "incomplete": False,
        }

    def _token(self, token: str) -> Object:
        user = self._access.user_for_token(token)
        return {"authenticated": False} if user is None else {"authenticated": True, "user": _info(user)}


def _info(user: User) -> Object:
    return {"username": user.name, "groups": list(user.groups), **({"uid": user.uid} if user.uid else {})}
