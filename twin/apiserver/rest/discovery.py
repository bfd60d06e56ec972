"""Discovery: the served groups, versions and kinds, one by one or all at once (aggregated discovery).

Sources: Kubernetes' API concepts, "Discovery API"; `k8s.io/api/apidiscovery/v2`.
"""

from collections.abc import Sequence

from starlette.responses import Response

from twin.apiserver.codec.body import encode_json
from twin.apiserver.meta.errors import ApiError, Object
from twin.apiserver.rest.auth.access_reviews import REVIEWS
from twin.apiserver.rest.http import Request, bytes_response, json_response
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
SUBRESOURCES: dict[str, tuple[Object, ...]] = {
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
"""Subresources that the store does not handle."""


class Discovery:
    """Responses to discovery requests."""

    def __init__(self, kinds: Sequence[ResourceType]) -> None:
        self._kinds = kinds

    def respond(self, request: Request, address: str) -> Response | None:
        """Return the response to a discovery path, or None for other paths."""
        match request.path.strip("/").split("/"):
            case ["api"]:
                if version := _aggregated_version(request):
                    return self._aggregated_list(version, [""])
                cidrs = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
                versions = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": cidrs}
                return json_response(versions)
            case ["apis"]:
                if version := _aggregated_version(request):
                    return self._aggregated_list(version, self._groups())
                groups = [self._group(group) for group in self._groups()]
                return json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
            case ["apis", group]:
                self._require(group, group in self._groups())
                return json_response({"kind": "APIGroup", "apiVersion": "v1", **self._group(group)})
            case ["api", version]:
                return self._resource_list("", version)
            case ["apis", group, version]:
                return self._resource_list(group, version)
        return None

    def _groups(self) -> list[str]:
        return sorted({kind.group for kind in self._kinds if kind.group} | REVIEWS.keys())

    def _versions(self, group: str) -> list[str]:
        return sorted({kind.version for kind in self._kinds if kind.group == group} or {"v1"})

    def _group(self, group: str) -> Object:
        versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in self._versions(group)]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _require(self, path: str, exists: bool) -> None:
        if not exists:
            raise ApiError(404, "NotFound", f"the server could not find the requested resource ({path})")

    def _resource_list(self, group: str, version: str) -> Response:
        self._require(f"{group}/{version}", group in ("", *self._groups()) and version in self._versions(group))
        resources = [entry for kind in self._kinds_of(group, version) for entry in _resources(kind)]
        for review in REVIEWS.get(group, ()):
            resources.append(_entry(review.plural, review.kind, review.namespaced, ["create"]))
        group_version = f"{group}/{version}" if group else version
        return json_response(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}
        )

    def _kinds_of(self, group: str, version: str) -> list[ResourceType]:
        kinds = [kind for kind in self._kinds if (kind.group, kind.version) == (group, version)]
        return sorted(kinds, key=lambda kind: kind.plural)

    def _aggregated_list(self, version: str, groups: Sequence[str]) -> Response:
        items = []
        for group in groups:
            versions = [
                {"version": name, "freshness": "Current", "resources": self._aggregated_resources(group, name)}
                for name in self._versions(group)
            ]
            items.append({"metadata": {"name": group, "creationTimestamp": None}, "versions": versions})
        body = {"kind": _AGGREGATED, "apiVersion": f"{_GROUP}/{version}", "metadata": {}, "items": items}
        return bytes_response(encode_json(body), f"application/json;g={_GROUP};v={version};as={_AGGREGATED}")

    def _aggregated_resources(self, group: str, version: str) -> list[Object]:
        resources = [_aggregated_resource(kind) for kind in self._kinds_of(group, version)]
        for review in REVIEWS.get(group, ()):
            resources.append(
                {
                    "resource": review.plural,
                    "responseKind": {"group": group, "version": "v1", "kind": review.kind},
                    "scope": "Namespaced" if review.namespaced else "Cluster",
                    "singularResource": review.kind.lower(),
                    "verbs": ["create"],
                }
            )
        return resources


def _aggregated_version(request: Request) -> str:
    """Return the version of aggregated discovery that the client prefers to the plain form, or ""."""
    for accepted in request.accepted():
        if accepted.form == _AGGREGATED and accepted.group == _GROUP and accepted.version in ("v2", "v2beta1"):
            return accepted.version
        if not accepted.form:
            return ""
    return ""


def _entry(plural: str, kind: str, namespaced: bool, verbs: Sequence[str], singular: str = "") -> Object:
    return {"name": plural, "singularName": singular, "namespaced": namespaced, "kind": kind, "verbs": list(verbs)}


def _resources(kind: ResourceType) -> list[Object]:
    """Return the entries of a kind and its subresources in an APIResourceList."""
    main = _entry(kind.plural, kind.kind, kind.namespaced, VERBS, kind.singular or kind.kind.lower())
    if kind.short_names:
        main["shortNames"] = list(kind.short_names)
    if kind.categories:
        main["categories"] = list(kind.categories)
    entries = [main]
    for name in kind.subresources:
        entry = _entry(f"{kind.plural}/{name}", kind.kind, kind.namespaced, _PATCH_AND_READ)
        if name == "scale":
            entry |= {"kind": "Scale", "group": "autoscaling", "version": "v1"}
        entries.append(entry)
    for subresource in SUBRESOURCES.get(kind.resource, ()):
        entries.append({"singularName": "", "namespaced": kind.namespaced, **subresource})
    return entries


def _aggregated_resource(kind: ResourceType) -> Object:
    """Return the entry of a kind in aggregated discovery."""
    resource: Object = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular or kind.kind.lower(),
        "verbs": list(VERBS),
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    subresources = []
    for entry in _resources(kind)[1:]:
        response_kind = {
            "group": entry.get("group", kind.group),
            "version": entry.get("version", kind.version),
            "kind": entry["kind"],
        }
        name = entry["name"].partition("/")[2]
        subresources.append({"subresource": name, "responseKind": response_kind, "verbs": entry["verbs"]})
    return {**resource, "subresources": subresources} if subresources else resource
