"""Checks of the operator before it starts, and their error lines."""

import asyncio
import copy
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest

from controller.api.types import LEASES, Lease, LeaseSpec, ObjectMeta
from controller.client.config import Kubeconfig
from controller.client.ratelimit import rate_limits
from controller.client.rest import RestClient
from controller.client.transport import Connection
from controller.clock import SystemClock
from controller.preflight import (
    OPTIONAL,
    Permission,
    PreflightError,
    check,
    check_no_other_operator,
    required_permissions,
)
from tests.contract.worlds import a_log, crd
from tests.controller.api_server import kubeconfig
from tests.controller.served import serving
from twin.apiserver import Store
from twin.apiserver.rest import User
from twin.apiserver.rest.auth.authentication import service_account

OPERATOR = service_account("operators", "lora-controller")


def grant(store: Store, namespace: str, *, without: Permission | None = None, only_in: bool = False) -> None:
    """Grant the operator's account everything that it needs except one permission."""
    rules = [
        {
            "apiGroups": [need.kind.group],
            "resources": [f"{need.kind.plural}/{need.subresource}" if need.subresource else need.kind.plural],
            "verbs": [need.verb],
        }
        for need in required_permissions()
        if need != without and not (only_in and not need.kind.namespaced)
    ]
    kind = "Role" if only_in else "ClusterRole"
    meta = {"name": "lora", **({"namespace": namespace} if only_in else {})}
    binding = {
        "metadata": meta,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "lora"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "operators", "name": "lora-controller"}],
    }
    store.create(f"{kind.lower()}s.rbac.authorization.k8s.io", {"metadata": meta, "rules": rules})
    store.create(f"{kind.lower()}bindings.rbac.authorization.k8s.io", binding)


def checked(
    folder: Path,
    *,
    user: User | None = None,
    definition: Any = None,
    prepare: Any = lambda store: None,
    namespaces: tuple[str, ...] = (),
) -> frozenset[str]:
    async def story() -> frozenset[str]:
        async with serving(folder, definition=definition) as served:
            prepare(served.store)
            async with served.connection(user) as connection:
                return await check(connection, namespaces, "default")

    return asyncio.run(story())


def refused(folder: Path, **how: Any) -> str:
    with pytest.raises(PreflightError) as caught:
        checked(folder, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_administrator_on_a_cluster_with_the_crd_may_start(tmp_path: Path) -> None:
    assert checked(tmp_path) == frozenset()


def test_a_crd_that_is_not_installed_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    line = refused(tmp_path, definition={})
    assert "modeladapters.model.aibrix.ai is not installed: kubectl apply" in line


def test_an_older_crd_is_told_by_the_fields_that_it_lacks(tmp_path: Path) -> None:
    older = copy.deepcopy(crd())
    schema = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    del schema["spec"]["properties"]["apiKeySecretRef"]
    schema["spec"].pop("x-kubernetes-validations", None)
    del schema["status"]["properties"]["candidates"]
    line = refused(tmp_path, definition=older)
    assert "it lacks spec.apiKeySecretRef, status.candidates;" in line


def test_a_crd_without_its_subresources_is_of_another_version(tmp_path: Path) -> None:
    older = copy.deepcopy(crd())
    del older["spec"]["versions"][0]["subresources"]["scale"]
    assert "it lacks the subresource scale;" in refused(tmp_path, definition=older)


def test_the_whole_role_is_enough(tmp_path: Path) -> None:
    assert checked(tmp_path, user=OPERATOR, prepare=lambda store: grant(store, "default")) == frozenset()


def test_a_role_that_may_not_watch_secrets_is_enough(tmp_path: Path) -> None:
    def prepare(store: Store) -> None:
        grant(store, "default", without=OPTIONAL)

    assert checked(tmp_path, user=OPERATOR, prepare=prepare) == frozenset()


@pytest.mark.parametrize(
    "missing",
    [need for need in required_permissions() if need != OPTIONAL],
    ids=lambda need: f"{need.verb} {need.resource}",
)
def test_a_role_that_is_too_small_is_told_by_the_verb_that_is_missing(missing: Permission, tmp_path: Path) -> None:
    line = refused(tmp_path, user=OPERATOR, prepare=lambda store: grant(store, "default", without=missing))
    assert re.search(
        rf"may not {missing.verb} {re.escape(missing.resource)}( in default)?; apply the shipped Role", line
    )


def test_an_account_without_any_role_is_told_everything_that_is_missing(tmp_path: Path) -> None:
    line = refused(tmp_path, user=OPERATOR)
    assert all(need.resource in line for need in required_permissions())
    assert (
        "may not list, watch, patch modeladapters.model.aibrix.ai; patch modeladapters.model.aibrix.ai/status" in line
    )


def test_in_one_namespace_its_role_is_enough_and_nodes_are_left_out(tmp_path: Path) -> None:
    result = checked(
        tmp_path,
        user=OPERATOR,
        namespaces=("default",),
        prepare=lambda store: grant(store, "default", only_in=True),
    )
    assert result == {"nodes"}


def test_a_role_of_another_namespace_is_not_enough(tmp_path: Path) -> None:
    def prepare(store: Store) -> None:
        store.create("namespaces", {"metadata": {"name": "team-a"}})
        grant(store, "default", only_in=True)

    line = refused(tmp_path, user=OPERATOR, namespaces=("default", "team-a"), prepare=prepare)
    assert "list, watch pods in team-a" in line
    assert "pods in default" not in line


@pytest.mark.parametrize("token", ["expired", ""])
def test_credentials_that_are_refused_are_said_to_be(token: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as served:
            file = kubeconfig(tmp_path, served.url, {"token": token} if token else None)
            access = Kubeconfig(str(file), "", SystemClock())
            async with Connection(access, limits=rate_limits(), timeout=5, rng=Random(0)) as connection:
                with pytest.raises(PreflightError, match="credentials are not valid or have expired"):
                    await check(connection, (), "default")

    asyncio.run(story())


def test_a_server_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    async def story() -> None:
        file = kubeconfig(tmp_path, "http://127.0.0.1:1", {"token": "t"})
        access = Kubeconfig(str(file), "", SystemClock())
        async with Connection(access, limits=rate_limits(), timeout=5, rng=Random(0)) as connection:
            with pytest.raises(PreflightError) as caught:
                await check(connection, (), "default")
        assert str(caught.value).count("127.0.0.1:1") == 1

    asyncio.run(story())


def a_lease(holder: str, seconds: int = 1) -> Lease:
    spec = LeaseSpec(holder_identity=holder, lease_duration_seconds=seconds)
    return Lease(metadata=ObjectMeta(name="lora-controller", namespace="default"), spec=spec)


@pytest.mark.parametrize("holder", [None, "", "dead"])
def test_without_election_an_operator_starts_where_none_is_at_work(holder: str | None, tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as served, served.connection() as connection:
            cluster = RestClient(connection, Random(0), a_log())
            if holder is not None:
                await cluster.create(LEASES, a_lease(holder))
            await check_no_other_operator(cluster, "default")

    asyncio.run(story())


def test_without_election_an_operator_refuses_to_start_beside_another(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as served, served.connection() as connection:
            cluster = RestClient(connection, Random(0), a_log())
            await cluster.create(LEASES, a_lease("other"))
            looking = asyncio.ensure_future(check_no_other_operator(cluster, "default"))
            await asyncio.sleep(0.2)
            timestamp = {"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}
            await cluster.patch(LEASES, "default", "lora-controller", timestamp)
            with pytest.raises(PreflightError, match=r"another operator \(other\) is running"):
                await looking

    asyncio.run(story())
