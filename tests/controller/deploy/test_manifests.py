"""Shipped manifests: they build, agree with the command, and grant exactly the permissions that are needed."""

import ast
import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any

import pytest
from ruamel.yaml import YAML

from controller.api.labels import MANAGED_BY
from controller.api.types import EVENTS, LEASES, MODEL_ADAPTERS
from controller.client.namespaced import NamespacedClient
from controller.client.rest import RestClient
from controller.clock import SystemClock
from controller.dependencies import Dependencies
from controller.operator import Operator
from controller.options import Options, parse, variable
from controller.preflight import check, required_permissions
from controller.settings import LeaseSettings, Settings
from tests.contract.worlds import a_log
from tests.controller.mock_engines import Engines
from tests.controller.served import Served, serving
from twin.apiserver import Object, Store
from twin.apiserver.rest.auth.authentication import service_account

DEPLOY = Path(__file__).parents[3] / "controller" / "deploy"
SLICES = "endpointslices.discovery.k8s.io"
OVERLAYS = {"whole-cluster": "lora-system", "single-namespace": "models"}
OUTSIDE = {"kubeconfig", "context", "engine_proxy"}  # options for an operator that is not in a pod


def built(folder: Path) -> list[Object]:
    command = [str(Path(sys.executable).with_name("kubectl")), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return [item for item in YAML(typ="safe").load_all(done.stdout) if item]


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> tuple[str, list[Object]]:
    return request.param, built(DEPLOY / "overlays" / request.param)


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [item for item in objects if item["kind"] == kind]


def container(objects: list[Object]) -> Object:
    (deployment,) = of_kind(objects, "Deployment")
    (result,) = deployment["spec"]["template"]["spec"]["containers"]
    assert isinstance(result, dict)
    return result


def test_what_has_one_owner_is_written_with_its_defaults(overlay: tuple[str, list[Object]]) -> None:
    """Otherwise a server-side diff of a Deployment or NetworkPolicy that kubectl has applied itself is a conflict."""
    _, objects = overlay
    references = [item["valueFrom"]["fieldRef"] for item in container(objects)["env"] if "valueFrom" in item]
    assert references
    assert {reference.get("apiVersion") for reference in references} == {"v1"}
    (policy,) = of_kind(objects, "NetworkPolicy")
    rules = [*policy["spec"]["ingress"], *policy["spec"]["egress"]]
    assert all("protocol" in port for rule in rules for port in rule.get("ports", []))


def test_everything_is_in_the_overlays_namespace_and_has_one_name(overlay: tuple[str, list[Object]]) -> None:
    name, objects = overlay
    for item in objects:
        if item["kind"] not in ("Namespace", "ClusterRole", "ClusterRoleBinding"):
            assert item["metadata"]["namespace"] == OVERLAYS[name], item
    for binding in [*of_kind(objects, "RoleBinding"), *of_kind(objects, "ClusterRoleBinding")]:
        assert [(s["name"], s["namespace"]) for s in binding["subjects"]] == [("lora-controller", OVERLAYS[name])]


def test_the_crd_is_not_deleted_with_the_operator(overlay: tuple[str, list[Object]]) -> None:
    assert not of_kind(overlay[1], "CustomResourceDefinition")


def test_two_replicas_serve_a_whole_cluster_and_one_a_namespace(overlay: tuple[str, list[Object]]) -> None:
    (deployment,) = of_kind(overlay[1], "Deployment")
    assert deployment["spec"]["replicas"] == {"whole-cluster": 2, "single-namespace": 1}[overlay[0]]


def test_every_option_is_in_the_deployment_with_its_default(overlay: tuple[str, list[Object]]) -> None:
    variables = {item["name"]: item for item in container(overlay[1])["env"]}
    assert set(variables) == {variable(item.name) for item in fields(Options) if item.name not in OUTSIDE}
    from_pod = {name for name, item in variables.items() if "valueFrom" in item}
    message = parse([], {name: item["value"] for name, item in variables.items() if name not in from_pod})
    assert message == Options()
    scope = {"LORA_CONTROLLER_NAMESPACES"} if overlay[0] == "single-namespace" else set()
    assert from_pod == {"LORA_CONTROLLER_LEADER_ELECT_NAMESPACE", "LORA_CONTROLLER_ACTIVATOR_IP"} | scope


def test_the_container_may_do_nothing_that_it_does_not_need(overlay: tuple[str, list[Object]]) -> None:
    (deployment,) = of_kind(overlay[1], "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert "runAsUser" not in pod["securityContext"], "OpenShift refuses a user outside of the namespace's range"
    assert re.search(r"^USER \d+:\d+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(overlay[1])["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"startupProbe", "livenessProbe", "readinessProbe", "resources"} <= set(container(overlay[1]))
    assert pod["terminationGracePeriodSeconds"] > Options().graceful_shutdown_timeout


def test_selectors_find_the_operators_pods(overlay: tuple[str, list[Object]]) -> None:
    (deployment,) = of_kind(overlay[1], "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        of_kind(overlay[1], "Service")[0]["spec"]["selector"],
        of_kind(overlay[1], "PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"],
        of_kind(overlay[1], "NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector
        assert selector.items() <= labels


def test_monitoring_is_an_option_that_asks_for_metrics_that_exist(tmp_path: Path) -> None:
    from controller.metrics.instruments import Metrics

    inside = DEPLOY / "overlays" / "whole-cluster" / "kustomization.yaml"
    copy = tmp_path / "deploy"
    subprocess.run(["cp", "-r", str(DEPLOY), str(copy)], check=True)
    text = inside.read_text() + "components: [../../components/monitoring]\n"
    (copy / "overlays" / "whole-cluster" / "kustomization.yaml").write_text(text)
    objects = built(copy / "overlays" / "whole-cluster")
    (monitor,), (rule,) = of_kind(objects, "ServiceMonitor"), of_kind(objects, "PrometheusRule")
    assert monitor["spec"]["endpoints"][0]["port"] == of_kind(objects, "Service")[0]["spec"]["ports"][0]["name"]
    names = {sample for metric in Metrics().registry.collect() for sample in (metric.name, f"{metric.name}_total")}
    for alert in rule["spec"]["groups"][0]["rules"]:
        used = set(re.findall(r"\b(?:lora_controller|controller_runtime|workqueue|leader_election)_\w+", alert["expr"]))
        assert used
        assert used <= names, alert["alert"]


def test_the_image_installs_all_that_the_operator_imports() -> None:
    """Return the top-level modules of `controller/` by distribution; `sidecar/test_image.py` tests the sidecar's."""
    imported: set[str] = set()
    for file in (DEPLOY.parent).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    others = imported - set(sys.stdlib_module_names) - {"controller", "formats"}
    named = {"yaml": "pyyaml", "prometheus_client": "prometheus-client"}
    locked = set(re.findall(r"^([a-z0-9-]+)==", (DEPLOY / "requirements.lock").read_text(), re.MULTILINE))
    assert {named.get(name, name) for name in others} <= locked


# -- permissions


def rules_of(objects: list[Object]) -> set[tuple[str, str, str]]:
    """Return (group, resource with subresource, verb) of all rules; the lifecycle checks resourceNames."""
    return {
        (group, resource, verb)
        for role in [*of_kind(objects, "Role"), *of_kind(objects, "ClusterRole")]
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_rules_are_what_the_operator_says_that_it_needs(overlay: tuple[str, list[Object]]) -> None:
    expected = {
        (need.kind.group, f"{need.kind.plural}/{need.subresource}".rstrip("/"), need.verb)
        for need in required_permissions()
        if overlay[0] == "whole-cluster" or need.kind.namespaced
    }
    assert rules_of(overlay[1]) == expected


ASKED_BY_ADMISSION = {(MODEL_ADAPTERS.group, f"{MODEL_ADAPTERS.plural}/finalizers", "update")}
"""Permission that no request uses but an admission plugin requires (`tests/contract/test_real_server.py`)."""


def install(store: Store, objects: list[Object], namespace: str) -> None:
    """Create the overlay's account and rules as an administrator."""
    store.create("namespaces", {"metadata": {"name": namespace}})
    for item in objects:
        if "Role" in item["kind"]:
            store.create(f"{item['kind'].lower()}s.rbac.authorization.k8s.io", item)


def an_engine_pod(store: Store, namespace: str, name: str, ip: str, container_id: str) -> None:
    labels = {"app": "qwen", "adapter.model.aibrix.ai/enabled": "true"}
    spec = {"containers": [{"name": "engine", "image": "vllm/vllm-openai:v1"}]}
    store.create("pods", {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": spec})
    runs(store, namespace, name, ip, container_id)


def runs(store: Store, namespace: str, name: str, ip: str, container_id: str) -> None:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    engine = {
        "name": "engine",
        "containerID": container_id,
        "ready": True,
        "restartCount": 0,
        "image": "v",
        "imageID": "",
    }
    status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [ready]}
    body = {"status": {**status, "containerStatuses": [{**engine, "image": "v", "imageID": ""}]}}
    store.patch("pods", namespace, name, body, subresource="status")


class Life:
    """An operator under the shipped rules, and its user."""

    def __init__(self, served: Served, namespace: str, scoped: bool, engines: Engines) -> None:
        self.served = served
        self.store = served.store
        self.namespace = namespace
        self.scoped = scoped
        self.engines = engines
        self.settings = Settings(
            stable_for=0, elect=True, namespace=namespace, lease=LeaseSettings(duration=3, renew=2, retry=0.2)
        )

    async def while_operating(self, story: Callable[[], Any]) -> None:
        """Run one replica from its start until it is stopped."""
        async with self.served.connection(service_account(self.namespace, "lora-controller")) as connection:
            namespaces = (self.namespace,) if self.scoped else ()
            left_out = await check(connection, namespaces, self.namespace)
            cluster: Any = RestClient(connection, Random(0), a_log())
            if self.scoped:
                cluster = NamespacedClient(cluster, namespaces, left_out)
            operator = Operator(
                Dependencies(
                    client=cluster,
                    transport=self.engines.transport(),
                    clock=SystemClock(),
                    rng=Random(0),
                    settings=self.settings,
                    identity="one",
                    log=a_log(),
                )
            )
            running = asyncio.ensure_future(operator.run())
            await story()
            operator.stop()
            await running

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(400):
            if holds():
                return
            await asyncio.sleep(0.02)
        raise AssertionError("it never came true")

    def phase(self, name: str) -> str:
        adapter = self.store.get(f"{MODEL_ADAPTERS.plural}.{MODEL_ADAPTERS.group}", self.namespace, name)
        return str((adapter.get("status") or {}).get("phase"))

    def event(self, reason: str) -> int:
        """Return the number of events."""
        result = self.store.list(f"{EVENTS.plural}.{EVENTS.group}", namespace=self.namespace).items
        return sum((item.get("series") or {}).get("count", 1) for item in result if item["reason"] == reason)

    def slices(self) -> int:
        return len(self.store.list(SLICES, namespace=self.namespace).items)


async def lifecycle(life: Life) -> None:
    """The whole lifecycle of an adapter: loaded with a key, engine restarted, moved, published, deleted."""
    store, namespace = life.store, life.namespace
    an_engine_pod(store, namespace, "qwen-0", "10.0.0.1", "containerd://1")
    an_engine_pod(store, namespace, "qwen-1", "fd00::1", "containerd://2")
    spec = {
        "podSelector": {"matchLabels": {"app": "qwen"}},
        "artifactURL": "hf://acme/sql",
        "apiKeySecretRef": {"name": "key", "key": "k"},
    }
    adapters = f"{MODEL_ADAPTERS.plural}.{MODEL_ADAPTERS.group}"

    async def arrives() -> None:
        store.create(adapters, {"metadata": {"name": "sql", "namespace": namespace}, "spec": spec})
        await life.until(lambda: life.event("SecretNotFound") == 1)
        store.create("secrets", {"metadata": {"name": "key", "namespace": namespace}, "stringData": {"k": "sk-1"}})
        await life.until(lambda: life.phase("sql") == "Running" and life.slices() == 2 and life.event("Loaded") == 2)
        store.patch("services", namespace, "sql", {"spec": {"selector": {"app": "other"}}})
        await life.until(lambda: not store.get("services", namespace, "sql")["spec"].get("selector"))
        name = store.list(SLICES, namespace=namespace).items[0]["metadata"]["name"]
        store.patch(SLICES, namespace, name, {"metadata": {"labels": {MANAGED_BY: None}}})
        await life.until(lambda: MANAGED_BY in store.get(SLICES, namespace, name)["metadata"]["labels"])
        for container_id in ("containerd://3", "containerd://4"):  # the engine restarts in place, and forgets
            loaded = life.event("Loaded")
            life.engines.held["10.0.0.1"].clear()
            runs(store, namespace, "qwen-0", "10.0.0.1", container_id)
            await life.until(lambda loaded=loaded: life.event("Loaded") > loaded)
        store.delete("pods", namespace, "qwen-1", grace_period=0)
        await life.until(lambda: life.slices() == 1)

    async def is_found_again_and_leaves() -> None:
        loaded = life.event("Loaded")
        life.engines.held["10.0.0.1"].clear()
        runs(store, namespace, "qwen-0", "10.0.0.1", "containerd://5")
        await life.until(lambda: life.event("Loaded") > loaded)
        store.delete(adapters, namespace, "sql")
        await life.until(lambda: not store.list(adapters, namespace=namespace).items)

    await life.while_operating(arrives)
    await life.while_operating(is_found_again_and_leaves)


def test_under_the_shipped_rules_nothing_is_refused_and_nothing_is_idle(
    overlay: tuple[str, list[Object]], tmp_path: Path
) -> None:
    name, objects = overlay
    namespace = OVERLAYS[name]

    async def story() -> set[tuple[str, str, str]]:
        async with serving(tmp_path) as served, asyncio.timeout(60):
            install(served.store, objects, namespace)
            await lifecycle(Life(served, namespace, name == "single-namespace", Engines()))
            mine = [used for used in served.used if used.user.name.endswith(":lora-controller")]
            refused = {str(used.attributes) for used in mine if used.code == 403}
            assert not refused
            return {
                (
                    used.attributes.group,
                    f"{used.attributes.resource}/{used.attributes.subresource}".rstrip("/"),
                    used.attributes.verb,
                )
                for used in mine
                if used.attributes.group != "authorization.k8s.io"
            }

    used = {item for item in asyncio.run(story()) if item[1]}
    assert used == rules_of(objects) - ASKED_BY_ADMISSION


def test_leases_of_others_are_out_of_reach(overlay: tuple[str, list[Object]]) -> None:
    (role,) = [role for role in of_kind(overlay[1], "Role") if role["metadata"]["name"].endswith("-lease")]
    named = [rule for rule in role["rules"] if "create" not in rule["verbs"]]
    assert all(rule["resourceNames"] == ["lora-controller"] for rule in named)
    assert all(rule["apiGroups"] == [LEASES.group] for rule in role["rules"])
