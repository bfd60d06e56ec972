"""The operator on a real API server, for what the twin does not have: admission plugins, quotas, backups of etcd."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from controller.api.types import MODEL_ADAPTERS, SERVICES, Kind, Resource
from controller.client.config import Kubeconfig
from controller.client.interface import Client
from controller.client.ratelimit import rate_limits
from controller.client.rest import RestClient
from controller.client.transport import Connection
from controller.clock import SystemClock
from controller.settings import LeaseSettings, Settings
from tests.contract import live
from tests.contract.cluster import Cluster
from tests.contract.conftest import Opening
from tests.contract.live import Server
from tests.contract.worlds import World, a_log, draws
from twin.apiserver import Object

QUOTAS = Kind(type=Resource, kind="ResourceQuota", plural="resourcequotas")
ROLES = Kind(type=Resource, group="rbac.authorization.k8s.io", kind="Role", plural="roles")
BINDINGS = Kind(type=Resource, group="rbac.authorization.k8s.io", kind="RoleBinding", plural="rolebindings")


@pytest.fixture
def world(server: Server) -> Opening:
    return partial(live.on, server)


@pytest.fixture
def account(server: Server) -> Path:
    if server.account is None:
        pytest.skip("the server has no account for the operator")
    return server.account


@asynccontextmanager
async def client_of(kubeconfig: Path) -> AsyncIterator[Client]:
    access = Kubeconfig(str(kubeconfig), "", SystemClock())
    async with Connection(access, limits=rate_limits(), timeout=30, rng=draws()) as connection:
        yield RestClient(connection, draws(), a_log())


def shipped_rules() -> list[Object]:
    text = (files("controller") / "deploy/overlays/single-namespace/role.yaml").read_text()
    role = next(item for item in YAML(typ="safe").load_all(text) if item["kind"] == "Role")
    rules: list[Object] = role["rules"]
    return rules


async def grant(world: World, rules: list[Object]) -> None:
    """Give these rules to the operator's account, in the test's namespace."""
    name = {"metadata": {"name": "lora-controller"}}
    await world.create(ROLES, {**name, "rules": rules})
    reference = {"apiGroup": ROLES.group, "kind": "Role", "name": "lora-controller"}
    user = {"kind": "ServiceAccount", "name": "lora-controller", "namespace": "lora-system"}
    await world.create(BINDINGS, {**name, "roleRef": reference, "subjects": [user]})


async def test_the_shipped_role_suffices_where_owners_are_checked(world: World, account: Path) -> None:
    """OpenShift enables OwnerReferencesPermissionEnforcement, and so does this server."""
    await grant(world, shipped_rules())
    async with client_of(account) as client:
        cluster = Cluster(world, client)
        await cluster.add_pod("qwen-0", "10.0.0.1")
        await cluster.add_adapter()
        async with cluster.operating():
            await cluster.until(cluster.is_running)
            assert await cluster.published() == ["10.0.0.1"]


async def test_a_role_without_finalizers_is_told_in_the_servers_words(world: World, account: Path) -> None:
    await grant(world, [rule for rule in shipped_rules() if "modeladapters/finalizers" not in rule["resources"]])
    async with client_of(account) as client:
        cluster = Cluster(world, client)
        await cluster.add_pod("qwen-0", "10.0.0.1")
        await cluster.add_adapter()
        async with cluster.operating():
            await cluster.until(lambda: says(cluster, "PublicationForbidden", "cannot set blockOwnerDeletion"))


async def says(cluster: Cluster, reason: str, words: str) -> bool:
    current, message = await cluster.condition("Bound")
    return current == reason and words in message


async def test_a_quota_is_told_in_the_servers_words(world: World) -> None:
    hard = {"hard": {"count/services": "0"}}
    await world.create(QUOTAS, {"metadata": {"name": "team"}, "spec": hard})
    await world.patch(QUOTAS, "team", {"status": {**hard, "used": {"count/services": "0"}}}, "status")
    cluster = Cluster(world)
    await cluster.add_pod("qwen-0", "10.0.0.1")
    await cluster.add_adapter()
    async with cluster.operating():
        await cluster.until(lambda: says(cluster, "QuotaExceeded", "exceeded quota: team"))


# -- a backup of etcd


@pytest.mark.parametrize("elect", [False, True], ids=["alone", "elected"])
def test_an_operator_works_on_after_etcd_was_restored_from_a_backup(
    server: Server, elect: bool, tmp_path: Path
) -> None:
    """The versions of the server go back, what was written since the backup is gone, and watches are silent."""
    if server.restored_afterwards is None:
        pytest.skip("etcd of a cluster in use is not restored")
    asyncio.run(_restored(server, elect))


async def _restored(server: Server, elect: bool) -> None:
    async with live.on(server) as world:
        cluster = Cluster(world)
        await cluster.add_pod("qwen-0", "10.0.0.1")
        await cluster.add_adapter("kept")
        lease = LeaseSettings(duration=3, renew=2, retry=0.2)
        settings = Settings(stable_for=0, elect=elect, namespace=world.namespace, lease=lease)
        async with cluster.operating(settings):
            await cluster.until(lambda: cluster.is_running("kept"))
            assert server.restored_afterwards is not None
            async with server.restored_afterwards():
                await cluster.add_adapter("lost")
                await cluster.until(lambda: cluster.is_running("lost"))
                for number in range(200):
                    await world.patch(MODEL_ADAPTERS, "lost", {"metadata": {"labels": {"n": str(number)}}})
            assert await cluster.adapter("lost") is None
            await cluster.add_adapter("later")
            await cluster.until(lambda: cluster.is_running("later"))
            await world.patch(SERVICES, "kept", {"spec": {"publishNotReadyAddresses": True}})
            await cluster.until(lambda: is_repaired(world))


async def is_repaired(world: World) -> bool:
    return not (await world.client.get(SERVICES, world.namespace, "kept")).spec.publish_not_ready_addresses
