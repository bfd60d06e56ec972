"""The status of a LeaderWorkerSet.

Source: `updateConditions` in `pkg/controllers/leaderworkerset_controller.go` of kubernetes-sigs/lws 0.9.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from formats.timestamps import format_time
from twin.apiserver.meta.objects import Object, with_conditions
from twin.apiserver.registry.groups.leader_worker_pods import SET_NAME, WORKER_INDEX
from twin.world.groups.leader_worker_plan import Group, GroupRollout

_AVAILABLE = ("Available", "AllGroupsReady", "All replicas are ready")
_PROGRESSING = ("Progressing", "GroupsProgressing", "Replicas are progressing")
_UPDATING = ("UpdateInProgress", "GroupsUpdating", "Rolling Upgrade is in progress")


def group_status(obj: Object, replicas: int, groups: Mapping[int, Group], now: datetime) -> dict[str, Any]:
    """Return the status; `replicas` is the number of leaders, `groups` are by index."""
    rollout = GroupRollout.of(obj["spec"])
    existing = {index: group for index, group in groups.items() if group.exists}
    partitioned = [group for index, group in existing.items() if rollout.partition <= index < rollout.replicas]
    updated = sum(group.updated for group in partitioned)
    ready = sum(group.ready for index, group in groups.items() if index < rollout.replicas)
    true = [_PROGRESSING]
    if updated < len(partitioned):
        true = [_UPDATING, _PROGRESSING]
    elif ready == rollout.replicas and all(group.ready and group.updated for group in partitioned):
        true = [_AVAILABLE]
    return {
        "replicas": replicas,
        "readyReplicas": sum(group.ready for group in groups.values()),
        "updatedReplicas": sum(group.updated for group in groups.values()),
        "hpaPodSelector": f"{SET_NAME}={obj['metadata']['name']},{WORKER_INDEX}=0",
        "observedGeneration": obj["metadata"].get("generation", 1),
        "conditions": _conditions(obj, true, format_time(now)),
    }


def _conditions(obj: Object, true: list[tuple[str, str, str]], now: str) -> list[Object]:
    """Return the conditions: `true` are True, the others that exist are False."""
    old = list((obj.get("status") or {}).get("conditions") or ())
    generation = obj["metadata"].get("generation", 1)
    names = [name for name, _, _ in true]
    others = [
        {**item, "status": "False", "observedGeneration": generation} for item in old if item["type"] not in names
    ]
    new = [
        {"type": name, "status": "True", "reason": reason, "message": message, "observedGeneration": generation}
        for name, reason, message in true
    ]
    return with_conditions(old, [*others, *new], now)
