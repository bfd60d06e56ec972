"""What there is: groups, versions and kinds, one by one or all at once (aggregated discovery).

Sources: Kubernetes' API concepts, "Discovery API"; `k8s.io/api/apidiscovery/v2`.
"""

from collections.abc import Sequence

from twin.apiserver.meta.errors import ApiError, Object
from twin.apiserver.rest.http import Request, Response
from twin.apiserver.schema.resource_types import ResourceType

_GROUP = "apidiscovery.k8s.io"
_AGGREGATED = "APIGroupDiscoveryList"
_PATCH_AND_READ = ("get", "patch", "update")
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
VERSION: Object = {
    "major": "1",
    "minor": "33",
    "gitVersion": "v1.33.0+lora-twin",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "lora-twin",
}
EXTRA: dict[str, tuple[Object, ...]] = {
    "pods": (
        {"name": "pods/log", "kind": "Pod", "verbs": ["get"]},
        {"name": "pods/exec", "kind": "PodExecOptions", "verbs": ["create", "get"]},
        {"name": "pods/eviction", "kind": "Eviction", "group": "policy", "version": "v1", "verbs": ["create"]},
        {"name": "pods/binding", "kind": "Binding", "verbs": ["create"]},
    ),
    "serviceaccounts": (
        {
            "name": "serviceaccounts/token",
            "kind": "TokenRequest",
            "group": "authentication.k8s.io",
            "version": "v1",
            "verbs": ["create"],
        },
    ),
}
"""Subresources that are done outside the store."""
REVIEWS: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "authentication.k8s.io": (
        ("selfsubjectreviews", "SelfSubjectReview", False),
        ("tokenreviews", "TokenReview", False),
    ),
    "authorization.k8s.io": (
        ("localsubjectaccessreviews", "LocalSubjectAccessReview", True),
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview", False),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview", False),
        ("subjectaccessreviews", "SubjectAccessReview", False),
    ),
}
"""Kinds that are only asked, never stored: plural, kind, whether in a namespace."""


class Discovery:
    """Answers of one moment's kinds."""

    def __init__(self, kinds: Sequence[ResourceType]) -> None:
        self._kinds = kinds

    def answer(self, request: Request, address: str) -> Response | None:
        """The answer to a discovery path, None if it is none."""
        match request.path.strip("/").split("/"):
            case ["api"]:
                if version := _aggregated(request):
                    return self._list(version, [""])
                return Response.of(
                    {
                        "kind": "APIVersions",
                        "versions": ["v1"],
                        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
                    }
                )
            case ["apis"]:
                if version := _aggregated(request):
                    return self._list(version, self._groups())
                groups = [self._group(group) for group in self._groups()]
                return Response.of({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
            case ["apis", group]:
                self._known(group, group in self._groups())
                return Response.of({"kind": "APIGroup", "apiVersion": "v1", **self._group(group)})
            case ["api", version]:
                return self._resources("", version)
            case ["apis", group, version]:
                return self._resources(group, version)
        return None

    def _groups(self) -> list[str]:
        return sorted({kind.group for kind in self._kinds if kind.group} | REVIEWS.keys())

    def _versions(self, group: str) -> list[str]:
        return sorted({kind.version for kind in self._kinds if kind.group == group} or {"v1"})

    def _group(self, group: str) -> Object:
        versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in self._versions(group)]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _known(self, what: str, known: bool) -> None:
        if not known:
            raise ApiError(404, "NotFound", f"the server could not find the requested resource ({what})")

    def _resources(self, group: str, version: str) -> Response:
        self._known(f"{group}/{version}", group in ("", *self._groups()) and version in self._versions(group))
        found = [each for kind in self._of(group, version) for each in _resources(kind)]
        for plural, kind, namespaced in REVIEWS.get(group, ()):
            found.append(_entry(plural, kind, namespaced, ["create"]))
        group_version = f"{group}/{version}" if group else version
        return Response.of(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": found}
        )

    def _of(self, group: str, version: str) -> list[ResourceType]:
        found = [kind for kind in self._kinds if (kind.group, kind.version) == (group, version)]
        return sorted(found, key=lambda kind: kind.plural)

    def _list(self, version: str, groups: Sequence[str]) -> Response:
        items = []
        for group in groups:
            versions = [
                {"version": each, "freshness": "Current", "resources": self._discovered(group, each)}
                for each in self._versions(group)
            ]
            items.append({"metadata": {"name": group, "creationTimestamp": None}, "versions": versions})
        body = {"kind": _AGGREGATED, "apiVersion": f"{_GROUP}/{version}", "metadata": {}, "items": items}
        reply = Response.of(body)
        return Response(reply.body, content_type=f"application/json;g={_GROUP};v={version};as={_AGGREGATED}")

    def _discovered(self, group: str, version: str) -> list[Object]:
        found = [_discovered(kind) for kind in self._of(group, version)]
        for plural, kind, namespaced in REVIEWS.get(group, ()):
            found.append(
                {
                    "resource": plural,
                    "responseKind": {"group": group, "version": "v1", "kind": kind},
                    "scope": "Namespaced" if namespaced else "Cluster",
                    "singularResource": kind.lower(),
                    "verbs": ["create"],
                }
            )
        return found


def _aggregated(request: Request) -> str:
    """The version of aggregated discovery that the client takes, if any, before the plain form."""
    for each in request.accepted():
        if each.form == _AGGREGATED and each.group == _GROUP and each.version in ("v2", "v2beta1"):
            return each.version
        if not each.form:
            return ""
    return ""


def _entry(plural: str, kind: str, namespaced: bool, verbs: Sequence[str], singular: str = "") -> Object:
    return {"name": plural, "singularName": singular, "namespaced": namespaced, "kind": kind, "verbs": list(verbs)}


def _resources(kind: ResourceType) -> list[Object]:
    """A kind and its subresources, as APIResourceList has them."""
    main = _entry(kind.plural, kind.kind, kind.namespaced, VERBS, kind.singular or kind.kind.lower())
    if kind.short_names:
        main["shortNames"] = list(kind.short_names)
    if kind.categories:
        main["categories"] = list(kind.categories)
    found = [main]
    for name in kind.subresources:
        entry = _entry(f"{kind.plural}/{name}", kind.kind, kind.namespaced, _PATCH_AND_READ)
        if name == "scale":
            entry |= {"kind": "Scale", "group": "autoscaling", "version": "v1"}
        found.append(entry)
    found += [{"singularName": "", "namespaced": kind.namespaced, **each} for each in EXTRA.get(kind.resource, ())]
    return found


def _discovered(kind: ResourceType) -> Object:
    """A kind as aggregated discovery has it."""
    own = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    found: Object = {
        "resource": kind.plural,
        "responseKind": own,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular or kind.kind.lower(),
        "verbs": list(VERBS),
    }
    if kind.short_names:
        found["shortNames"] = list(kind.short_names)
    if kind.categories:
        found["categories"] = list(kind.categories)
    parts = []
    for entry in _resources(kind)[1:]:
        shown = {
            "group": entry.get("group", kind.group),
            "version": entry.get("version", kind.version),
            "kind": entry["kind"],
        }
        parts.append({"subresource": entry["name"].partition("/")[2], "responseKind": shown, "verbs": entry["verbs"]})
    return {**found, "subresources": parts} if parts else found
