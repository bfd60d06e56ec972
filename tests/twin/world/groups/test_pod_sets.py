"""PodSets of AIBrix: the pods of one replica of a role with a `podGroupSize` above 1.

Names, labels and variables are those of vllm-project/aibrix 0.7 (`createPodFromTemplate`).
"""

from typing import Any

import pytest

from tests.twin.world.groups.conftest import an_engine_template, names
from tests.twin.world.groups.test_storm_services import STORM, a_storm_service, of_role

POD_SETS = "podsets.orchestration.aibrix.ai"
INDEX = "stormservice.orchestration.aibrix.ai/pod-group-index"


def a_service_of_groups(replicas: int = 2, size: int = 2) -> dict[str, Any]:
    role = {"name": "engine", "replicas": replicas, "podGroupSize": size, "template": an_engine_template()}
    return a_storm_service(template={"metadata": {"labels": {"app": "pd"}}, "spec": {"roles": [role]}})


def a_pod_set(**spec: Any) -> dict[str, Any]:
    body = {"podGroupSize": 3, "template": an_engine_template(), **spec}
    return {"metadata": {"name": "gang", "namespace": "default"}, "spec": body}


def test_a_role_of_groups_has_pod_sets_and_each_its_pods(groups: Any) -> None:
    groups.store.create(STORM, a_service_of_groups())
    groups.run(60)
    sets = groups.store.list(POD_SETS).items
    assert [item["metadata"]["labels"]["role-name"] for item in sets] == ["engine", "engine"]
    assert names(groups) == sorted(f"{item['metadata']['name']}-{index}" for item in sets for index in (0, 1))
    pod = of_role(groups, "engine")[1]
    env = {item["name"]: item.get("value") for item in pod["spec"]["containers"][0]["env"]}
    assert (env["POD_GROUP_INDEX"], env["POD_GROUP_SIZE"], env["ROLE_NAME"]) == ("1", "2", "engine")
    assert pod["spec"]["hostname"] == pod["metadata"]["name"]
    assert groups.world.workload_of(pod) == "pd"
    status = groups.store.get(STORM, "default", "pd")["status"]
    assert status["readyReplicas"] == 1


def test_the_engines_are_the_first_pods_of_their_groups_if_the_others_are_headless(groups: Any) -> None:
    template = an_engine_template("--model", "acme/base", "--headless")
    groups.store.create(POD_SETS, a_pod_set(template=template))
    groups.run(60)
    engines = {
        pod["metadata"]["labels"][INDEX]: groups.world.host_of(f"default/{pod['metadata']['name']}").engine is not None
        for pod in groups.pods()
    }
    assert (engines["1"], engines["2"]) == (False, False)


@pytest.mark.parametrize(("policy", "survivors"), [("ReplaceUnhealthy", 2), ("Recreate", 0)])
def test_a_missing_pod_is_replaced_or_all_are_created_again(policy: str, survivors: int, groups: Any) -> None:
    groups.store.create(POD_SETS, a_pod_set(recoveryPolicy=policy))
    groups.run(60)
    before = {pod["metadata"]["uid"] for pod in groups.pods()}
    groups.world.kill_pod("default/gang-1")
    groups.run(120)
    after = {pod["metadata"]["uid"] for pod in groups.pods()}
    assert (names(groups), len(before & after)) == (["gang-0", "gang-1", "gang-2"], survivors)
    assert groups.store.get(POD_SETS, "default", "gang")["status"] == {
        "readyPods": 3,
        "totalPods": 3,
        "phase": "Ready",
    }


def test_a_deleted_set_is_there_until_its_pods_have_ended(groups: Any) -> None:
    groups.store.create(POD_SETS, a_pod_set())
    groups.run(60)
    groups.store.delete(POD_SETS, "default", "gang")
    groups.run(60.5)
    assert "deletionTimestamp" in groups.store.get(POD_SETS, "default", "gang")["metadata"]
    groups.run(70)
    assert (groups.pods(), list(groups.store.list(POD_SETS).items)) == ([], [])
