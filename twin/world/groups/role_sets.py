"""The RoleSet controller of AIBrix: pods of several roles, such as prefill and decode, that belong together.

The decisions are in `role_plan.py`. Pods of a stateful role are called `ROLESET-ROLE-HASH-SLOT`, others get a random
suffix; the members of a role with a `podGroupSize` above 1 are PodSets. Source: `pkg/controller/roleset` of
vllm-project/aibrix 0.7. Not simulated: gang scheduling and topology; `Interleave`, which is handled as `Parallel`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from formats.timestamps import format_time
from twin.apiserver import Change
from twin.apiserver.meta.objects import Object, controller_uid, is_terminating, with_conditions
from twin.world.context import WorldContext
from twin.world.groups.group_controller import GroupController
from twin.world.groups.pod_sets import POD_SETS
from twin.world.groups.role_members import group_size, member_name, new_pod, new_pod_set, states
from twin.world.groups.role_plan import Role, RolePod, RoleSteps, is_complete, rollout, scale
from twin.world.names import pod_name
from twin.world.workloads.replicasets import Index


class RoleSets(GroupController):
    """Keeps the members of each RoleSet."""

    resource: ClassVar = "rolesets.orchestration.aibrix.ai"
    api_version: ClassVar = "orchestration.aibrix.ai/v1alpha1"
    kind: ClassVar = "RoleSet"
    manager: ClassVar[str] = "aibrix-controller-manager"

    def __init__(self, context: WorldContext, pods: Index) -> None:
        super().__init__(context, pods)
        self._pod_sets = Index()

    def _start(self) -> None:
        super()._start()
        self._store.subscribe(self._on_pod_set, POD_SETS)

    def _on_pod_set(self, change: Change) -> None:
        self._pod_sets.put(change)
        if (uid := controller_uid(change.object)) in self._keys:
            self._queue.add(self._keys[uid])

    def _sync(self, name: str, obj: Object, pods: list[Object]) -> None:
        if is_terminating(obj):
            return
        roles = list(obj["spec"].get("roles") or ())
        groups = self._pod_sets.of(obj)
        members = {role["name"]: (_role(role), states(role, _members(role, pods, groups))) for role in roles}
        steps = {role: scale(*state) for role, state in members.items()}
        if not any(step.create or step.delete for step in steps.values()):
            steps = _next_rollout(obj["spec"], members)
        for role in roles:
            by_name = {item["metadata"]["name"]: item for item in _members(role, pods, groups)}
            step = steps.get(role["name"], RoleSteps())
            for slot in step.create:
                self._create_member(obj, role, slot)
            for member in step.delete:
                self._delete_member(role, by_name[member])
        self._write_group_status(name, obj, self._status(obj, members))

    def _create_member(self, obj: Object, role: Object, slot: int | None) -> None:
        if group_size(role) > 1 and slot is not None:
            self._create_missing(POD_SETS, new_pod_set(obj, role, slot, self._reference(obj)))
            return
        if slot is None:
            name = f"{obj['metadata']['name']}-{role['name']}"
            rng = self._context.streams.get(f"roleset/{obj['metadata']['namespace']}/{name}/pod-names")
            name = pod_name(name, rng)
        else:
            name = member_name(obj, role, slot)
        self._create_allowed(obj, new_pod(obj, role, slot, name, self._reference(obj)))

    def _delete_member(self, role: Object, member: Object) -> None:
        if group_size(role) > 1:
            self._delete_object(POD_SETS, member)
        else:
            self._delete_pod(member)

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


def _role(spec: Object) -> Role:
    """Return a role; one of PodSets always has slots."""
    role = Role.of(spec)
    return replace(role, stateful=True) if group_size(spec) > 1 else role


def _members(role: Object, pods: list[Object], groups: list[Object]) -> list[Object]:
    return groups if group_size(role) > 1 else pods
