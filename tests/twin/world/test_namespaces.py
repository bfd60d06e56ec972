"""Namespaces that are deleted, as the simulated cluster ends them."""

from typing import Any

import pytest

from tests.twin.world.conftest import a_deployment
from twin.apiserver import ApiError


@pytest.fixture
def team(cluster: Any) -> Any:
    """Return the cluster with a namespace `team`."""
    cluster.store.create("namespaces", {"metadata": {"name": "team"}})
    return cluster


def condition_messages(cluster: Any) -> dict[str, str]:
    conditions = cluster.store.get("namespaces", "", "team")["status"]["conditions"]
    return {item["type"]: item["message"] for item in conditions if item["status"] == "True"}


def exists(cluster: Any) -> bool:
    try:
        cluster.store.get("namespaces", "", "team")
    except ApiError:
        return False
    return True


def test_an_empty_namespace_ends_after_some_seconds(team: Any) -> None:
    team.store.create("configmaps", {"metadata": {"name": "settings"}}, namespace="team")
    team.store.delete("namespaces", "", "team")
    team.run(4)
    assert exists(team)
    assert len(team.store.list("configmaps", namespace="team").items) == 1
    team.run(20)
    assert not exists(team)
    assert not team.store.list("configmaps", namespace="team").items


def test_a_finalizer_is_awaited_and_named(team: Any) -> None:
    body = {"metadata": {"name": "kept", "finalizers": ["example.com/kept"]}}
    team.store.create("configmaps", body, namespace="team")
    team.store.delete("namespaces", "", "team")
    team.run(300)
    assert condition_messages(team) == {
        "NamespaceContentRemaining": "Some resources are remaining: configmaps. has 1 resource instances",
        "NamespaceFinalizersRemaining": (
            "Some content in the namespace has finalizers remaining: example.com/kept in 1 resource instances"
        ),
    }
    team.store.patch("configmaps", "team", "kept", {"metadata": {"finalizers": None}})
    team.run(320)
    assert not exists(team)


def test_pods_end_with_their_grace_period_and_are_not_replaced(team: Any) -> None:
    manifest = a_deployment(2, pod={"terminationGracePeriodSeconds": 20})
    manifest["metadata"]["namespace"] = "team"
    team.store.create("deployments.apps", manifest, namespace="team")
    team.run(100)
    team.store.delete("namespaces", "", "team")
    team.run(105.5)
    pods = team.store.list("pods", namespace="team").items
    assert [pod["metadata"]["deletionGracePeriodSeconds"] for pod in pods] == [20, 20]
    assert team.store.list("deployments.apps", namespace="team").items, "other objects wait for the pods"
    team.run(140)
    assert not exists(team)
    assert not team.pods()
