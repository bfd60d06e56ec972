"""The Helm chart makes the objects of the manifests for kubectl; what Helm makes of it is recorded (`make chart`)."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lora_twin.version import UNTAGGED
from tests.controller.deploy.record_chart import CASES, CHART, COPIES, DEPLOY, IMAGE, RECORDINGS, digest, render
from tests.controller.deploy.test_manifests import built, container, of_kind

OF_HELM = {"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"}
NAME = "app.kubernetes.io/name"


def recorded(case: str) -> list[dict[str, Any]]:
    return [item for item in YAML(typ="safe").load_all((RECORDINGS / f"{case}.yaml").read_text()) if item]


def comparable(objects: list[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return objects by kind, namespace and name, without what differs on purpose.

    These are Helm's labels, the registry of the image, and the name's label, which kustomize gives to the base only.
    """
    result = {}
    for item in objects:
        meta, template = item["metadata"], _template(item)
        meta["labels"] = {k: v for k, v in meta.get("labels", {}).items() if k not in {*OF_HELM, NAME}}
        if template:
            labels = template["metadata"]["labels"]
            template["metadata"]["labels"] = {k: v for k, v in labels.items() if k not in OF_HELM}
            for part in template["spec"]["containers"]:
                part["image"] = part["image"].removeprefix("registry.example.com/")
                part["env"] = sorted(part["env"], key=lambda variable: str(variable["name"]))
        if item["kind"] not in ("Namespace", "CustomResourceDefinition"):
            result[item["kind"], meta.get("namespace", ""), meta["name"]] = item
    return result


def _template(item: dict[str, Any]) -> dict[str, Any]:
    template = item.get("spec", {}).get("template", {})
    return template if isinstance(template, dict) else {}


@pytest.mark.parametrize("name", COPIES)
def test_the_charts_copies_are_the_originals(name: str) -> None:
    assert (CHART / "files" / name).read_bytes() == COPIES[name].read_bytes(), "run `make chart`"


@pytest.mark.parametrize("case", CASES)
def test_the_recordings_are_of_this_chart(case: str) -> None:
    assert (RECORDINGS / f"{case}.yaml").read_text().partition("\n")[0].endswith(f"chart {digest()}"), (
        "run `make chart`"
    )


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")
@pytest.mark.parametrize("case", CASES)
def test_helm_makes_the_recorded_objects(case: str) -> None:
    assert [item for item in YAML(typ="safe").load_all(render(case)) if item] == recorded(case)


def test_by_default_the_chart_is_the_overlay_for_a_whole_cluster() -> None:
    assert comparable(recorded("whole-cluster")) == comparable(built(DEPLOY / "overlays/whole-cluster"))


def test_with_one_namespace_the_chart_is_the_overlay_for_one() -> None:
    chart, overlay = recorded("single-namespace"), built(DEPLOY / "overlays/single-namespace")
    (scope,) = (item for item in container(overlay)["env"] if item["name"] == "LORA_CONTROLLER_NAMESPACES")
    assert scope.pop("valueFrom") == {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    scope["value"] = "models"
    assert comparable(chart) == comparable(overlay)


def test_with_monitoring_the_chart_is_the_overlay_with_that_component(tmp_path: Path) -> None:
    copy = tmp_path / "deploy"
    shutil.copytree(DEPLOY, copy)
    overlay = copy / "overlays/whole-cluster"
    with (overlay / "kustomization.yaml").open("a") as file:
        file.write("components: [../../components/monitoring]\n")
    assert comparable(recorded("monitoring")) == comparable(built(overlay))


def test_values_reach_the_objects_and_the_crd_survives_the_release() -> None:
    objects = recorded("settings")
    variables = {item["name"]: item.get("value") for item in container(objects)["env"]}
    assert variables["LORA_CONTROLLER_RETRIES"] == "7"
    assert container(objects)["image"] == f"{IMAGE}:1.2.3"
    (deployment,) = of_kind(objects, "Deployment")
    assert deployment["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert not of_kind(objects, "NetworkPolicy")
    assert {item["metadata"]["labels"]["release"] for item in objects if "monitoring" in item["apiVersion"]} == {
        "prometheus"
    }
    (definition,) = of_kind(objects, "CustomResourceDefinition")
    assert definition["metadata"].pop("annotations")["helm.sh/resource-policy"] == "keep"
    original = YAML(typ="safe").load((DEPLOY / "crd.yaml").read_text())
    original["metadata"].pop("annotations", None)
    assert definition == original


def test_with_tracing_the_operator_gets_the_receiver_and_may_reach_its_port() -> None:
    objects = recorded("tracing")
    variables = {item["name"]: item.get("value") for item in container(objects)["env"]}
    assert variables["LORA_CONTROLLER_OTLP_ENDPOINT"] == "http://otel-collector.observability:4318"
    (policy,) = of_kind(objects, "NetworkPolicy")
    (without,) = of_kind(recorded("whole-cluster"), "NetworkPolicy")
    added = [rule for rule in policy["spec"]["egress"] if rule not in without["spec"]["egress"]]
    assert added == [{"ports": [{"port": 4318, "protocol": "TCP"}]}]


def test_the_schema_knows_every_value_and_nothing_else() -> None:
    values = YAML(typ="safe").load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def check(value: Any, schema: dict[str, Any]) -> None:
        if "properties" in schema:
            assert schema["additionalProperties"] is False
            assert set(value) == set(schema["properties"]) - {"global"}
            for name in value:
                check(value[name], schema["properties"][name])

    check(values, schema)


def test_chart_and_manifests_are_of_one_version() -> None:
    chart = YAML(typ="safe").load((CHART / "Chart.yaml").read_text())
    base = YAML(typ="safe").load((DEPLOY / "base/kustomization.yaml").read_text())
    assert {chart["version"], chart["appVersion"], base["images"][0]["newTag"]} == {UNTAGGED}
