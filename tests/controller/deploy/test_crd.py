"""The shipped CustomResourceDefinition: names that manifests and users rely on."""

from importlib.resources import files
from typing import Any

import pytest
from ruamel.yaml import YAML


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load((files("controller") / "deploy/crd.yaml").read_text("utf-8"))
    return loaded["spec"]


def test_it_has_the_names_that_manifests_use(definition: dict[str, Any]) -> None:
    names = definition["names"]
    assert (definition["group"], definition["scope"]) == ("model.aibrix.ai", "Namespaced")
    assert (names["kind"], names["plural"], names["shortNames"]) == ("ModelAdapter", "modeladapters", ["ma"])
    assert [version["name"] for version in definition["versions"]] == ["v1alpha1"]


def test_status_and_scale_are_subresources(definition: dict[str, Any]) -> None:
    (version,) = definition["versions"]
    assert version["subresources"]["status"] == {}
    scale = version["subresources"]["scale"]
    assert (scale["specReplicasPath"], scale["statusReplicasPath"]) == (".spec.replicas", ".status.readyReplicas")
    assert scale["labelSelectorPath"] == ".status.selector"


def test_get_shows_columns_and_wide_shows_more(definition: dict[str, Any]) -> None:
    (version,) = definition["versions"]
    columns = version["additionalPrinterColumns"]
    assert [column["name"] for column in columns if not column.get("priority")] == [
        "Phase",
        "Desired",
        "Ready",
        "Candidates",
        "Model Path",
        "Age",
    ]
    assert [column["name"] for column in columns if column.get("priority")] == ["Base Model", "Policy"]


def test_conditions_are_a_map_by_type_so_that_each_is_owned_by_itself(definition: dict[str, Any]) -> None:
    (version,) = definition["versions"]
    conditions = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])
