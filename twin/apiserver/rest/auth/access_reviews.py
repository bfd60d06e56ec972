"""Questions about access: `kubectl auth can-i`, `auth whoami`, and what webhooks and proxies ask.

Sources: `k8s.io/api/authorization/v1`, `k8s.io/api/authentication/v1`. Nothing is stored.
"""

from twin.apiserver.errors import Object, bad_request
from twin.apiserver.rest.auth.authentication import Access, User
from twin.apiserver.rest.auth.rbac import Attributes, Authorizer
from twin.apiserver.rest.discovery import REVIEWS
from twin.apiserver.rest.http import Call, Reply
from twin.apiserver.rest.request_info import Target

_EVERYTHING: Object = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
_EVERYWHERE: Object = {"verbs": ["*"], "nonResourceURLs": ["*"]}


def is_review(target: Target) -> bool:
    """Whether a path names a kind that is only asked."""
    return any(target.plural == plural for plural, _, _ in REVIEWS.get(target.group, ()))


class Reviews:
    """Answers questions about access."""

    def __init__(self, access: Access, authorizer: Authorizer) -> None:
        self._access = access
        self._authorizer = authorizer

    def answer(self, call: Call, target: Target) -> Reply:
        """The review with its status filled in."""
        body = call.object()
        spec = body.get("spec") or {}
        match target.plural:
            case "selfsubjectaccessreviews":
                status = self._decided(call.user, spec)
            case "subjectaccessreviews" | "localsubjectaccessreviews":
                status = self._decided(User(str(spec.get("user", "")), tuple(spec.get("groups") or ())), spec)
            case "selfsubjectrulesreviews":
                status = self._rules(call.user, str(spec.get("namespace", "")))
            case "tokenreviews":
                status = self._token(str(spec.get("token", "")))
            case _:
                status = {"userInfo": _info(call.user)}
        kind = next(kind for plural, kind, _ in REVIEWS[target.group] if plural == target.plural)
        shown = {key: value for key, value in body.items() if key != "status"}
        identity = {"kind": kind, "apiVersion": target.api_version, "metadata": {}}
        return Reply.of({**shown, **identity, "status": status}, 201)

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
        user = self._access.user_of(token)
        return {"authenticated": False} if user is None else {"authenticated": True, "user": _info(user)}


def _info(user: User) -> Object:
    return {"username": user.name, "groups": list(user.groups), **({"uid": user.uid} if user.uid else {})}
