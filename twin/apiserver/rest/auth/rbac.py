"""RBAC: Role, ClusterRole and their bindings, as they are in the store at the time of a request.

Source: `k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac` and `pkg/apis/rbac/v1/evaluation_helpers.go`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from twin.apiserver.meta.errors import ApiError, Object
from twin.apiserver.meta.selectors import label_selector
from twin.apiserver.rest.auth.authentication import AUTHENTICATED, User
from twin.apiserver.storage.store import Store

GROUP = "rbac.authorization.k8s.io"
_PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version", "/api", "/apis", "/openapi")
"""Paths that `system:discovery` and `system:public-info-viewer` allow to every user."""
_SELF_REVIEWS = ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews")
"""Reviews that `system:basic-user` allows to every authenticated user."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes of a request (`authorizer.Attributes`).

    Attributes:
        verb: RBAC verb.
        group: API group.
        resource: plural of the resource.
        subresource: subresource, or empty.
        namespace: namespace; empty for cluster scope.
        name: name of the object; empty for all objects.
        path: path of a request that is not about objects.
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def qualified_resource(self) -> str:
        """Resource as in rules: `pods` or `pods/log`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Authorizer:
    """Evaluates the rules in a store, without a cache."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, user: User, attributes: Attributes) -> bool:
        """Return whether any rule allows the request."""
        if user.is_master:
            return True
        if attributes.path and attributes.verb == "get" and _is_public(attributes.path):
            return True
        if attributes.resource in _SELF_REVIEWS and attributes.verb == "create" and AUTHENTICATED in user.groups:
            return True
        return any(_covers(rule, attributes) for rule in self.rules(user, attributes.namespace))

    def check(self, user: User, attributes: Attributes) -> None:
        """Check that a rule allows the request.

        Raises:
            ApiError: 403 with the message of a real server.
        """
        if not self.allows(user, attributes):
            raise _forbidden(user, attributes)

    def rules(self, user: User, namespace: str) -> Iterator[Object]:
        """Yield the rules of a user in a namespace (empty = cluster scope)."""
        for binding in self._store.list(f"clusterrolebindings.{GROUP}").items:
            if _binds(binding, user):
                yield from self._rules_of(binding, "")
        if not namespace:
            return
        for binding in self._store.list(f"rolebindings.{GROUP}", namespace=namespace).items:
            if _binds(binding, user):
                yield from self._rules_of(binding, namespace)

    def _rules_of(self, binding: Object, namespace: str) -> Sequence[Object]:
        reference = binding.get("roleRef") or {}
        plural = "roles" if reference.get("kind") == "Role" else "clusterroles"
        try:
            role = self._store.get(f"{plural}.{GROUP}", namespace if plural == "roles" else "", reference["name"])
        except (ApiError, KeyError):
            return ()
        return [*(role.get("rules") or ()), *self._aggregated(role)]

    def _aggregated(self, role: Object) -> Iterator[Object]:
        """Yield the rules of roles that an aggregation rule selects; a real controller copies them into the role."""
        for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
            matches = label_selector(selector)
            for other in self._store.list(f"clusterroles.{GROUP}").items:
                if matches(other["metadata"].get("labels") or {}):
                    yield from other.get("rules") or ()


def _binds(binding: Object, user: User) -> bool:
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name")
        if kind == "User" and name in (user.name, "*"):
            return True
        if kind == "Group" and name in user.groups:
            return True
        namespace = subject.get("namespace") or binding["metadata"].get("namespace", "")
        if kind == "ServiceAccount" and user.name == f"system:serviceaccount:{namespace}:{name}":
            return True
    return False


def _covers(rule: Object, attributes: Attributes) -> bool:
    if not _allows(rule.get("verbs"), attributes.verb):
        return False
    if attributes.path:
        return any(_path_matches(url, attributes.path) for url in rule.get("nonResourceURLs") or ())
    if not _allows(rule.get("apiGroups"), attributes.group) or not _resource_matches(
        rule.get("resources") or (), attributes
    ):
        return False
    names = rule.get("resourceNames") or ()
    return not names or (bool(attributes.name) and attributes.name in names)


def _allows(allowed: Any, value: str) -> bool:
    return "*" in (allowed or ()) or value in (allowed or ())


def _resource_matches(allowed: Sequence[str], attributes: Attributes) -> bool:
    if "*" in allowed or attributes.qualified_resource in allowed:
        return True
    return bool(attributes.subresource) and f"*/{attributes.subresource}" in allowed


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def _is_public(path: str) -> bool:
    return any(path == prefix or path.startswith(prefix + "/") for prefix in _PUBLIC_PATHS)


def _forbidden(user: User, attributes: Attributes) -> ApiError:
    who = f'User "{user.name}" cannot {attributes.verb}'
    if attributes.path:
        return ApiError(403, "Forbidden", f'forbidden: {who} path "{attributes.path}"')
    scope = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    qualified = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    named = f'{qualified} "{attributes.name}"' if attributes.name else qualified
    about = f'resource "{attributes.qualified_resource}" in API group "{attributes.group}"'
    message = f"{named} is forbidden: {who} {about} {scope}"
    details = {"name": attributes.name, "group": attributes.group, "kind": attributes.resource}
    return ApiError(403, "Forbidden", message, details={key: text for key, text in details.items() if text})
