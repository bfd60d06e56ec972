"""LeaderWorkerSets: names, labels and variables of their pods, and groups that are replaced as one.

Names, labels and variables are those in the documentation of kubernetes-sigs/lws ("Labels and annotations") and of
its code; the example is the one of vLLM's documentation, reduced.
"""

from typing import Any

import pytest

from tests.twin.world.groups.conftest import LWS, a_leader_worker_set, an_engine_template, deletions, names
from twin.apiserver import ApiError
from twin.world.groups.leader_worker_plan import Group, GroupRollout, Leaders

P = "leaderworkerset.sigs.k8s.io/"
OLD, NEW, DOWN = Group(ready=True), Group(ready=True, updated=True), Group(updated=True)


def labels(cluster: Any, pod: str) -> dict[str, str]:
    found: dict[str, str] = cluster.store.get("pods", "default", pod)["metadata"]["labels"]
    return {name.removeprefix(P): value for name, value in found.items() if name.startswith(P)}


def status(cluster: Any) -> dict[str, Any]:
    found: dict[str, Any] = cluster.store.get(LWS, "default", "llm")["status"]
    return found


def true_conditions(cluster: Any) -> list[str]:
    return [item["type"] for item in status(cluster)["conditions"] if item["status"] == "True"]


def test_a_group_is_a_leader_and_its_workers_under_their_names(groups: Any) -> None:
    groups.store.create(LWS, a_leader_worker_set())
    groups.run(60)
    assert names(groups) == ["llm-0", "llm-0-1", "llm-0-2", "llm-1", "llm-1-1", "llm-1-2"]
    leader, worker = labels(groups, "llm-1"), labels(groups, "llm-1-2")
    assert (leader["name"], leader["group-index"], leader["worker-index"]) == ("llm", "1", "0")
    assert (worker["name"], worker["group-index"], worker["worker-index"]) == ("llm", "1", "2")
    assert leader["group-key"] == worker["group-key"] != labels(groups, "llm-0")["group-key"]
    assert leader["template-revision-hash"] == worker["template-revision-hash"]
    pod = groups.store.get("pods", "default", "llm-1-2")
    env = {item["name"]: item["value"] for item in pod["spec"]["containers"][0]["env"]}
    assert env == {"LWS_LEADER_ADDRESS": "llm-1.llm.default", "LWS_GROUP_SIZE": "3", "LWS_WORKER_INDEX": "2"}
    assert pod["metadata"]["annotations"][f"{P}leader-name"] == "llm-1"
    assert groups.world.workload_of(pod) == "llm"


def test_only_leaders_run_engines_and_the_status_counts_groups(groups: Any) -> None:
    groups.store.create(LWS, a_leader_worker_set())
    groups.run(60)
    running = [name for name in names(groups) if groups.world.host_of(f"default/{name}").engine is not None]
    assert running == ["llm-0", "llm-1"]
    assert (status(groups)["replicas"], status(groups)["readyReplicas"]) == (2, 2)
    assert true_conditions(groups) == ["Available"]
    assert groups.store.get("services", "default", "llm")["spec"]["clusterIP"] == "None"


def test_workers_that_serve_are_engines_too(groups: Any) -> None:
    serving = an_engine_template("vllm", "serve", "acme/base", "--data-parallel-hybrid-lb")
    headless = an_engine_template("vllm", "serve", "acme/base", "--headless")
    groups.store.create(LWS, a_leader_worker_set(1, 2, group={"workerTemplate": serving}))
    other = a_leader_worker_set(1, 2, group={"workerTemplate": headless})
    groups.store.create(LWS, {**other, "metadata": {"name": "quiet", "namespace": "default"}})
    groups.run(60)
    running = [name for name in names(groups) if groups.world.host_of(f"default/{name}").engine is not None]
    assert running == ["llm-0", "llm-0-1", "quiet-0"]


@pytest.mark.parametrize(
    ("policy", "gone"),
    [
        ("RecreateGroupOnPodRestart", ["llm-1", "llm-1-1", "llm-1-2"]),
        ("RecreateGroupAfterStart", ["llm-1", "llm-1-1", "llm-1-2"]),
        ("None", ["llm-1-2"]),
    ],
)
def test_a_deleted_worker_takes_its_group_with_it_if_the_policy_says_so(
    groups: Any, policy: str, gone: list[str]
) -> None:
    groups.store.create(LWS, a_leader_worker_set(group={"restartPolicy": policy}))
    groups.run(60)
    deleted = deletions(groups)
    groups.store.delete("pods", "default", "llm-1-2")
    groups.run(120)
    assert sorted(deleted) == gone
    assert len(names(groups)) == 6
    assert true_conditions(groups) == ["Available"]


def test_a_leader_is_replaced_only_after_its_workers_are_gone(groups: Any) -> None:
    groups.store.create(LWS, a_leader_worker_set(1))
    groups.run(60)
    deleted = deletions(groups)
    groups.store.delete("pods", "default", "llm-0-1")
    groups.run(120)
    assert deleted[-1] == "llm-0", "it is deleted in the foreground"


def test_a_restarted_engine_recreates_its_group(groups: Any) -> None:
    groups.store.create(LWS, a_leader_worker_set(1))
    groups.run(60)
    deleted = deletions(groups)
    groups.world.restart_engine("default/llm-0")
    groups.run(120)
    assert sorted(deleted) == ["llm-0", "llm-0-1", "llm-0-2"]


def test_workers_wait_for_a_ready_leader_with_that_startup_policy(groups: Any) -> None:
    groups.store.create(LWS, a_leader_worker_set(1, startupPolicy="LeaderReady"))
    groups.run(10)
    assert names(groups) == ["llm-0"]
    groups.run(60)
    assert names(groups) == ["llm-0", "llm-0-1", "llm-0-2"]


def test_a_changed_template_replaces_groups_from_the_last_to_the_first(groups: Any) -> None:
    groups.store.create(LWS, a_leader_worker_set(3, 2))
    groups.run(60)
    deleted = deletions(groups)
    change = {"workerTemplate": {"metadata": {"annotations": {"config": "2"}}}}
    groups.store.patch(LWS, "default", "llm", {"spec": {"leaderWorkerTemplate": change}})
    groups.run(62)
    assert set(true_conditions(groups)) == {"UpdateInProgress", "Progressing"}
    groups.run(400)
    assert [name for name in deleted if name.count("-") == 1] == ["llm-2", "llm-1", "llm-0"]
    assert (status(groups)["updatedReplicas"], true_conditions(groups)) == (3, ["Available"])
    assert groups.store.get("pods", "default", "llm-0-1")["metadata"]["annotations"]["config"] == "2"


def test_scaling_and_deletion_reach_the_pods(groups: Any) -> None:
    groups.store.create(LWS, a_leader_worker_set(2, 2))
    groups.run(60)
    scale = {**groups.store.get(LWS, "default", "llm", subresource="scale"), "spec": {"replicas": 1}}
    groups.store.update(LWS, scale, subresource="scale")
    groups.run(120)
    assert names(groups) == ["llm-0", "llm-0-1"]
    groups.store.delete(LWS, "default", "llm")
    groups.run(180)
    assert names(groups) == []


@pytest.mark.parametrize(
    ("rollout", "current", "groups", "is_new", "expected"),
    [
        (GroupRollout(3), Leaders(3, 0, 3), [NEW] * 3, False, (0, 3)),
        (GroupRollout(3), Leaders(3, 0, 3), [OLD] * 3, True, (3, 3)),
        (GroupRollout(3), Leaders(3, 3, 3), [OLD] * 3, False, (2, 3)),
        (GroupRollout(3), Leaders(3, 2, 3), [OLD, OLD, DOWN], False, (2, 3)),
        (GroupRollout(3), Leaders(3, 2, 3), [OLD, OLD, NEW], False, (1, 3)),
        (GroupRollout(4, unavailable=2), Leaders(4, 4, 4), [OLD] * 4, False, (2, 4)),
        (GroupRollout(4, unavailable=2, partition=3), Leaders(4, 4, 4), [OLD] * 4, False, (3, 4)),
        (GroupRollout(2, surge=1, unavailable=0), Leaders(2, 0, 2), [OLD] * 2, True, (2, 3)),
        (GroupRollout(2, surge=1, unavailable=0), Leaders(3, 2, 2), [OLD, OLD, NEW], False, (1, 3)),
        (GroupRollout(2, surge=1, unavailable=0), Leaders(3, 0, 2), [DOWN, NEW, NEW], False, (0, 3)),
        (GroupRollout(2, surge=1, unavailable=0), Leaders(3, 0, 2), [NEW, NEW, NEW], False, (0, 2)),
        (GroupRollout(5), Leaders(3, 2, 3), [OLD, OLD, NEW], False, (2, 5)),
        (GroupRollout(3), Leaders(3, 3, 3), [Group()] * 3, False, (2, 3)),
    ],
)
def test_the_next_step_of_a_rollout(
    rollout: GroupRollout, current: Leaders, groups: list[Group], is_new: bool, expected: tuple[int, int]
) -> None:
    assert rollout.next_leaders(current, groups, is_new=is_new) == expected


def test_a_limit_that_is_no_number_or_percentage_is_refused(groups: Any) -> None:
    rollout = {"rollingUpdateConfiguration": {"maxSurge": "lots"}}
    with pytest.raises(ApiError, match="maxSurge"):
        groups.store.create(LWS, a_leader_worker_set(rolloutStrategy=rollout))


def test_a_set_whose_name_is_too_long_for_its_labels_gets_no_pods(groups: Any) -> None:
    manifest = a_leader_worker_set()
    groups.store.create(LWS, {**manifest, "metadata": {**manifest["metadata"], "name": "l" * 70}})
    groups.run(60)
    assert names(groups) == []
