"""Cells of a Job's row in `kubectl get jobs`, and of the owner of a ControllerRevision.

Source: `printJob` and `printControllerRevision` in `k8s.io/kubernetes/pkg/printers/internalversion/printers.go`.
"""

from datetime import datetime

from formats.timestamps import parse_timestamp
from twin.apiserver.meta.errors import Object
from twin.apiserver.rest.printers.age import age, human_duration

_ENDED = ("Complete", "Failed")
_NOT_ENDED = ("Suspended", "FailureTarget", "SuccessCriteriaMet")


def job_status(job: Object, _now: datetime) -> str:
    """Return the status column: the most important condition that is True."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    true = {condition["type"] for condition in conditions if condition["status"] == "True"}
    if ended := next((name for name in _ENDED if name in true), ""):
        return ended
    if job["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return next((name for name in _NOT_ENDED if name in true), "Running")


def job_completions(job: Object, _now: datetime) -> str:
    """Return succeeded and desired pods."""
    spec, succeeded = job["spec"], (job.get("status") or {}).get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    return f"{succeeded}/1 of {spec['parallelism']}" if spec.get("parallelism", 0) > 1 else f"{succeeded}/1"


def job_duration(job: Object, now: datetime) -> str:
    """Return the time from the start of the Job to its completion, or until now."""
    status = job.get("status") or {}
    start, end = status.get("startTime"), status.get("completionTime")
    if not start:
        return ""
    if not end:
        return age(start, now)
    return human_duration((parse_timestamp(end) - parse_timestamp(start)).total_seconds())


def owner(revision: Object, _now: datetime) -> str:
    """Return the controller of an object, as `statefulset.apps/llm`."""
    for reference in revision["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            group = reference["apiVersion"].rpartition("/")[0]
            return f"{reference['kind'].lower()}{'.' + group if group else ''}/{reference['name']}"
    return "<none>"
