"""What a path of the API names: a collection, an object, or a part of an object.

Source: `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OF_NAMESPACES = ("status", "finalize")
"""Subresources of Namespace: what stands there otherwise is a kind within the namespace."""


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """One of `/api/v1/…` or `/apis/GROUP/VERSION/…`."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    watching: bool = False
    """Whether the path itself asks for a watch, as old clients do (`/api/v1/watch/…`)."""

    @property
    def resource(self) -> str:
        """The name used with the store."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """Group and version as objects name them."""
        return f"{self.group}/{self.version}" if self.group else self.version


def parse_path(path: str) -> RequestInfo | None:
    """The info of a path; None if it names no kind of object (discovery, health and the like)."""
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
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _OF_NAMESPACES:
            rest = rest[2:]
        else:
            namespace = ""
    name = rest[1] if len(rest) > 1 else ""
    return RequestInfo(group, version, rest[0], namespace, name, "/".join(rest[2:]), watching)


def request_verb(method: str, info: RequestInfo, query: Mapping[str, str]) -> str:
    """The verb that RBAC knows the request by."""
    verb = _VERBS.get(method, method.lower())
    if info.name:
        return verb
    if verb == "get":
        return "watch" if info.watching or query.get("watch") in ("1", "true") else "list"
    return "deletecollection" if verb == "delete" else verb
