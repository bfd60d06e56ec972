"""LeaderWorkerSets that their own webhook refuses; the rules are those of kubernetes-sigs/lws."""

from typing import Any

import pytest

from twin.apiserver.registry.groups.leader_worker_rules import leader_worker_set_errors

EXCLUSIVE = "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology"


def a_set(name: str = "llm", annotations: Any = None, *, size: int = 4, subgroups: Any = None, **spec: Any) -> Any:
    template: dict[str, Any] = {"size": size, "workerTemplate": {}}
    if subgroups:
        template["subGroupPolicy"] = subgroups
    return {
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"replicas": 2, "leaderWorkerTemplate": template, **spec},
    }


def rollout(**limits: Any) -> Any:
    return {"type": "RollingUpdate", "rollingUpdateConfiguration": limits}


@pytest.mark.parametrize(
    ("obj", "errors"),
    [
        (a_set(), []),
        (a_set("7b-llm"), ["metadata.name"]),
        (a_set("x" * 64), ["metadata.name"]),
        (a_set(replicas=1_000_001), ["replicas"]),
        (a_set(rolloutStrategy=rollout(maxUnavailable=0)), ["maxUnavailable"]),
        (a_set(rolloutStrategy=rollout(maxUnavailable="0%", maxSurge=1)), []),
        (a_set(rolloutStrategy=rollout(maxUnavailable=0), replicas=0), []),
        (a_set(annotations={EXCLUSIVE: "rack"}), [EXCLUSIVE]),
        (a_set(annotations={EXCLUSIVE: "rack"}, subgroups={"subGroupSize": 2}), []),
        (a_set(size=5, subgroups={"subGroupSize": 2}), []),
        (a_set(size=6, subgroups={"subGroupSize": 4}), ["subGroupSize"]),
        (a_set(subgroups={"subGroupSize": 0}), ["subGroupSize"]),
        (a_set(subgroups={"subGroupSize": 2, "type": "LeaderExcluded"}), ["subGroupSize"]),
        (a_set(subgroups={"subGroupSize": 5}), ["subGroupSize", "subGroupSize"]),
    ],
)
def test_what_the_webhook_refuses(obj: Any, errors: list[str]) -> None:
    fields = [error.field for error in leader_worker_set_errors(obj)]
    assert len(fields) == len(errors)
    assert all(field.endswith(error) for field, error in zip(fields, errors, strict=True))
