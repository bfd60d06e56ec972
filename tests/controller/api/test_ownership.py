"""Ownership of Services and slices, and the text about those of others."""

import msgspec
import pytest

from controller.api.ownership import adapter_name_of, described_owner, is_owned, owner_reference
from controller.api.types import ObjectMeta, OwnerReference, Service
from tests.controller.builders import an_adapter

MINE = owner_reference(an_adapter())
FORMER = msgspec.structs.replace(MINE, uid="uid-former")
OTHERS = OwnerReference(api_version="v1", kind="Service", name="shop", uid="uid-shop", controller=True)
NO_CONTROLLER = msgspec.structs.replace(OTHERS, controller=False)


def an_object(*owners: OwnerReference, label: str = "") -> Service:
    labels = {"adapter.model.aibrix.ai/name": label} if label else {}
    return Service(metadata=ObjectMeta(name="sql", namespace="default", labels=labels, owner_references=owners))


@pytest.mark.parametrize(
    ("obj", "owned", "name"),
    [
        (an_object(MINE), True, "sql"),
        (an_object(NO_CONTROLLER, MINE), True, "sql"),
        (an_object(label="sql"), True, "sql"),
        (an_object(NO_CONTROLLER, label="sql"), True, "sql"),
        (an_object(FORMER, label="sql"), False, "sql"),
        (an_object(OTHERS, label="sql"), False, ""),
        (an_object(label="sql-1"), False, "sql-1"),
        (an_object(), False, ""),
    ],
)
def test_the_controller_owns_an_object_and_orphans_are_adopted_by_label(obj: Service, owned: bool, name: str) -> None:
    assert (is_owned(an_adapter(), obj), adapter_name_of(obj)) == (owned, name)


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        (an_object(), "belongs to no controller and lacks this adapter's label"),
        (an_object(FORMER), "belongs to ModelAdapter sql with UID uid-former"),
        (an_object(OTHERS), "belongs to Service shop"),
    ],
)
def test_the_owner_of_a_foreign_object_is_named(obj: Service, text: str) -> None:
    assert described_owner(obj) == text
