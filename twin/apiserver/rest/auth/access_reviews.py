"""Access reviews: `kubectl auth can-i`, `auth whoami`, and the reviews that webhooks and proxies create.

Nothing is stored. Sources: `k8s.io/api/authorization/v1`, `k8s.io/api/authentication/v1`.
"""

from typing import NamedTuple

from twin.apiserver.meta.errors import Object, bad_request
from twin.apiserver.rest.auth.authentication import TokenAuthenticator, User
from twin.apiserver.rest.auth.rbac import Attributes, Authorizer


class ReviewType(NamedTuple):
    """A kind that can only be created, and is answered instead of stored."""

    plural: str
    kind: str
    namespaced: bool


REVIEWS: dict[str, tuple[ReviewType, ...]] = {
    "authentication.k8s.io": (
        ReviewType("selfsubjectreviews", "SelfSubjectReview", namespaced=False),
        ReviewType("tokenreviews", "TokenReview", namespaced=False),
    ),
    "authorization.k8s.io": (
        ReviewType("localsubjectaccessreviews", "LocalSubjectAccessReview", namespaced=True),
        ReviewType("selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False),
        ReviewType("selfsubjectrulesreviews", "SelfSubjectRulesReview", namespaced=False),
        ReviewType("subjectaccessreviews", "SubjectAccessReview", namespaced=False),
    ),
}
"""Reviews by API group."""
_ALL_RESOURCES: Object = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
_ALL_URLS: Object = {"verbs": ["*"], "nonResourceURLs": ["*"]}


def review_type(group: str, plural: str) -> ReviewType | None:
    """Return the review of that group and plural, or None."""
    return next((review for review in REVIEWS.get(group, ()) if review.plural == plural), None)


class AccessReviews:
    """Answers access reviews."""

    def __init__(self, authenticator: TokenAuthenticator, authorizer: Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer

    def review(self, review: ReviewType, api_version: str, user: User, body: Object) -> Object:
        """Return `body` with its status, as requested by `user`."""
        spec = body.get("spec") or {}
        match review.plural:
            case "selfsubjectaccessreviews":
                status = self._access(user, spec)
            case "subjectaccessreviews" | "localsubjectaccessreviews":
                status = self._access(User(str(spec.get("user", "")), tuple(spec.get("groups") or ())), spec)
            case "selfsubjectrulesreviews":
                status = self._rules(user, str(spec.get("namespace", "")))
            case "tokenreviews":
                status = self._token(str(spec.get("token", "")))
            case _:
                status = {"userInfo": _user_info(user)}
        fields = {key: value for key, value in body.items() if key != "status"}
        identity = {"kind": review.kind, "apiVersion": api_version, "metadata": {}}
        return {**fields, **identity, "status": status}

    def _access(self, user: User, spec: Object) -> Object:
        if resource := spec.get("resourceAttributes"):
            fields = ("verb", "group", "resource", "subresource", "namespace", "name")
            attributes = Attributes(**{field: str(resource.get(field, "")) for field in fields})
        elif url := spec.get("nonResourceAttributes"):
            attributes = Attributes(str(url.get("verb", "")), path=str(url.get("path", "")))
        else:
            raise bad_request("exactly one of spec.resourceAttributes and spec.nonResourceAttributes is needed")
        return {"allowed": self._authorizer.allows(user, attributes)}

    def _rules(self, user: User, namespace: str) -> Object:
        if user.is_master:
            return {"resourceRules": [_ALL_RESOURCES], "nonResourceRules": [_ALL_URLS], "incomplete": False}
        rules = list(self._authorizer.rules(user, namespace))
        return {
            "resourceRules": [rule for rule in rules if "nonResourceURLs" not in rule],
            "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
            "incomplete": False,
        }

    def _token(self, token: str) -> Object:
        user = self._authenticator.user_for_token(token)
        return {"authenticated": False} if user is None else {"authenticated": True, "user": _user_info(user)}


def _user_info(user: User) -> Object:
    return {"username": user.name, "groups": list(user.groups), **({"uid": user.uid} if user.uid else {})}
