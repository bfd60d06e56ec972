"""The members of a role, which are pods, or PodSets if its `podGroupSize` is above 1: names, labels, variables.

Source: `createPodForRole` and `createPodSetForRole` in `pkg/controller/roleset` of vllm-project/aibrix 0.7.
"""

from collections.abc import Mapping
from typing import Any

from twin.apiserver.meta.objects import Object, is_finished, is_terminating, is_true
from twin.world.groups.role_plan import RolePod
from twin.world.names import template_hash
from twin.world.workloads.pod_controller import pod_from_template

SERVICE_NAME = "storm-service-name"
ROLE_SET_INDEX = "stormservice.orchestration.aibrix.ai/roleset-index"
_SET_NAME, _ROLE_NAME, _HASH = "roleset-name", "role-name", "role-template-hash"
_SLOT = "stormservice.orchestration.aibrix.ai/role-replica-index"
_LONGEST_NAME = 63


def group_size(role: Object) -> int:
    """Return the pods of one replica of a role."""
    return int(role.get("podGroupSize") or 1)


def member_name(role_set: Object, role: Object, slot: int) -> str:
    """Return the name of a member with a slot."""
    return shortened(f"{role_set['metadata']['name']}-{role['name']}-{template_hash(role['template'])}-{slot}")


def new_pod(
    role_set: Object, role: Object, slot: int | None, name: str, reference: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a pod of a role."""
    pod = pod_from_template(
        role["template"], role_set, dict(reference), labels=_labels(role_set, role, slot), hostname=name
    )
    if service := _service(role_set):
        pod["spec"]["subdomain"] = service
    pod["spec"] = _with_role_variables(pod["spec"], role_set, role, slot)
    annotations = {**(pod["metadata"].get("annotations") or {}), **_annotations(role_set, slot)}
    pod["metadata"] |= {"name": name, "annotations": annotations}
    if slot is not None:
        del pod["metadata"]["generateName"]
    return pod


def new_pod_set(role_set: Object, role: Object, slot: int, reference: Mapping[str, Any]) -> dict[str, Any]:
    """Return a PodSet of a role."""
    template = role["template"]
    spec = _with_role_variables(template["spec"], role_set, role, slot)
    return {
        "metadata": {
            "name": member_name(role_set, role, slot),
            "namespace": role_set["metadata"]["namespace"],
            "labels": _labels(role_set, role, slot),
            "annotations": _annotations(role_set, slot),
            "ownerReferences": [reference],
        },
        "spec": {
            "podGroupSize": group_size(role),
            "template": {**template, "spec": spec},
            "stateful": bool(role.get("stateful")),
        },
    }


def states(role: Object, members: list[Object]) -> list[RolePod]:
    """Return the states of a role's members, oldest first."""
    hash_ = template_hash(role["template"])
    found = []
    for member in members:
        labels = member["metadata"].get("labels") or {}
        if labels.get(_ROLE_NAME) != role["name"]:
            continue
        slot = labels.get(_SLOT, "")
        is_group = group_size(role) > 1
        state = RolePod(
            name=member["metadata"]["name"],
            slot=int(slot) if slot.isdecimal() else None,
            updated=labels.get(_HASH) == hash_,
            ready=(member.get("status") or {}).get("phase") == "Ready" if is_group else is_true(member, "Ready"),
            terminating=is_terminating(member),
            finished=not is_group and is_finished(member),
        )
        found.append(state)
    return found


def _service(role_set: Object) -> str:
    return str((role_set["metadata"].get("labels") or {}).get(SERVICE_NAME, ""))


def _labels(role_set: Object, role: Object, slot: int | None) -> dict[str, str]:
    labels = {
        _SET_NAME: role_set["metadata"]["name"],
        _ROLE_NAME: role["name"],
        _HASH: template_hash(role["template"]),
        SERVICE_NAME: _service(role_set),
    }
    return labels if slot is None else {**labels, _SLOT: str(slot)}


def _annotations(role_set: Object, slot: int | None) -> dict[str, str]:
    index = (role_set["metadata"].get("annotations") or {}).get(ROLE_SET_INDEX, "")
    return {ROLE_SET_INDEX: index, **({} if slot is None else {_SLOT: str(slot)})}


def _with_role_variables(spec: Object, role_set: Object, role: Object, slot: int | None) -> dict[str, Any]:
    variables = {
        "STORM_SERVICE_NAME": _service(role_set),
        "ROLESET_NAME": role_set["metadata"]["name"],
        "ROLESET_INDEX": (role_set["metadata"].get("annotations") or {}).get(ROLE_SET_INDEX, ""),
        "ROLE_NAME": role["name"],
        "ROLE_TEMPLATE_HASH": template_hash(role["template"]),
        **({} if slot is None else {"ROLE_REPLICA_INDEX": str(slot)}),
    }
    return {**spec, "containers": [with_variables(item, variables) for item in spec.get("containers") or ()]}


def with_variables(container: Object, variables: Mapping[str, str]) -> Object:
    """Return a container with variables in front of its own, which have no other value for them."""
    own = [{"name": name, "value": value} for name, value in variables.items()]
    return {**container, "env": [*own, *(item for item in container.get("env") or () if item["name"] not in variables)]}


def shortened(name: str) -> str:
    """Return a name of at most 62 characters: the first and the last ones (`Shorten`)."""
    return name if len(name) < _LONGEST_NAME else name[0] + name[len(name) - _LONGEST_NAME + 1 :]
