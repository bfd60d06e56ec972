"""StormServices and RoleSets of AIBrix: roles, names, labels, and the order of updates.

Names, labels and variables are those of vllm-project/aibrix (`renderStormServicePod`); the shape is that of its samples
for prefill and decode.
"""

from typing import Any

import pytest

from tests.twin.world.groups.conftest import an_engine_template, deletions, names
from twin.world.groups.role_plan import Role, RolePod, RoleSteps, is_complete, rollout, scale

STORM, SETS = "stormservices.orchestration.aibrix.ai", "rolesets.orchestration.aibrix.ai"
ROUTER = {"spec": {"containers": [{"name": "router", "image": "acme/router:1", "args": ["--backends=vllm"]}]}}


def a_storm_service(replicas: int = 1, **spec: Any) -> dict[str, Any]:
    """Return a StormService with two prefill engines, one decode engine in a slot, and a router."""
    roles = [
        {"name": "prefill", "replicas": 2, "template": an_engine_template()},
        {"name": "decode", "replicas": 1, "stateful": True, "template": an_engine_template()},
        {"name": "router", "replicas": 1, "template": ROUTER},
    ]
    template = {"metadata": {"labels": {"app": "pd"}}, "spec": {"roles": roles}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "pd"}}, "template": template, **spec}
    return {"metadata": {"name": "pd", "namespace": "default"}, "spec": spec}


def of_role(cluster: Any, role: str) -> list[dict[str, Any]]:
    return [pod for pod in cluster.pods() if pod["metadata"]["labels"]["role-name"] == role]


def test_each_role_has_its_pods_with_names_labels_and_variables(groups: Any) -> None:
    groups.store.create(STORM, a_storm_service())
    groups.run(60)
    (role_set,) = groups.store.list(SETS).items
    name = role_set["metadata"]["name"]
    assert name.startswith("pd-roleset-")
    assert len(name) == len("pd-roleset-") + 5
    assert [len(of_role(groups, role)) for role in ("prefill", "decode", "router")] == [2, 1, 1]
    (decode,) = of_role(groups, "decode")
    meta = decode["metadata"]
    assert meta["name"] == f"{name}-decode-{meta['labels']['role-template-hash']}-0"
    assert (meta["labels"]["roleset-name"], meta["labels"]["storm-service-name"]) == (name, "pd")
    env = {item["name"]: item.get("value") for item in decode["spec"]["containers"][0]["env"]}
    assert (env["ROLE_NAME"], env["ROLESET_NAME"], env["ROLE_REPLICA_INDEX"]) == ("decode", name, "0")
    assert (decode["spec"]["hostname"], decode["spec"]["subdomain"]) == (meta["name"], "pd")
    assert groups.world.workload_of(decode) == "pd"


def test_roles_that_name_no_engine_run_none(groups: Any) -> None:
    groups.store.create(STORM, a_storm_service())
    groups.run(60)
    running = {
        pod["metadata"]["labels"]["role-name"]
        for pod in groups.pods()
        if groups.world.host_of(f"default/{pod['metadata']['name']}").engine is not None
    }
    assert running == {"prefill", "decode"}
    status = groups.store.get(STORM, "default", "pd")["status"]
    assert (status["readyReplicas"], status["conditions"][0]["type"]) == (1, "Ready")


def test_replicas_are_whole_role_sets(groups: Any) -> None:
    groups.store.create(STORM, a_storm_service(2))
    groups.run(60)
    assert (len(groups.store.list(SETS).items), len(groups.pods())) == (2, 8)
    groups.store.patch(STORM, "default", "pd", {"spec": {"replicas": 1}})
    groups.run(120)
    assert (len(groups.store.list(SETS).items), len(groups.pods())) == (1, 4)


def changed(cluster: Any) -> None:
    """Change the decode role of the StormService."""
    roles = [dict(role) for role in cluster.store.get(STORM, "default", "pd")["spec"]["template"]["spec"]["roles"]]
    roles[1] = {**roles[1], "template": an_engine_template("--model", "acme/other")}
    cluster.store.patch(STORM, "default", "pd", {"spec": {"template": {"spec": {"roles": roles}}}})


def test_an_update_in_place_replaces_only_the_pods_of_the_changed_role(groups: Any) -> None:
    groups.store.create(STORM, a_storm_service(updateStrategy={"type": "InPlaceUpdate"}))
    groups.run(60)
    before, deleted = names(groups), deletions(groups)
    changed(groups)
    groups.run(150)
    assert len(deleted) == 1
    assert "-decode-" in deleted[0]
    assert len(set(before) & set(names(groups))) == 3


def test_a_rolling_update_replaces_role_sets_one_after_the_other(groups: Any) -> None:
    groups.store.create(STORM, a_storm_service(2))
    groups.run(60)
    before = [item["metadata"]["name"] for item in groups.store.list(SETS).items]
    changed(groups)
    groups.run(62)
    assert len({item["metadata"]["name"] for item in groups.store.list(SETS).items} & set(before)) == 1
    groups.run(300)
    after = [item["metadata"]["name"] for item in groups.store.list(SETS).items]
    assert len(after) == 2
    assert not set(after) & set(before)


SLOTS, ANY = Role(2, stateful=True), Role(2)
SURGE = Role(2, stateful=True, surge=1, unavailable=0)


def pod(name: str, slot: int | None = None, state: str = "ready") -> RolePod:
    """Return a pod; `state` has words of ready, old, terminating and finished."""
    words = state.split()
    return RolePod(name, slot, "old" not in words, "ready" in words, "terminating" in words, "finished" in words)


@pytest.mark.parametrize(
    ("role", "pods", "expected"),
    [
        (SLOTS, [], RoleSteps((0, 1))),
        (SLOTS, [pod("a", 0)], RoleSteps((1,))),
        (SLOTS, [pod("a", 0), pod("b", 1, "terminating")], RoleSteps()),
        (SLOTS, [pod("a", 0), pod("b", 1, "finished")], RoleSteps((1,), ("b",))),
        (SLOTS, [pod("a", 0), pod("b", 1), pod("c", 2)], RoleSteps((), ("c",))),
        (SURGE, [pod("a", 0, "ready old"), pod("b", 0, "new"), pod("c", 1)], RoleSteps()),
        (SURGE, [pod("a", 0, "ready old"), pod("b", 0), pod("c", 1)], RoleSteps((), ("a",))),
        (ANY, [], RoleSteps((None, None))),
        (ANY, [pod("a"), pod("b", state="terminating")], RoleSteps()),
        (ANY, [pod("a"), pod("b", state="new"), pod("c")], RoleSteps((), ("b",))),
        (Role(0, unavailable=0), [pod("a")], RoleSteps((), ("a",))),
        (Role.of({"replicas": 0}), [pod("a")], RoleSteps((), ("a",))),
    ],
)
def test_a_role_is_brought_to_its_replicas(role: Role, pods: list[RolePod], expected: RoleSteps) -> None:
    assert scale(role, pods) == expected


@pytest.mark.parametrize(
    ("role", "pods", "expected"),
    [
        (SLOTS, [pod("a", 0), pod("b", 1)], RoleSteps()),
        (SLOTS, [pod("a", 0, "ready old"), pod("b", 1, "ready old")], RoleSteps((), ("a",))),
        (SLOTS, [pod("a", 0, "ready old"), pod("b", 1, "old")], RoleSteps((), ("b",))),
        (SURGE, [pod("a", 0, "ready old"), pod("b", 1, "ready old")], RoleSteps((0,))),
        (ANY, [pod("a", state="ready old"), pod("b", state="ready old")], RoleSteps((), ("a",))),
        (Role(2, surge=1, unavailable=0), [pod("a", state="ready old"), pod("b")], RoleSteps((None,))),
        (ANY, [pod("a"), pod("b")], RoleSteps()),
    ],
)
def test_an_update_replaces_as_many_pods_as_the_role_allows(
    role: Role, pods: list[RolePod], expected: RoleSteps
) -> None:
    assert rollout(role, pods) == expected


def test_a_role_is_complete_with_a_ready_new_pod_in_each_slot() -> None:
    assert is_complete(SLOTS, [pod("a", 0), pod("b", 1)])
    assert not is_complete(SLOTS, [pod("a", 0), pod("b", 0)])
    assert not is_complete(SLOTS, [pod("a", 0), pod("b", 1, "ready old")])


def test_a_role_without_a_name_has_its_pods(groups: Any) -> None:
    spec = {"roles": [{"replicas": 2, "template": ROUTER}]}
    groups.store.create(SETS, {"metadata": {"name": "unnamed", "namespace": "default"}, "spec": spec})
    groups.run(60)
    assert len(names(groups)) == 2
