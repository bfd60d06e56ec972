"""Checks of a cluster before the operator starts; a failed check is one line.

Without them the operator would log the same error forever. Problems that appear later (a permission is removed, the
server is unreachable) are handled while running, with backoff and log lines.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from controller.api.types import (
    ENDPOINT_SLICES,
    EVENTS,
    GROUP,
    LEASES,
    MODEL_ADAPTERS,
    NODES,
    PODS,
    SECRETS,
    SERVICES,
    Kind,
    ModelAdapterSpec,
    ModelAdapterStatus,
)
from controller.client.interface import Client, ClientError, Forbidden, NotFound, Unavailable
from controller.client.transport import Connection
from controller.runtime.leaderelection import LEASE_NAME

_CRD = f"{MODEL_ADAPTERS.plural}.{GROUP}"
_INSTALL = "kubectl apply --server-side -f controller/deploy/crd.yaml"


class PreflightError(Exception):
    """The operator cannot start on this cluster; the message is one line."""


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission in a rule of a Role."""

    verb: str
    kind: Kind[Any]
    subresource: str = ""

    @property
    def resource(self) -> str:
        """Return the resource as kubectl writes it."""
        group = f".{self.kind.group}" if self.kind.group else ""
        sub = f"/{self.subresource}" if self.subresource else ""
        return f"{self.kind.plural}{group}{sub}"


OPTIONAL = Permission("watch", SECRETS)
"""Without it the operator polls Secrets (`secret_watcher.py`)."""


def required_permissions() -> list[Permission]:
    """Return all permissions that the operator uses; the shipped Role grants exactly these."""
    verbs: list[tuple[Kind[Any], str, str]] = [
        (MODEL_ADAPTERS, "", "list watch patch"),
        (MODEL_ADAPTERS, "status", "patch"),
        (MODEL_ADAPTERS, "finalizers", "update"),
        (PODS, "", "list watch"),
        (NODES, "", "list watch"),
        (SERVICES, "", "list watch create patch"),
        (ENDPOINT_SLICES, "", "get list watch create patch delete"),
        (SECRETS, "", "get watch"),
        (EVENTS, "", "get create patch"),
        (LEASES, "", "get create patch"),
    ]
    return [Permission(verb, kind, sub) for kind, sub, names in verbs for verb in names.split()]


async def check(connection: Connection, namespaces: Sequence[str], lease_namespace: str) -> frozenset[str]:
    """Check the server, the CRD and the permissions; return the kinds to omit (`nodes`).

    Raises:
        PreflightError: if the operator cannot work on this cluster.
    """
    try:
        await connection.request("GET", "/version")
        await _check_crd(connection)
        missing = await _missing(connection, namespaces or [""], lease_namespace)
    except Forbidden as error:
        raise PreflightError(f"{connection.server}: the credentials are not valid or have expired: {error}") from None
    except Unavailable as error:
        text = str(error)
        raise PreflightError(text if text.startswith(connection.server) else f"{connection.server}: {text}") from None
    omitted = (
        frozenset({NODES.plural})
        if namespaces and any(permission.kind is NODES for permission, _ in missing)
        else frozenset()
    )
    required = [pair for pair in missing if pair[0].kind.plural not in omitted and pair[0] != OPTIONAL]
    if required:
        raise PreflightError(
            f"the operator's account may not {_describe(required)}; apply the shipped Role or add these rules"
        )
    return omitted


# -- the CRD


class _Resource(msgspec.Struct):
    name: str


class _Resources(msgspec.Struct):
    resources: list[_Resource] = []


async def _check_crd(connection: Connection) -> None:
    root = f"/apis/{MODEL_ADAPTERS.api_version}"
    try:
        resources = msgspec.json.decode(await connection.request("GET", root), type=_Resources)
    except NotFound:
        raise PreflightError(f"the CustomResourceDefinition {_CRD} is not installed: {_INSTALL}") from None
    names = {item.name for item in resources.resources}
    if MODEL_ADAPTERS.plural not in names:
        raise PreflightError(f"the CustomResourceDefinition {_CRD} is not installed: {_INSTALL}")
    lacking = [f"the subresource {sub}" for sub in ("status", "scale") if f"{MODEL_ADAPTERS.plural}/{sub}" not in names]
    lacking += await _missing_fields(connection)
    if lacking:
        raise PreflightError(
            f"the CustomResourceDefinition {_CRD} has another version: it lacks {', '.join(lacking)}; {_INSTALL}"
        )


async def _missing_fields(connection: Connection) -> list[str]:
    """Return the fields that the operator uses and the installed schema lacks; the server would drop them silently."""
    try:
        document = await connection.request("GET", f"/openapi/v3/apis/{MODEL_ADAPTERS.api_version}")
    except (NotFound, Forbidden):
        return []  # the server publishes no schema: the fields are not checked
    schemas = msgspec.json.decode(document, type=_Document).components.schemas
    schema = next((item for name, item in schemas.items() if name.endswith(f".{MODEL_ADAPTERS.kind}")), None)
    if schema is None:
        return []
    lacking = []
    for part, struct in (("spec", ModelAdapterSpec), ("status", ModelAdapterStatus)):
        installed = schema.properties.get(part, _Schema()).properties
        names = [item.encode_name for item in msgspec.structs.fields(struct)]
        lacking += [f"{part}.{name}" for name in names if name not in installed]
    return lacking


class _Schema(msgspec.Struct):
    properties: dict[str, "_Schema"] = {}


class _Schemas(msgspec.Struct):
    schemas: dict[str, _Schema] = {}


class _Document(msgspec.Struct):
    components: _Schemas = msgspec.field(default_factory=_Schemas)


# -- permissions


class _ReviewStatus(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    status: _ReviewStatus = msgspec.field(default_factory=_ReviewStatus)


async def _missing(
    connection: Connection, namespaces: Sequence[str], lease_namespace: str
) -> list[tuple[Permission, str]]:
    """Return the permissions that the account lacks, each with its place (` in NAMESPACE`)."""
    pairs: list[tuple[Permission, str]] = []
    for permission in required_permissions():
        kind = permission.kind
        scope = [lease_namespace] if kind is LEASES else list(namespaces) if kind.namespaced else [""]
        pairs += [(permission, namespace) for namespace in scope]
    allowed = await asyncio.gather(*(_is_allowed(connection, *pair) for pair in pairs))
    missing = [pair for pair, is_allowed in zip(pairs, allowed, strict=True) if not is_allowed]
    return [(permission, f" in {namespace}" if namespace else "") for permission, namespace in missing]


def _describe(missing: Sequence[tuple[Permission, str]]) -> str:
    """Return `list, watch pods in team-a; get secrets in team-a`, in the order of the rules."""
    verbs: dict[str, list[str]] = {}
    for permission, place in missing:
        verbs.setdefault(f"{permission.resource}{place}", []).append(permission.verb)
    return "; ".join(f"{', '.join(names)} {resource}" for resource, names in verbs.items())


async def _is_allowed(connection: Connection, permission: Permission, namespace: str) -> bool:
    attributes = {
        "verb": permission.verb,
        "group": permission.kind.group,
        "resource": permission.kind.plural,
        "subresource": permission.subresource,
        "namespace": namespace,
        # a rule may be limited to the operator's Lease; a create request has no name
        "name": LEASE_NAME if permission.kind is LEASES and permission.verb != "create" else "",
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    try:
        response = await connection.request("POST", path, None, review)
    except (Forbidden, NotFound):
        return True  # the server does not support reviews: a missing permission shows in use
    return msgspec.json.decode(response, type=_Review).status.allowed


# -- other operators


async def check_no_other_operator(client: Client, namespace: str) -> None:
    """Check, without leader election, that no other operator renews the Lease.

    Raises:
        PreflightError: if another operator does.
    """
    try:
        lease = await client.get(LEASES, namespace, LEASE_NAME)
    except NotFound:
        return
    if not lease.spec.holder_identity:
        return
    await asyncio.sleep(lease.spec.lease_duration_seconds)
    try:
        later = await client.get(LEASES, namespace, LEASE_NAME)
    except ClientError as error:
        raise PreflightError(f"the Lease {namespace}/{LEASE_NAME} cannot be read: {error}") from None
    if later.spec.holder_identity and later.metadata.resource_version != lease.metadata.resource_version:
        raise PreflightError(
            f"another operator ({later.spec.holder_identity}) is running: it holds the Lease {namespace}/{LEASE_NAME}; "
            "stop it, or start this one with --leader-elect"
        )
