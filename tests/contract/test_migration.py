"""The commands of docs/clusters.md for coming from AIBrix and going back, run by kubectl while a client asks.

AIBrix's controller is played: it leaves objects before, and writes its slices after the way back. Engines store names.
"""

import asyncio
import os
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from controller.api.types import ENDPOINT_SLICES
from tests.contract import envtest, live
from tests.contract.aibrix import as_aibrix_leaves_it, lax, write_slice
from tests.contract.cluster import Cluster
from tests.contract.conftest import Opening
from tests.contract.worlds import World, crd
from tests.docs.test_commands import blocks

ROOT = Path(__file__).parents[2]
ADAPTERS = ("sql", "rust")
HERE, BACK = "From AIBrix's controller to this operator", "Back to AIBrix's controller"
MANAGER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: aibrix-controller-manager, namespace: aibrix-system}
spec:
  selector: {matchLabels: {control-plane: controller-manager}}
  template:
    metadata: {labels: {control-plane: controller-manager}}
    spec: {containers: [{name: manager, image: aibrix/controller-manager}]}
"""


@pytest.fixture(scope="module")
def alone() -> Iterator[live.Server]:
    """A real API server of its own, since the commands change the whole cluster."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets or (problem := envtest.missing(Path(assets))):
        pytest.skip(problem if assets else "no API server: set KUBEBUILDER_ASSETS (etcd, kube-apiserver)")
    with envtest.run_server(Path(assets)) as running:
        asyncio.run(live.install_crd(running))
        yield running


@pytest.fixture(params=["served", "real"])
def kubeconfig(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    server = request.getfixturevalue("alone") if request.param == "real" else None
    return tmp_path / "kubeconfig" if server is None else server.kubeconfig


@pytest.fixture
def world(request: pytest.FixtureRequest, kubeconfig: Path) -> Opening:
    if request.node.callspec.params["kubeconfig"] == "real":
        return partial(live.on, request.getfixturevalue("alone"))
    return partial(live.served, kubeconfig)


class Kubectl:
    """Runs commands as they are written in the page, in the folder of a checkout."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(folder)}
        self._folder = folder
        (folder / "controller").symlink_to(ROOT / "controller")
        definition = folder / "AIBRIX/config/crd/model/model.aibrix.ai_modeladapters.yaml"
        definition.parent.mkdir(parents=True)
        with definition.open("w", encoding="utf-8") as out:
            YAML(typ="safe", pure=True).dump(dict(lax(crd())), out)

    async def run(self, command: str, stdin: str = "") -> str:
        program, *arguments = shlex.split(command)
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name(program)),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
            cwd=self._folder,
        )
        output, _ = await process.communicate(stdin.encode())
        assert process.returncode == 0, f"$ {command}\n{output.decode()}"
        return output.decode()


class Migration:
    """Plays everything beside kubectl: the two controllers, which the commands stop and start."""

    def __init__(self, cluster: Cluster, kubectl: Kubectl, operator: AsyncExitStack) -> None:
        self._cluster, self._kubectl, self._operator = cluster, kubectl, operator

    async def follow(self, section: str) -> None:
        """Run the commands of a section."""
        for command in blocks("clusters.md", "console", section):
            if command.startswith("kubectl delete -k"):
                command += " --dry-run=server"  # no controller here would empty the namespace
            await self._kubectl.run(command)
            if command.startswith("kubectl apply -k"):
                await self._operator.enter_async_context(self._cluster.operating())
                for name in ADAPTERS:
                    await self._cluster.until(partial(self._is_taken_over, name))
            elif "deployment/lora-controller --replicas=0" in command:
                await self._operator.aclose()
            elif "deployment/aibrix-controller-manager --replicas=1" in command:
                for name in ADAPTERS:
                    await write_slice(self._cluster, name)

    async def _is_taken_over(self, name: str) -> bool:
        """Return whether a slice of this operator is the only one, and the event is there."""
        slices = [item.metadata.name for item in await self._cluster.slices(name)]
        events = await self._kubectl.run("kubectl get events -A --field-selector reason=TakenOver")
        return len(slices) == 1 and slices[0] != name and f"modeladapter/{name}" in events


@asynccontextmanager
async def asking(cluster: Cluster, failures: list[str]) -> AsyncIterator[None]:
    """Ask for each adapter at each address that its Service has, again and again until the end of the block."""

    async def ask() -> None:
        while True:
            for name in ADAPTERS:
                addresses = await cluster.published(name)
                holders = cluster.engines.holders(name)
                if not addresses or not set(addresses) <= set(holders):
                    failures.append(f"{name} is published at {addresses} and loaded at {holders}")
            await asyncio.sleep(0.05)

    task = asyncio.ensure_future(ask())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_page_changes_controllers_and_back_without_a_failed_request_or_a_second_load(
    world: World, kubeconfig: Path, tmp_path: Path
) -> None:
    cluster, kubectl = Cluster(world), Kubectl(kubeconfig, tmp_path)
    await kubectl.run("kubectl create namespace aibrix-system")
    await kubectl.run("kubectl apply -f -", MANAGER)
    for number in (1, 2):
        await cluster.add_pod(f"qwen-{number}", f"10.0.0.{number}")
    await world.define(lax(crd()))
    for name in ADAPTERS:
        cluster.engines.held.setdefault("10.0.0.1", {})[name] = f"acme/{name}"
        await as_aibrix_leaves_it(cluster, name, "qwen-1")
    failures: list[str] = []
    async with asking(cluster, failures), AsyncExitStack() as operator:
        migration = Migration(cluster, kubectl, operator)
        await migration.follow(HERE)
        await migration.follow(BACK)
        slices = await world.client.list(ENDPOINT_SLICES, namespace=world.namespace)
        assert sorted(item.metadata.name for item in slices.items) == sorted(ADAPTERS)
        await migration.follow(HERE)
    assert failures == []
    assert cluster.engines.loads == []
