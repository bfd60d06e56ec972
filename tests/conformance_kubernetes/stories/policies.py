"""Stories of PodDisruptionBudgets and evictions, ResourceQuotas and LimitRanges."""

from typing import Any

from tests.conformance_kubernetes.api import Object
from tests.conformance_kubernetes.manifests import LABELS, bare_pod, config_map, template, workload
from tests.conformance_kubernetes.stage import Stage, Story

_BUDGET = ("PodDisruptionBudget", "Pod")
_QUOTA = ("ResourceQuota", "Deployment", "ReplicaSet", "Pod")


def _budget(**spec: Any) -> Object:
    return {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": LABELS}, **spec},
    }


def _quota(**hard: str) -> Object:
    return {"kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": hard}}


async def _ready_set(stage: Stage, replicas: int, budget: Object) -> list[str]:
    """Create a ReplicaSet and a budget; return the names of its pods, which are ready."""
    await stage.create(workload("ReplicaSet", replicas), budget)
    await stage.step("create")
    await stage.kubelet.run()
    await stage.step("pods ready")
    return [pod["metadata"]["name"] for pod in await stage.kubelet.pods()]


async def _min_available(stage: Stage) -> None:
    pods = await _ready_set(stage, 3, _budget(minAvailable=2))
    await stage.evict(pods[0])
    await stage.step("evict one pod")
    await stage.evict(pods[1])
    await stage.step("evict another")
    await stage.kubelet.end_deleted()
    await stage.kubelet.run()
    await stage.step("a new pod is ready")
    await stage.evict(pods[1])
    await stage.step("evict the other again")


async def _max_unavailable(stage: Stage) -> None:
    pods = await _ready_set(stage, 4, _budget(maxUnavailable="30%"))
    await stage.kubelet.set_ready(False, 1)
    await stage.step("one pod unready")
    await stage.evict(pods[3])
    await stage.step("evict a ready pod")
    await stage.evict(pods[2])
    await stage.step("evict another ready pod")


async def _blocks(stage: Stage) -> None:
    pods = await _ready_set(stage, 1, _budget(minAvailable=1))
    await stage.evict(pods[0])
    await stage.step("evict the only pod")
    await stage.delete("Pod", pods[0])
    await stage.step("delete it")


async def _unready_pods(stage: Stage) -> None:
    pods = await _ready_set(stage, 2, _budget(minAvailable=2))
    await stage.kubelet.set_ready(False)
    await stage.step("both pods unready")
    await stage.evict(pods[0])
    await stage.step("evict an unready pod")
    await stage.patch("PodDisruptionBudget", "web", {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}})
    await stage.step("always allow unready pods")
    await stage.evict(pods[0])
    await stage.step("evict it again")


async def _two_budgets(stage: Stage) -> None:
    pods = await _ready_set(stage, 2, _budget(minAvailable=0))
    await stage.create({**_budget(minAvailable=0), "metadata": {"name": "second"}})
    await stage.step("a second budget")
    await stage.evict(pods[0])
    await stage.step("evict a pod")


async def _no_budget(stage: Stage) -> None:
    await stage.create(bare_pod("a"))
    await stage.kubelet.run()
    await stage.evict("a")
    await stage.evict("missing")
    await stage.step("evict a pod without a budget, and one that does not exist")


async def _pod_quota(stage: Stage) -> None:
    await stage.create(_quota(pods="2"))
    await stage.step("quota of 2 pods")
    await stage.create(workload("Deployment", 3))
    await stage.step("create with 3 replicas")
    await stage.create(bare_pod("another"))
    await stage.step("create a pod")


async def _gpu_quota(stage: Stage) -> None:
    await stage.create(_quota(**{"requests.nvidia.com/gpu": "1"}))
    await stage.step("quota of one GPU")
    gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    await stage.create(bare_pod("first", container=gpu), bare_pod("second", container=gpu))
    await stage.step("two pods with a GPU each")
    await stage.delete("Pod", "first", gracePeriodSeconds=0)
    await stage.wait(2)
    await stage.create(bare_pod("third", container=gpu))
    await stage.step("another after the first is gone")


async def _unset_requests(stage: Stage) -> None:
    await stage.create(_quota(**{"requests.cpu": "2", "limits.memory": "1Gi"}))
    await stage.step("quota of CPU and memory")
    await stage.create(bare_pod("greedy"))
    await stage.step("a pod without requests")


async def _object_quota(stage: Stage) -> None:
    await stage.create(_quota(**{"count/configmaps": "2"}))
    await stage.step("quota of 2 ConfigMaps")
    await stage.create(config_map("first"), config_map("second"))
    await stage.step("two more")


async def _limit_range(stage: Stage) -> None:
    limit = {
        "type": "Container",
        "default": {"cpu": "1"},
        "defaultRequest": {"cpu": "500m"},
        "max": {"cpu": "2"},
        "min": {"cpu": "100m"},
    }
    await stage.create({"kind": "LimitRange", "metadata": {"name": "cpu"}, "spec": {"limits": [limit]}})
    await stage.create(bare_pod("plain"))
    await stage.step("a pod without resources")
    await stage.create(bare_pod("big", container={"resources": {"limits": {"cpu": "3"}}}))
    await stage.create(bare_pod("small", container={"resources": {"requests": {"cpu": "50m"}}}))
    await stage.step("one too big, one too small")
    await stage.create(workload("ReplicaSet", 1, template(container={"resources": {"limits": {"cpu": "3"}}})))
    await stage.step("a ReplicaSet of pods that are too big")


async def _scopes(stage: Stage) -> None:
    await stage.create({"kind": "PriorityClass", "metadata": {"name": f"{stage.story.name}-high"}, "value": 10})
    high = {"scopeName": "PriorityClass", "operator": "In", "values": [f"{stage.story.name}-high"]}
    for name, spec in {
        "best-effort": {"hard": {"pods": "1"}, "scopes": ["BestEffort"]},
        "others": {"hard": {"pods": "1", "requests.cpu": "1"}, "scopes": ["NotBestEffort"]},
        "short": {"hard": {"pods": "1"}, "scopes": ["Terminating"]},
        "high": {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [high]}},
    }.items():
        await stage.create({"kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec})
    await stage.step("four quotas with scopes")
    cpu = {"resources": {"requests": {"cpu": "600m"}}}
    await stage.create(bare_pod("first"), bare_pod("second"))
    await stage.step("two pods without requests")
    await stage.create(bare_pod("third", container=cpu), bare_pod("fourth", container=cpu))
    await stage.step("two with requests")
    await stage.delete("Pod", "third", gracePeriodSeconds=0)
    await stage.wait(2)
    short = {"activeDeadlineSeconds": 600, "container": cpu}
    await stage.create(bare_pod("fifth", **short), config_map("free"))
    await stage.step("one with a deadline")
    await stage.delete("Pod", "fifth", gracePeriodSeconds=0)
    await stage.wait(2)
    await stage.create(bare_pod("sixth", priorityClassName=f"{stage.story.name}-high", container=cpu))
    await stage.step("one with a priority")


async def _wrong_scopes(stage: Stage) -> None:
    exists = {"operator": "Exists", "scopeName": "PriorityClass"}
    for name, spec in {
        "unknown": {"hard": {"pods": "1"}, "scopes": ["Idle"]},
        "conflict": {"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]},
        "cpu": {"hard": {"requests.cpu": "1"}, "scopes": ["BestEffort"]},
        "services": {"hard": {"services": "1"}, "scopes": ["Terminating"]},
        "gpus": {"hard": {"requests.nvidia.com/gpu": "1"}, "scopes": ["Terminating"]},
        "values": {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{**exists, "values": ["high"]}]}},
        "no-values": {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{**exists, "operator": "In"}]}},
        "operator": {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{**exists, "operator": "Has"}]}},
        "only-exists": {
            "hard": {"pods": "1"},
            "scopeSelector": {"matchExpressions": [{"scopeName": "Terminating", "operator": "DoesNotExist"}]},
        },
    }.items():
        await stage.create({"kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec})
    await stage.step("quotas with wrong scopes")


STORIES = (
    Story("budget-min-available", _BUDGET, _min_available),
    Story("budget-max-unavailable", _BUDGET, _max_unavailable),
    Story("budget-blocks", _BUDGET, _blocks),
    Story("budget-unready-pods", _BUDGET, _unready_pods),
    Story("budget-two", _BUDGET, _two_budgets),
    Story("budget-none", ("Pod",), _no_budget),
    Story("quota-pods", _QUOTA, _pod_quota, quiet=3),
    Story("quota-gpus", ("ResourceQuota", "Pod"), _gpu_quota, quiet=3),
    Story("quota-unset-requests", ("ResourceQuota", "Pod"), _unset_requests, quiet=3),
    Story("quota-objects", ("ResourceQuota", "ConfigMap"), _object_quota, quiet=3),
    Story("quota-scopes", ("ResourceQuota", "Pod"), _scopes, quiet=3),
    Story("quota-wrong-scopes", ("ResourceQuota",), _wrong_scopes),
    Story("limit-range", ("LimitRange", "ReplicaSet", "Pod"), _limit_range),
)
