"""Whether a user may do something: Role, ClusterRole and their bindings, as they are in the store at that moment.

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
_EVERYBODY = ("/healthz", "/livez", "/readyz", "/version", "/api", "/apis", "/openapi")
"""What `system:discovery` and `system:public-info-viewer` give every user, on every cluster."""
_ABOUT_ONESELF = ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews")
"""What `system:basic-user` lets everybody ask."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What somebody wants to do; `path` if it is not about objects."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def qualified_resource(self) -> str:
        """`pods` or `pods/log`, as rules write it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Authorizer:
    """Evaluates the rules in a store; nothing is remembered from one question to the next."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, user: User, asked: Attributes) -> bool:
        """Whether any rule lets the user do it."""
        if user.is_master:
            return True
        if asked.path and asked.verb == "get" and _public(asked.path):
            return True
        if asked.resource in _ABOUT_ONESELF and asked.verb == "create" and AUTHENTICATED in user.groups:
            return True
        return any(_covers(rule, asked) for rule in self.rules(user, asked.namespace))

    def check(self, user: User, asked: Attributes) -> None:
        """Raises ApiError 403 in a real server's words if no rule lets the user do it."""
        if not self.allows(user, asked):
            raise _forbidden(user, asked)

    def rules(self, user: User, namespace: str) -> Iterator[Object]:
        """The rules that hold for a user, in a namespace or (empty) at the cluster's scope."""
        for binding in self._store.list(f"clusterrolebindings.{GROUP}").items:
            if _names(binding, user):
                yield from self._rules_of(binding, "")
        if not namespace:
            return
        for binding in self._store.list(f"rolebindings.{GROUP}", namespace=namespace).items:
            if _names(binding, user):
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
        """Rules of the roles that an aggregation rule selects; a real controller copies them into the role."""
        for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
            wanted = label_selector(selector)
            for other in self._store.list(f"clusterroles.{GROUP}").items:
                if wanted(other["metadata"].get("labels") or {}):
                    yield from other.get("rules") or ()


def _names(binding: Object, user: User) -> bool:
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


def _covers(rule: Object, asked: Attributes) -> bool:
    if not _any(rule.get("verbs"), asked.verb):
        return False
    if asked.path:
        return any(_path_matches(url, asked.path) for url in rule.get("nonResourceURLs") or ())
    if not _any(rule.get("apiGroups"), asked.group) or not _resource_matches(rule.get("resources") or (), asked):
        return False
    names = rule.get("resourceNames") or ()
    return not names or (bool(asked.name) and asked.name in names)


def _any(allowed: Any, wanted: str) -> bool:
    return "*" in (allowed or ()) or wanted in (allowed or ())


def _resource_matches(allowed: Sequence[str], asked: Attributes) -> bool:
    if "*" in allowed or asked.qualified_resource in allowed:
        return True
    return bool(asked.subresource) and f"*/{asked.subresource}" in allowed


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def _public(path: str) -> bool:
    return any(path == each or path.startswith(each + "/") for each in _EVERYBODY)


def _forbidden(user: User, asked: Attributes) -> ApiError:
    who = f'User "{user.name}" cannot {asked.verb}'
    if asked.path:
        return ApiError(403, "Forbidden", f'forbidden: {who} path "{asked.path}"')
    scope = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    qualified = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    named = f'{qualified} "{asked.name}"' if asked.name else qualified
    message = f'{named} is forbidden: {who} resource "{asked.qualified_resource}" in API group "{asked.group}" {scope}'
    details = {"name": asked.name, "group": asked.group, "kind": asked.resource}
    return ApiError(403, "Forbidden", message, details={key: text for key, text in details.items() if text})
