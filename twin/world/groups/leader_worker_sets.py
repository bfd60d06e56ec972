"""The LeaderWorkerSet controller: groups of a leader and its workers, replaced as one.

The leaders are pods of one StatefulSet with the set's name, and each leader owns the StatefulSet of its workers:
`NAME-0` with `NAME-0-1`, `NAME-0-2`, and so on. If a pod is deleted or a container of it restarts, the leader is
deleted in the foreground, its workers with it, and the group is created again (`RecreateGroupOnPodRestart`). Source:
`pkg/controllers` of kubernetes-sigs/lws 0.9; its webhook for pods is in `twin/apiserver/registry/groups`. Not
simulated: exclusive placement (`exclusive-topology`) and subgroups.
"""

from typing import Any, ClassVar

from twin.apiserver import Change
from twin.apiserver.meta.objects import Object, is_terminating, is_true, owner_reference
from twin.apiserver.registry.groups.leader_worker_pods import (
    GROUP_INDEX,
    GROUP_KEY,
    LEADER_NAME,
    SET_NAME,
    SIZE,
    WORKER_INDEX,
)
from twin.world.context import WorldContext
from twin.world.groups.group_controller import GroupController
from twin.world.groups.leader_worker_plan import Group, GroupRollout, Leaders
from twin.world.groups.leader_worker_status import group_status
from twin.world.workloads.replicasets import Index
from twin.world.workloads.revisions import HASH, Revisions, template_of
from twin.world.workloads.statefulsets import STATEFUL_SETS

_REVISION = "leaderworkerset.sigs.k8s.io/template-revision-hash"
_REPLICAS = "leaderworkerset.sigs.k8s.io/replicas"
_SUBDOMAIN = "leaderworkerset.sigs.k8s.io/subdomainPolicy"
_UNIQUE = "UniquePerReplica"


class LeaderWorkerSets(GroupController):
    """Keeps the groups of each LeaderWorkerSet."""

    resource: ClassVar = "leaderworkersets.leaderworkerset.x-k8s.io"
    api_version: ClassVar = "leaderworkerset.x-k8s.io/v1"
    kind: ClassVar = "LeaderWorkerSet"
    manager: ClassVar[str] = "lws"

    def __init__(self, context: WorldContext, pods: Index) -> None:
        super().__init__(context, pods)
        self._revisions: Revisions | None = None

    def _start(self) -> None:
        super()._start()
        self._revisions = Revisions(self._store, self.api_version, self.kind)
        self._store.subscribe(self._on_pod, STATEFUL_SETS)

    def _on_pod(self, change: Change) -> None:
        """Handle the set again that a pod or a StatefulSet belongs to."""
        meta = change.object["metadata"]
        if name := (meta.get("labels") or {}).get(SET_NAME):
            self._queue.add(f"{meta['namespace']}/{name}")

    def _sync(self, name: str, obj: Object, pods: list[Object]) -> None:  # noqa: ARG002
        if is_terminating(obj) or self._revisions is None:
            return
        versioned = _versioned(obj)
        update = self._revisions.update_revision(versioned)
        hash_ = update["metadata"]["labels"][HASH]
        leader_set = self._find(STATEFUL_SETS, obj["metadata"]["namespace"], obj["metadata"]["name"])
        leaders = [] if leader_set is None else self._pods.of(leader_set)
        groups = self._groups(leaders, hash_, _size(obj["spec"]))
        self._write_leaders(obj, hash_, leader_set, list(groups.values()))
        if (obj["spec"].get("networkConfig") or {}).get("subdomainPolicy") != _UNIQUE:
            selector = {SET_NAME: obj["metadata"]["name"]}
            self._ensure_headless_service(obj, obj["metadata"]["name"], selector, self._reference(obj))
        templates = {item["metadata"]["labels"][HASH]: template_of(item) for item in self._revisions.of(obj)}
        for leader in leaders:
            self._sync_group(obj, leader, templates)
        replicas = 0 if leader_set is None else (leader_set.get("status") or {}).get("replicas", 0)
        self._write_group_status(name, obj, group_status(obj, replicas, groups, self._now()))
        used = {(pod["metadata"]["labels"] or {}).get(_REVISION, "") for pod in leaders} | {hash_}
        self._revisions.trim(versioned, {f"{obj['metadata']['name']}-{item}" for item in used})

    def _groups(self, leaders: list[Object], hash_: str, size: int) -> dict[int, Group]:
        """Return the groups by index, without gaps; one whose leader is missing is not ready."""
        states: dict[int, Group] = {}
        for leader in leaders:
            index = leader["metadata"]["labels"].get(GROUP_INDEX, "")
            if index.isdecimal():
                states[int(index)] = self._group(leader, hash_, size)
        return {index: states.get(index, Group()) for index in range(max(states, default=-1) + 1)}

    def _group(self, leader: Object, hash_: str, size: int) -> Group:
        ready, updated = is_true(leader, "Ready"), leader["metadata"]["labels"].get(_REVISION) == hash_
        if size == 1:
            return Group(ready, updated, exists=True)
        workers = self._worker_set(leader)
        if workers is None:
            return Group()
        status, labels = workers.get("status") or {}, workers["metadata"].get("labels") or {}
        complete = status.get("readyReplicas", 0) == workers["spec"]["replicas"]
        return Group(ready and complete, updated and labels.get(_REVISION) == hash_, exists=True)

    def _worker_set(self, leader: Object) -> Object | None:
        """Return the StatefulSet of a leader's workers; None if it does not exist or is an earlier leader's."""
        meta = leader["metadata"]
        workers = self._find(STATEFUL_SETS, meta["namespace"], meta["name"])
        owners = (workers["metadata"].get("ownerReferences") or ()) if workers is not None else ()
        return workers if any(owner["uid"] == meta["uid"] for owner in owners) else None

    # -- Leaders

    def _write_leaders(self, obj: Object, hash_: str, current: Object | None, groups: list[Group]) -> None:
        """Create or update the StatefulSet of the leaders."""
        meta, spec = obj["metadata"], obj["spec"]
        rollout = GroupRollout.of(spec)
        partition, replicas = 0, rollout.replicas
        if current is not None:
            if is_terminating(current):
                return
            groups = [*groups, *[Group()] * (current["spec"]["replicas"] - len(groups))]
            is_new = current["metadata"]["labels"].get(_REVISION) != hash_
            partition, replicas = rollout.next_leaders(_leaders(current), groups, is_new=is_new)
        labels = {**(meta.get("labels") or {}), SET_NAME: meta["name"], _REVISION: hash_}
        body = {
            "metadata": {
                "name": meta["name"],
                "namespace": meta["namespace"],
                "labels": labels,
                "annotations": {**(meta.get("annotations") or {}), _REPLICAS: str(spec.get("replicas", 1))},
                "ownerReferences": [self._reference(obj)],
            },
            "spec": {
                "serviceName": meta["name"],
                "replicas": replicas,
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": {SET_NAME: meta["name"], WORKER_INDEX: "0"}},
                "template": _leader_template(obj, hash_),
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}},
            },
        }
        if current is None:
            self._create_missing(STATEFUL_SETS, body)
        else:
            change = {key: body["spec"][key] for key in ("replicas", "template", "updateStrategy")}
            patch = {"metadata": {key: body["metadata"][key] for key in ("labels", "annotations")}, "spec": change}
            self._store.patch(STATEFUL_SETS, meta["namespace"], meta["name"], patch, manager=self.manager)

    # -- Groups

    def _sync_group(self, obj: Object, leader: Object, templates: dict[str, Object]) -> None:
        """Create the workers of a leader, or delete the leader if the group has to be created again."""
        workers = self._worker_set(leader)
        members = [leader, *(self._pods.of(workers) if workers is not None else ())]
        size = _size(obj["spec"])
        if self._recreates(obj["spec"]["leaderWorkerTemplate"], members, size):
            if not is_terminating(leader):
                namespace, name, uid = (leader["metadata"][field] for field in ("namespace", "name", "uid"))
                self._store.delete("pods", namespace, name, uid=uid, propagation="Foreground")
            return
        if is_terminating(leader):
            return
        policy = (obj["spec"].get("networkConfig") or {}).get("subdomainPolicy")
        if policy == _UNIQUE:
            selector = {name: leader["metadata"]["labels"][name] for name in (SET_NAME, GROUP_INDEX)}
            owner = owner_reference(leader, "v1", "Pod")
            self._ensure_headless_service(obj, leader["metadata"]["name"], selector, owner)
        waits = obj["spec"].get("startupPolicy") == "LeaderReady" and not is_true(leader, "Ready")
        template = templates.get(leader["metadata"]["labels"].get(_REVISION, ""))
        if workers is None and size > 1 and not waits and template is not None:
            self._create_missing(STATEFUL_SETS, _workers_of(obj, leader, template["spec"]))

    def _recreates(self, template: Object, members: list[Object], size: int) -> bool:
        policy = template.get("restartPolicy", "RecreateGroupOnPodRestart")
        if policy not in ("RecreateGroupOnPodRestart", "RecreateGroupAfterStart"):
            return False
        if not any(is_terminating(pod) or _has_restarted(pod) for pod in members):
            return False
        started = len(members) == size and all(_phase(pod) != "Pending" for pod in members)
        return started or policy == "RecreateGroupOnPodRestart"


def _versioned(obj: Object) -> dict[str, Any]:
    """Return the set as an owner of revisions: what a revision keeps, and the selector of revisions to adopt."""
    kept = {name: obj["spec"][name] for name in ("leaderWorkerTemplate", "networkConfig") if name in obj["spec"]}
    selector = {"matchLabels": {SET_NAME: obj["metadata"]["name"]}}
    template = {"metadata": {"labels": {SET_NAME: obj["metadata"]["name"]}}, "spec": kept}
    return {**obj, "spec": {"template": template, "selector": selector}}


def _size(spec: Object) -> int:
    return int(spec["leaderWorkerTemplate"].get("size", 1))


def _leaders(stateful_set: Object) -> Leaders:
    spec = stateful_set["spec"]
    partition = (spec["updateStrategy"].get("rollingUpdate") or {}).get("partition", 0)
    wanted = (stateful_set["metadata"].get("annotations") or {}).get(_REPLICAS, "")
    return Leaders(spec["replicas"], partition, int(wanted) if wanted.isdecimal() else spec["replicas"])


def _leader_template(obj: Object, hash_: str) -> Object:
    spec = obj["spec"]
    template = spec["leaderWorkerTemplate"].get("leaderTemplate") or spec["leaderWorkerTemplate"]["workerTemplate"]
    labels = {WORKER_INDEX: "0", SET_NAME: obj["metadata"]["name"], _REVISION: hash_}
    annotations = {SIZE: str(_size(spec))}
    if (spec.get("networkConfig") or {}).get("subdomainPolicy") == _UNIQUE:
        annotations[_SUBDOMAIN] = _UNIQUE
    return _labelled(template, labels, annotations)


def _labelled(template: Object, labels: dict[str, str], annotations: dict[str, str]) -> Object:
    meta = template.get("metadata") or {}
    labels = {**(meta.get("labels") or {}), **labels}
    return {
        **template,
        "metadata": {**meta, "labels": labels, "annotations": {**(meta.get("annotations") or {}), **annotations}},
    }


def _workers_of(obj: Object, leader: Object, kept: Object) -> dict[str, Any]:
    """Return the StatefulSet of a leader's workers; `kept` is the part of the spec that the leader was made from."""
    meta, own = leader["metadata"], leader["metadata"]["labels"]
    selector = {name: own[name] for name in (GROUP_INDEX, SET_NAME, GROUP_KEY)}
    labels = {**selector, _REVISION: own[_REVISION]}
    size = int(kept["leaderWorkerTemplate"].get("size", 1))
    unique = (kept.get("networkConfig") or {}).get("subdomainPolicy") == _UNIQUE
    annotations = {SIZE: str(size), LEADER_NAME: meta["name"]}
    return {
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": {**(obj["metadata"].get("labels") or {}), **labels},
            "ownerReferences": [owner_reference(leader, "v1", "Pod")],
        },
        "spec": {
            "serviceName": meta["name"] if unique else obj["metadata"]["name"],
            "replicas": size - 1,
            "podManagementPolicy": "Parallel",
            "ordinals": {"start": 1},
            "selector": {"matchLabels": selector},
            "template": _labelled(kept["leaderWorkerTemplate"]["workerTemplate"], labels, annotations),
        },
    }


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def _has_restarted(pod: Object) -> bool:
    status = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return _phase(pod) in ("Running", "Pending") and any(item.get("restartCount", 0) for item in containers)
