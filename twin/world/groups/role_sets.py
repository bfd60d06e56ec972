"""The RoleSet controller of AIBrix: pods of several roles, such as prefill and decode, that belong together.

The decisions are in `role_plan.py`. Pods of a stateful role are called `ROLESET-ROLE-HASH-SLOT`, others get a random
suffix. Source: `pkg/controller/roleset` of vllm-project/aibrix 0.7. Not simulated: roles with a `podGroupSize` above 1,
whose pods belong to PodSets; gang scheduling and topology; `Interleave`, which is handled as `Parallel`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from formats.timestamps import format_time
from twin.apiserver.meta.objects import Object, is_finished, is_terminating, is_true, with_conditions
from twin.world.groups.group_controller import GroupController
from twin.world.groups.role_plan import Role, RolePod, RoleSteps, is_complete, rollout, scale
from twin.world.names import pod_name, template_hash
from twin.world.workloads.pod_controller import pod_from_template

SERVICE_NAME = "storm-service-name"
ROLE_SET_INDEX = "stormservice.orchestration.aibrix.ai/roleset-index"
_SET_NAME, _ROLE_NAME, _HASH = "roleset-name", "role-name", "role-template-hash"
_SLOT = "stormservice.orchestration.aibrix.ai/role-replica-index"
_LONGEST_NAME = 63


class RoleSets(GroupController):
    """Keeps the pods of each RoleSet."""

    resource: ClassVar = "rolesets.orchestration.aibrix.ai"
    api_version: ClassVar = "orchestration.aibrix.ai/v1alpha1"
    kind: ClassVar = "RoleSet"
    manager: ClassVar[str] = "aibrix-controller-manager"

    def _sync(self, name: str, obj: Object, pods: list[Object]) -> None:
        if is_terminating(obj):
            return
        roles = list(obj["spec"].get("roles") or ())
        states = {role["name"]: (Role.of(role), _states(role, pods)) for role in roles}
        steps = {role: scale(*state) for role, state in states.items()}
        if not any(step.create or step.delete for step in steps.values()):
            steps = _next_rollout(obj["spec"], states)
        by_name = {pod["metadata"]["name"]: pod for pod in pods}
        for role in roles:
            step = steps.get(role["name"], RoleSteps())
            for slot in step.create:
                self._create_role_pod(obj, role, slot)
            for pod in step.delete:
                self._delete_pod(by_name[pod])
        self._write_group_status(name, obj, self._status(obj, states))

    def _create_role_pod(self, obj: Object, role: Object, slot: int | None) -> None:
        name, hash_ = f"{obj['metadata']['name']}-{role['name']}", template_hash(role["template"])
        if slot is None:
            rng = self._context.streams.get(f"roleset/{obj['metadata']['namespace']}/{name}/pod-names")
            name = pod_name(name, rng)
        else:
            name = _shortened(f"{name}-{hash_}-{slot}")
        service = (obj["metadata"].get("labels") or {}).get(SERVICE_NAME, "")
        labels = {_SET_NAME: obj["metadata"]["name"], _ROLE_NAME: role["name"], _HASH: hash_, SERVICE_NAME: service}
        labels |= {} if slot is None else {_SLOT: str(slot)}
        pod = pod_from_template(role["template"], obj, self._reference(obj), labels=labels, hostname=name)
        if service:
            pod["spec"]["subdomain"] = service
        variables = _variables(obj, role, slot, hash_)
        pod["spec"]["containers"] = [_with_variables(item, variables) for item in pod["spec"].get("containers") or ()]
        index = (obj["metadata"].get("annotations") or {}).get(ROLE_SET_INDEX, "")
        annotations = {ROLE_SET_INDEX: index, **({} if slot is None else {_SLOT: str(slot)})}
        pod["metadata"] |= {"name": name, "annotations": {**(pod["metadata"].get("annotations") or {}), **annotations}}
        if slot is not None:
            del pod["metadata"]["generateName"]
        self._create_allowed(obj, pod)

    def _status(self, obj: Object, states: Mapping[str, tuple[Role, list[RolePod]]]) -> dict[str, Any]:
        ready = all(is_complete(role, pods) for role, pods in states.values())
        true = {
            "type": "Ready" if ready else "Progressing",
            "status": "True",
            "reason": "Ready" if ready else "Processing",
        }
        old = [item for item in (obj.get("status") or {}).get("conditions") or () if item["type"] == true["type"]]
        roles = [
            {
                "name": name,
                "replicas": sum(pod.active for pod in pods),
                "readyReplicas": sum(pod.active and pod.ready for pod in pods),
                "notReadyReplicas": sum(pod.active and not pod.ready for pod in pods),
                "updatedReplicas": sum(pod.active and pod.updated for pod in pods),
                "updatedReadyReplicas": sum(pod.active and pod.updated and pod.ready for pod in pods),
            }
            for name, (_, pods) in states.items()
        ]
        return {"conditions": with_conditions(old, [true], format_time(self._now())), "roles": roles}


def _next_rollout(spec: Object, states: Mapping[str, tuple[Role, list[RolePod]]]) -> dict[str, RoleSteps]:
    """Return the next steps of an update: of all roles, or of the first that is not complete (`Sequential`)."""
    if spec.get("updateStrategy", "Sequential") != "Sequential":
        return {name: rollout(*state) for name, state in states.items()}
    order = {role["name"]: role.get("upgradeOrder") for role in spec.get("roles") or ()}
    steps = {}
    for name in sorted(states, key=lambda name: (order[name] is None, order[name] or 0)):
        steps[name] = rollout(*states[name])
        if not is_complete(*states[name]):
            break
    return steps


def _states(role: Object, pods: list[Object]) -> list[RolePod]:
    """Return the states of a role's pods, oldest first."""
    hash_ = template_hash(role["template"])
    states = []
    for pod in pods:
        labels = pod["metadata"].get("labels") or {}
        if labels.get(_ROLE_NAME) != role["name"]:
            continue
        slot = labels.get(_SLOT, "")
        state = RolePod(
            name=pod["metadata"]["name"],
            slot=int(slot) if slot.isdecimal() else None,
            updated=labels.get(_HASH) == hash_,
            ready=is_true(pod, "Ready"),
            terminating=is_terminating(pod),
            finished=is_finished(pod),
        )
        states.append(state)
    return states


def _variables(obj: Object, role: Object, slot: int | None, hash_: str) -> dict[str, str]:
    meta = obj["metadata"]
    variables = {
        "STORM_SERVICE_NAME": (meta.get("labels") or {}).get(SERVICE_NAME, ""),
        "ROLESET_NAME": meta["name"],
        "ROLESET_INDEX": (meta.get("annotations") or {}).get(ROLE_SET_INDEX, ""),
        "ROLE_NAME": role["name"],
        "ROLE_TEMPLATE_HASH": hash_,
    }
    return variables if slot is None else {**variables, "ROLE_REPLICA_INDEX": str(slot)}


def _with_variables(container: Object, variables: Mapping[str, str]) -> Object:
    own = [{"name": name, "value": value} for name, value in variables.items()]
    return {**container, "env": [*own, *(item for item in container.get("env") or () if item["name"] not in variables)]}


def _shortened(name: str) -> str:
    """Return a name of at most 62 characters: the first and the last ones (`Shorten`)."""
    return name if len(name) < _LONGEST_NAME else name[0] + name[len(name) - _LONGEST_NAME + 1 :]
