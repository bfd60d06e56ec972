"""What has to be true of a cluster before the operator starts: said in one line if it is not.

An operator that starts anyway would log the same failure for ever. What changes later (a role that shrinks, a server
that goes) is met while running, with back-off and a line in the log.
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
    """The operator cannot start on this cluster; one line says why and what to do."""


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission, as a Role gives it."""

    verb: str
    kind: Kind[Any]
    subresource: str = ""

    @property
    def resource(self) -> str:
        """As kubectl writes it."""
        group = f".{self.kind.group}" if self.kind.group else ""
        sub = f"/{self.subresource}" if self.subresource else ""
        return f"{self.kind.plural}{group}{sub}"


CAN_DO_WITHOUT = Permission("watch", SECRETS)
"""Changed Secrets are then looked for, not heard of (`secretwatch.py`)."""


def required_permissions() -> list[Permission]:
    """Every permission that the operator uses; the shipped Role gives exactly these."""
    verbs: list[tuple[Kind[Any], str, str]] = [
        (MODEL_ADAPTERS, "", "list watch patch"),
        (MODEL_ADAPTERS, "status", "patch"),
        (PODS, "", "list watch"),
        (NODES, "", "list watch"),
        (SERVICES, "", "get list watch create patch"),
        (ENDPOINT_SLICES, "", "list watch create patch delete"),
        (SECRETS, "", "get watch"),
        (EVENTS, "", "get create patch"),
        (LEASES, "", "get create patch"),
    ]
    return [Permission(verb, kind, sub) for kind, sub, listed in verbs for verb in listed.split()]


async def check(connection: Connection, namespaces: Sequence[str], lease_namespace: str) -> frozenset[str]:
    """Looks at the server, the CRD and the account's permissions; returns which kinds may be left out (`nodes`).

    Raises:
        PreflightError: the operator cannot work there.
    """
    try:
        await connection.request("GET", "/version")
        await _check_crd(connection)
        missing = await _missing(connection, namespaces or [""], lease_namespace)
    except Forbidden as error:
        raise PreflightError(f"{connection.server}: the credentials are refused, or have expired: {error}") from None
    except Unavailable as error:
        text = str(error)
        raise PreflightError(text if text.startswith(connection.server) else f"{connection.server}: {text}") from None
    left_out = (
        frozenset({NODES.plural}) if namespaces and any(need.kind is NODES for need, _ in missing) else frozenset()
    )
    lacking = [(need, where) for need, where in missing if need.kind.plural not in left_out and need != CAN_DO_WITHOUT]
    if lacking:
        raise PreflightError(
            f"the operator's account may not {_told(lacking)}; apply the shipped Role, or add these rules"
        )
    return left_out


# -- the CRD


class _Resource(msgspec.Struct):
    name: str


class _Resources(msgspec.Struct):
    resources: list[_Resource] = []


async def _check_crd(connection: Connection) -> None:
    root = f"/apis/{MODEL_ADAPTERS.api_version}"
    try:
        listed = msgspec.json.decode(await connection.request("GET", root), type=_Resources)
    except NotFound:
        raise PreflightError(f"the CustomResourceDefinition {_CRD} is not installed: {_INSTALL}") from None
    names = {item.name for item in listed.resources}
    if MODEL_ADAPTERS.plural not in names:
        raise PreflightError(f"the CustomResourceDefinition {_CRD} is not installed: {_INSTALL}")
    lacking = [f"the subresource {sub}" for sub in ("status", "scale") if f"{MODEL_ADAPTERS.plural}/{sub}" not in names]
    lacking += await _missing_fields(connection)
    if lacking:
        raise PreflightError(
            f"the CustomResourceDefinition {_CRD} is of another version: it lacks {', '.join(lacking)}; {_INSTALL}"
        )


async def _missing_fields(connection: Connection) -> list[str]:
    """What this operator reads or writes and the installed schema would drop without a word."""
    try:
        document = await connection.request("GET", f"/openapi/v3/apis/{MODEL_ADAPTERS.api_version}")
    except (NotFound, Forbidden):
        return []  # a server that publishes no schema to us: the fields stay unchecked
    schemas = msgspec.json.decode(document, type=_Document).components.schemas
    schema = next((item for name, item in schemas.items() if name.endswith(f".{MODEL_ADAPTERS.kind}")), None)
    if schema is None:
        return []
    lacking = []
    for part, struct in (("spec", ModelAdapterSpec), ("status", ModelAdapterStatus)):
        known = schema.properties.get(part, _Schema()).properties
        wanted = [item.encode_name for item in msgspec.structs.fields(struct)]
        lacking += [f"{part}.{name}" for name in wanted if name not in known]
    return lacking


class _Schema(msgspec.Struct):
    properties: dict[str, "_Schema"] = {}


class _Schemas(msgspec.Struct):
    schemas: dict[str, _Schema] = {}


class _Document(msgspec.Struct):
    components: _Schemas = msgspec.field(default_factory=_Schemas)


# -- permissions


class _Verdict(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    status: _Verdict = msgspec.field(default_factory=_Verdict)


async def _missing(
    connection: Connection, namespaces: Sequence[str], lease_namespace: str
) -> list[tuple[Permission, str]]:
    """What the account may not do, and where."""
    asked: list[tuple[Permission, str]] = []
    for need in required_permissions():
        places = [lease_namespace] if need.kind is LEASES else list(namespaces) if need.kind.namespaced else [""]
        asked += [(need, place) for place in places]
    verdicts = await asyncio.gather(*(_may(connection, need, place) for need, place in asked))
    lacking = [pair for pair, allowed in zip(asked, verdicts, strict=True) if not allowed]
    return [(need, f" in {place}" if place else "") for need, place in lacking]


def _told(lacking: Sequence[tuple[Permission, str]]) -> str:
    """`list and watch pods in team-a; get secrets in team-a`: by resource and place, in the order of the rules."""
    verbs: dict[str, list[str]] = {}
    for need, where in lacking:
        verbs.setdefault(f"{need.resource}{where}", []).append(need.verb)
    return "; ".join(f"{', '.join(names)} {what}" for what, names in verbs.items())


async def _may(connection: Connection, need: Permission, namespace: str) -> bool:
    attributes = {
        "verb": need.verb,
        "group": need.kind.group,
        "resource": need.kind.plural,
        "subresource": need.subresource,
        "namespace": namespace,
        # a rule may be for our Lease alone; which name is asked for, a create does not say
        "name": LEASE_NAME if need.kind is LEASES and need.verb != "create" else "",
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    try:
        answer = await connection.request("POST", path, None, review)
    except (Forbidden, NotFound):
        return True  # a server that does not say: what is missing shows when it is used
    return msgspec.json.decode(answer, type=_Review).status.allowed


# -- the only one


async def check_no_other_operator(cluster: Client, namespace: str) -> None:
    """Without leader election: whether another operator is at work, seen by a Lease that moves.

    Raises:
        PreflightError: there is one.
    """
    try:
        lease = await cluster.get(LEASES, namespace, LEASE_NAME)
    except NotFound:
        return
    if not lease.spec.holder_identity:
        return
    await asyncio.sleep(lease.spec.lease_duration_seconds)
    try:
        later = await cluster.get(LEASES, namespace, LEASE_NAME)
    except ClientError as error:
        raise PreflightError(f"the Lease {namespace}/{LEASE_NAME} cannot be read: {error}") from None
    if later.spec.holder_identity and later.metadata.resource_version != lease.metadata.resource_version:
        raise PreflightError(
            f"another operator ({later.spec.holder_identity}) is at work: it holds the Lease {namespace}/{LEASE_NAME}; "
            "stop it, or start this one with --leader-elect"
        )
