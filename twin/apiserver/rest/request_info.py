"""The resource that a request path names: a collection, an object or a subresource.

Source: `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
"""Subresources of Namespace; any other word at this place of a path is a resource within the namespace."""


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A parsed path `/api/v1/…` or `/apis/GROUP/VERSION/…`.

    Attributes:
        group: API group; empty for core.
        version: API version.
        plural: plural name of the resource.
        namespace: namespace; empty for cluster scope.
        name: name of the object; empty for a collection.
        subresource: subresource, such as `status`.
        watching: the path itself asks for a watch, as in old clients (`/api/v1/watch/…`).
    """

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    watching: bool = False

    @property
    def resource(self) -> str:
        """Resource name as in the store."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """Group and version as in objects."""
        return f"{self.group}/{self.version}" if self.group else self.version


def parse_path(path: str) -> RequestInfo | None:
    """Return the resource of a path, or None for other paths (discovery, health and so on)."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    watching = rest[0] == "watch" and len(rest) > 1
    rest = rest[1:] if watching else rest
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    return RequestInfo(group, version, rest[0], namespace, name, "/".join(rest[2:]), watching)


def request_verb(method: str, info: RequestInfo, query: Mapping[str, str]) -> str:
    """Return the RBAC verb of a request."""
    verb = _VERBS.get(method, method.lower())
    if info.name:
        return verb
    if verb == "get":
        return "watch" if info.watching or query.get("watch") in ("1", "true") else "list"
    return "deletecollection" if verb == "delete" else verb
