"""The Job controller: pods that run to completion.

Source: `syncJob` and `manageJob` in Kubernetes' `pkg/controller/job/job_controller.go`. Not simulated: the finalizer
with which pods are counted (they are counted once, by uid), failure and success policies, and back-off per index.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from formats.timestamps import format_time, parse_timestamp
from twin.apiserver import Change
from twin.apiserver.meta.objects import Object, condition, is_finished, is_terminating, is_true, split, with_conditions
from twin.world.context import WorldContext
from twin.world.names import pod_name
from twin.world.workloads.pod_controller import PodController, pod_from_template
from twin.world.workloads.replicasets import Index, deletion_order

JOBS = "jobs.batch"
_INDEX = "batch.kubernetes.io/job-completion-index"
_FIRST_BACKOFF = 10.0  # seconds; DefaultJobPodFailureBackOff
_LONGEST_BACKOFF = 600.0  # seconds; MaxJobPodFailureBackOff


@dataclass(slots=True)
class _Counts:
    """Ended pods of one Job, by uid, and when the last of them failed."""

    succeeded: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    """Values are completion indexes, -1 without one."""
    removed: set[str] = field(default_factory=set)
    """Pods that the controller has deleted because they were too many; they do not count."""
    last_failure: float = 0.0
    failures_in_a_row: int = 0


class Jobs(PodController):
    """Keeps the pods of each Job until it is complete or has failed."""

    resource: ClassVar = JOBS
    api_version: ClassVar = "batch/v1"
    kind: ClassVar = "Job"

    def __init__(self, context: WorldContext, pods: Index) -> None:
        super().__init__(context, pods)
        self._counts: dict[str, _Counts] = {}

    def _on_object(self, change: Change) -> None:
        super()._on_object(change)
        if change.type == "DELETED":
            self._counts.pop(change.object["metadata"]["uid"], None)

    def _on_pod(self, change: Change) -> None:
        super()._on_pod(change)
        if change.type == "DELETED":  # its end is counted though the object is gone
            for owner in change.object["metadata"].get("ownerReferences") or ():
                if owner["uid"] in self._keys:
                    self._count(self._counts.setdefault(owner["uid"], _Counts()), change.object, is_gone=True)

    def _sync(self, name: str, obj: Object, pods: list[Object]) -> None:
        if _ended(obj):
            self._delete_after_ttl(name, obj)
            return
        counts = self._counts.setdefault(obj["metadata"]["uid"], _Counts())
        for pod in pods:
            self._count(counts, pod)
        active = [pod for pod in pods if not is_finished(pod) and not is_terminating(pod)]
        start = (obj.get("status") or {}).get("startTime") or format_time(self._now())
        failure = self._failure(name, obj, counts, start)
        if failure:
            for pod in active:
                self._delete_pod(pod)
            active = []
        elif not is_terminating(obj):
            active = self._manage(name, obj, counts, active)
        verdict = _failed(*failure) if failure else _success(obj, counts, active)
        self._write(name, obj, counts, active, verdict, None if obj["spec"].get("suspend") else start)

    def _count(self, counts: _Counts, pod: Object, *, is_gone: bool = False) -> None:
        """Count a pod that has ended; one that is deleted while it runs has failed."""
        uid, phase = pod["metadata"]["uid"], (pod.get("status") or {}).get("phase")
        if uid in counts.succeeded or uid in counts.failed or uid in counts.removed:
            return
        if phase == "Succeeded":
            counts.succeeded[uid] = _index(pod)
            counts.failures_in_a_row = 0
        elif phase == "Failed" or is_terminating(pod) or is_gone:
            counts.failed[uid] = _index(pod)
            counts.failures_in_a_row += 1
            counts.last_failure = self._context.env.now

    def _failure(self, name: str, obj: Object, counts: _Counts, start: str) -> tuple[str, str] | None:
        """Return reason and message if the Job has failed."""
        spec = obj["spec"]
        if not spec.get("suspend") and len(counts.failed) > spec.get("backoffLimit", 6):
            return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is None or spec.get("suspend"):
            return None
        left = deadline - (self._now() - parse_timestamp(start)).total_seconds()
        if left <= 0:
            return "DeadlineExceeded", "Job was active longer than specified deadline"
        self._later(name, left)
        return None

    def _manage(self, name: str, obj: Object, counts: _Counts, active: list[Object]) -> list[Object]:
        """Create or delete pods; return those that are active then."""
        wanted = _wanted(obj["spec"], len(_succeeded(obj, counts)), len(active))
        if len(active) > wanted:
            removed = deletion_order(active)[: len(active) - wanted]
            counts.removed.update(pod["metadata"]["uid"] for pod in removed)
            for pod in removed:
                self._delete_pod(pod)
            return [pod for pod in active if pod not in removed]
        wait = self._backoff(counts)
        if len(active) < wanted and wait > 0:
            self._later(name, wait)
            return active
        indexes = _free_indexes(obj, counts, active)
        for number in range(wanted - len(active)):
            index = indexes[number] if indexes is not None else None
            if created := self._create(name, obj, index):
                active = [*active, created]
        return active

    def _backoff(self, counts: _Counts) -> float:
        """Return the seconds until another pod may be created."""
        if not counts.failures_in_a_row:
            return 0.0
        delay = min(_FIRST_BACKOFF * 2.0 ** (counts.failures_in_a_row - 1), _LONGEST_BACKOFF)
        return counts.last_failure + delay - self._context.env.now

    def _create(self, name: str, obj: Object, index: int | None) -> Object | None:
        template, short = obj["spec"]["template"], split(name)[1]
        base = short if index is None else f"{short}-{index}"
        identity = {} if index is None else {_INDEX: str(index)}
        more = {} if index is None else {"hostname": base}
        pod = pod_from_template(template, obj, self._reference(obj), labels=identity, **more)
        if index is not None:
            pod["metadata"]["annotations"] = {**(pod["metadata"].get("annotations") or {}), **identity}
        pod["metadata"] |= {
            "generateName": f"{base}-",
            "name": pod_name(base, self._context.streams.get(f"job/{name}/pod-names")),
        }
        return self._create_pod(obj, pod)

    def _write(
        self,
        name: str,
        obj: Object,
        counts: _Counts,
        active: list[Object],
        verdict: list[dict[str, str]],
        start: str | None,
    ) -> None:
        now = format_time(self._now())
        before = obj.get("status") or {}
        suspended = condition(obj, "Suspended")
        conditions = list(verdict)
        if obj["spec"].get("suspend"):
            conditions = [_condition("Suspended", "True", "JobSuspended", "Job suspended")]
        elif suspended is not None and suspended["status"] == "True":
            conditions.insert(0, _condition("Suspended", "False", "JobResumed", "Job resumed"))
        status: dict[str, Any] = {
            "active": len(active),
            "ready": sum(is_true(pod, "Ready") for pod in active),
            "succeeded": len(_succeeded(obj, counts)),
            "failed": len(counts.failed),
            "terminating": sum(is_terminating(pod) for pod in self._pods.of(obj) if not is_finished(pod)),
            "uncountedTerminatedPods": {},
        }
        status = {field: value for field, value in status.items() if value or field in _ALWAYS}
        if start is not None:
            status["startTime"] = start
        if any(item["type"] == "Complete" for item in verdict):
            status["completionTime"] = now
        if conditions or before.get("conditions"):
            merged = with_conditions(before.get("conditions") or (), conditions, now)
            status["conditions"] = [{"lastProbeTime": item["lastTransitionTime"], **item} for item in merged]
        self._write_status(name, obj, status)
        if verdict and obj["spec"].get("ttlSecondsAfterFinished") is not None:
            self._later(name, obj["spec"]["ttlSecondsAfterFinished"])

    def _delete_after_ttl(self, name: str, obj: Object) -> None:
        ttl = obj["spec"].get("ttlSecondsAfterFinished")
        ended = _ended(obj)
        if ttl is None or ended is None or is_terminating(obj):
            return
        left = ttl - (self._now() - parse_timestamp(ended["lastTransitionTime"])).total_seconds()
        if left > 0:
            self._later(name, left)
            return
        namespace, short = split(name)
        self._store.delete(JOBS, namespace, short, uid=obj["metadata"]["uid"], propagation="Foreground")


_ALWAYS = ("ready", "terminating", "uncountedTerminatedPods")


def _ended(job: Object) -> Object | None:
    """Return the condition with which a Job has ended; None while it runs."""
    for type_ in ("Complete", "Failed"):
        if is_true(job, type_):
            return condition(job, type_)
    return None


def _wanted(spec: Object, succeeded: int, active: int) -> int:
    """Return the number of pods that should be active."""
    if spec.get("suspend"):
        return 0
    parallelism, completions = spec.get("parallelism", 1), spec.get("completions")
    if completions is None:
        return active if succeeded else int(parallelism)
    return max(0, min(int(completions) - succeeded, int(parallelism)))


def _index(pod: Object) -> int:
    return int((pod["metadata"].get("annotations") or {}).get(_INDEX, -1))


def _succeeded(obj: Object, counts: _Counts) -> list[Any]:
    """Return the successes that count: pods, or different indexes of an indexed Job."""
    if obj["spec"].get("completionMode") == "Indexed":
        return sorted(set(counts.succeeded.values()))
    return list(counts.succeeded)


def _free_indexes(obj: Object, counts: _Counts, active: list[Object]) -> list[int] | None:
    """Return the indexes of an indexed Job that need a pod, lowest first; None for other Jobs."""
    if obj["spec"].get("completionMode") != "Indexed":
        return None
    taken = {*counts.succeeded.values(), *(_index(pod) for pod in active)}
    return [index for index in range(obj["spec"]["completions"]) if index not in taken]


def _success(obj: Object, counts: _Counts, active: list[Object]) -> list[dict[str, str]]:
    completions, succeeded = obj["spec"].get("completions"), len(_succeeded(obj, counts))
    if active or obj["spec"].get("suspend") or succeeded < (1 if completions is None else completions):
        return []
    reason, message = "CompletionsReached", "Reached expected number of succeeded pods"
    return [_condition(type_, "True", reason, message) for type_ in ("SuccessCriteriaMet", "Complete")]


def _failed(reason: str, message: str) -> list[dict[str, str]]:
    return [_condition(type_, "True", reason, message) for type_ in ("FailureTarget", "Failed")]


def _condition(type_: str, status: str, reason: str, message: str) -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason, "message": message}
