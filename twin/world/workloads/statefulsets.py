"""The StatefulSet controller: pods with stable names, created and replaced in order.

The decisions are in `stateful_plan.py`. Claims of `volumeClaimTemplates` are created and never bound or deleted: pods
do not wait for volumes. Not simulated: `maxUnavailable`, which needs a feature gate that is off by default.
"""

from typing import Any, ClassVar

from twin.apiserver import ApiError
from twin.apiserver.meta.objects import Object, is_finished, is_terminating, is_true, key
from twin.world.context import WorldContext
from twin.world.workloads.pod_controller import MANAGER, PodController, pod_from_template
from twin.world.workloads.replicasets import Index
from twin.world.workloads.revisions import HASH, Revisions, template_of
from twin.world.workloads.stateful_plan import StatefulPod, Steps, Wanted, next_steps

STATEFUL_SETS = "statefulsets.apps"
_POD_NAME = "statefulset.kubernetes.io/pod-name"
_POD_INDEX = "apps.kubernetes.io/pod-index"
_CLAIMS = "persistentvolumeclaims"
NAME_TAKEN_RETRY = (
    1.0  # seconds until a pod whose name another pod still has is tried again; client-go backs off from 5 ms
)


class StatefulSets(PodController):
    """Keeps the pods of each StatefulSet."""

    resource: ClassVar = STATEFUL_SETS
    api_version: ClassVar = "apps/v1"
    kind: ClassVar = "StatefulSet"

    def __init__(self, context: WorldContext, pods: Index) -> None:
        super().__init__(context, pods)
        self._revisions = Revisions(self._store, self.api_version, self.kind)

    def _sync(self, name: str, obj: Object, pods: list[Object]) -> None:
        update = self._revisions.update_revision(obj)
        revisions = {item["metadata"]["name"]: item for item in self._revisions.of(obj)}
        current = revisions.get((obj.get("status") or {}).get("currentRevision", ""), update)
        by_ordinal = {ordinal: pod for pod in pods if (ordinal := _ordinal(obj, pod)) is not None}
        states = {ordinal: self._state(obj, ordinal, pod) for ordinal, pod in by_ordinal.items()}
        steps = Steps()
        wanted = _wanted(obj["spec"], update["metadata"]["name"])
        if not is_terminating(obj):
            steps = next_steps(wanted, list(states.values()))
        for ordinal in steps.create:
            is_old = ordinal < wanted.start + (wanted.partition or 0)
            self._create(obj, current if is_old else update, ordinal)
        for ordinal in steps.delete:
            self._delete_pod(by_ordinal[ordinal])
        names = (current["metadata"]["name"], update["metadata"]["name"])
        self._write_status(name, obj, _status(obj, list(by_ordinal.values()), list(states.values()), names, steps))
        used = {*names, *(state.revision for state in states.values())}
        self._revisions.trim(obj, used)
        self._wait_for_availability(name, obj, pods)

    def _adopts(self, obj: Object, pod: Object) -> bool:
        return super()._adopts(obj, pod) and _ordinal(obj, pod) is not None

    def _state(self, obj: Object, ordinal: int, pod: Object) -> StatefulPod:
        return StatefulPod(
            ordinal=ordinal,
            revision=(pod["metadata"].get("labels") or {}).get(HASH, ""),
            available=_is_running(pod) and self._until_available(pod, _min_ready(obj)) == 0,
            terminating=is_terminating(pod),
            finished=is_finished(pod),
        )

    def _wait_for_availability(self, name: str, obj: Object, pods: list[Object]) -> None:
        if not _min_ready(obj):
            return
        waits = [wait for pod in pods if (wait := self._until_available(pod, _min_ready(obj)))]
        if waits:
            self._later(name, min(waits))

    def _create(self, obj: Object, revision: Object, ordinal: int) -> None:
        meta, spec = obj["metadata"], obj["spec"]
        pod_name = f"{meta['name']}-{ordinal}"
        template = template_of(revision)
        identity = {_POD_NAME: pod_name, _POD_INDEX: str(ordinal), HASH: revision["metadata"]["name"]}
        claims = {
            claim["metadata"]["name"]: f"{claim['metadata']['name']}-{pod_name}"
            for claim in spec.get("volumeClaimTemplates") or ()
        }
        for claim in spec.get("volumeClaimTemplates") or ():
            self._create_claim(obj, claim, claims[claim["metadata"]["name"]])
        more: dict[str, Any] = {"hostname": pod_name, "subdomain": spec.get("serviceName", "")}
        if claims:
            others = [item for item in template["spec"].get("volumes") or () if item["name"] not in claims]
            own = [{"name": key, "persistentVolumeClaim": {"claimName": name}} for key, name in claims.items()]
            more["volumes"] = [*own, *others]
        more = {key: value for key, value in more.items() if value}
        pod = pod_from_template(template, obj, self._reference(obj), labels=identity, **more)
        pod["metadata"]["name"] = pod_name
        if self._create_pod(obj, pod) is None:
            self._later(key(obj), NAME_TAKEN_RETRY)

    def _create_claim(self, obj: Object, claim: Object, name: str) -> None:
        """Create the claim of a pod unless it exists: it outlives its pod."""
        labels = {**(claim["metadata"].get("labels") or {}), **(obj["spec"]["selector"].get("matchLabels") or {})}
        body = {"metadata": {**claim["metadata"], "name": name, "labels": labels}, "spec": claim.get("spec") or {}}
        try:
            self._store.create(_CLAIMS, body, namespace=obj["metadata"]["namespace"], manager=MANAGER)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise


def _wanted(spec: Object, update: str) -> Wanted:
    strategy = spec.get("updateStrategy") or {}
    rolling = strategy.get("type", "RollingUpdate") == "RollingUpdate"
    return Wanted(
        replicas=spec.get("replicas", 1),
        start=(spec.get("ordinals") or {}).get("start", 0),
        ordered=spec.get("podManagementPolicy") != "Parallel",
        partition=(strategy.get("rollingUpdate") or {}).get("partition", 0) if rolling else None,
        update=update,
    )


def _status(
    obj: Object, pods: list[Object], states: list[StatefulPod], revisions: tuple[str, str], steps: Steps
) -> dict[str, Any]:
    """Return the status; `revisions` are the current one and that of the present template."""
    current, update = revisions
    staying = [state for state in states if not state.terminating]
    status = {
        "observedGeneration": obj["metadata"].get("generation", 1),
        "replicas": len(pods),
        "readyReplicas": sum(_is_running(pod) and is_true(pod, "Ready") for pod in pods),
        "availableReplicas": sum(state.available for state in states),
        "currentReplicas": sum(state.revision == current for state in staying) - steps.updates,
        "updatedReplicas": sum(state.revision == update for state in staying),
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": 0,
    }
    replicas = obj["spec"].get("replicas", 1)
    rolling = (obj["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"
    if rolling and replicas == status["updatedReplicas"] == status["readyReplicas"] == status["replicas"]:
        status |= {"currentReplicas": status["updatedReplicas"], "currentRevision": update}
    return status


def _ordinal(obj: Object, pod: Object) -> int | None:
    """Return the number in a pod's name; None if the name is not of this set."""
    parent, _, number = pod["metadata"]["name"].rpartition("-")
    return int(number) if parent == obj["metadata"]["name"] and number.isdecimal() else None


def _is_running(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running"


def _min_ready(obj: Object) -> int:
    return obj["spec"].get("minReadySeconds") or 0
