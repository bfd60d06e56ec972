"""Names that an adapter cannot have: those of no Service, of another's Service, and of a base model."""

import pytest
from msgspec.structs import replace

from controller.api.types import ObjectMeta, OwnerReference, Service
from controller.cache.pod_index import EMPTY
from controller.cache.service_names import base_name_problem, name_problem
from tests.controller.builders import an_adapter


@pytest.mark.parametrize("name", ["sql", "7b-lora", "7", "a" * 63])
def test_a_name_that_a_service_can_have_is_no_problem(name: str) -> None:
    adapter = an_adapter()
    assert name_problem(None, replace(adapter, metadata=replace(adapter.metadata, name=name))) is None


@pytest.mark.parametrize("name", ["a.b", "a" * 64])
def test_a_name_that_no_service_can_have_is_reported(name: str) -> None:
    adapter = an_adapter()
    problem = name_problem(None, replace(adapter, metadata=replace(adapter.metadata, name=name)))
    assert problem is not None
    assert problem.reason == "InvalidName"


def test_the_service_of_another_adapter_of_that_name_is_left_alone() -> None:
    owner = OwnerReference(
        api_version="model.aibrix.ai/v1alpha1", kind="ModelAdapter", name="sql", uid="former", controller=True
    )
    service = Service(metadata=ObjectMeta(name="sql", namespace="default", owner_references=(owner,)))
    problem = name_problem(service, an_adapter())
    assert problem is not None
    assert "belongs to ModelAdapter sql with UID former" in problem.message


def test_a_base_model_that_a_selected_engine_lists_keeps_its_name() -> None:
    """The command line does not always have the name: an image or a file may."""
    problem = base_name_problem("base", EMPTY, [frozenset({"other"}), frozenset({"base", "acme/base"})])
    assert problem is not None
    assert problem.reason == "NameOfBaseModel"
    assert base_name_problem("sql", EMPTY, [frozenset({"base"})]) is None
