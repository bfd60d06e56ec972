"""Stories of Jobs: completion, failure, suspension."""

from typing import Any

from tests.conformance_kubernetes.api import Object
from tests.conformance_kubernetes.manifests import template
from tests.conformance_kubernetes.stage import Stage, Story

_KINDS = ("Job", "Pod")


def _job(policy: str = "Never", **spec: Any) -> Object:
    return {
        "kind": "Job",
        "metadata": {"name": "work"},
        "spec": {"template": template(restartPolicy=policy), **spec},
    }


async def _completes(stage: Stage) -> None:
    await stage.create(_job())
    await stage.step("create")
    await stage.kubelet.run()
    await stage.step("pod ready")
    await stage.kubelet.finish("Succeeded")
    await stage.step("pod succeeded")


async def _parallel(stage: Stage) -> None:
    await stage.create(_job(completions=3, parallelism=2))
    await stage.step("create")
    await stage.kubelet.run()
    await stage.kubelet.finish("Succeeded", 1)
    await stage.step("one pod succeeded")
    await stage.kubelet.run()
    await stage.kubelet.finish("Succeeded")
    await stage.step("all succeeded")


async def _fails(stage: Stage) -> None:
    await stage.create(_job(backoffLimit=1))
    await stage.step("create")
    await stage.kubelet.run()
    await stage.kubelet.finish("Failed")
    await stage.wait(12)
    await stage.step("pod failed")
    await stage.kubelet.run()
    await stage.kubelet.finish("Failed")
    await stage.step("second pod failed")


async def _suspended(stage: Stage) -> None:
    await stage.create(_job(suspend=True))
    await stage.step("create suspended")
    await stage.patch("Job", "work", {"spec": {"suspend": False}})
    await stage.step("resume")
    await stage.kubelet.run()
    await stage.patch("Job", "work", {"spec": {"suspend": True}})
    await stage.step("suspend")
    await stage.kubelet.end_deleted()
    await stage.step("pod gone")


async def _indexed(stage: Stage) -> None:
    await stage.create(_job(completions=2, parallelism=2, completionMode="Indexed"))
    await stage.step("create")
    await stage.kubelet.run()
    await stage.kubelet.finish("Succeeded")
    await stage.step("all succeeded")


async def _deadline(stage: Stage) -> None:
    await stage.create(_job(activeDeadlineSeconds=5))
    await stage.step("create")
    await stage.kubelet.run()
    await stage.wait(6)
    await stage.step("deadline exceeded")
    await stage.kubelet.end_deleted()
    await stage.step("pod gone")


async def _ttl(stage: Stage) -> None:
    await stage.create(_job(ttlSecondsAfterFinished=5))
    await stage.step("create")
    await stage.kubelet.run()
    await stage.kubelet.finish("Succeeded")
    await stage.step("pod succeeded")
    await stage.wait(6)
    await stage.step("time to live is over")


async def _deleted_pod(stage: Stage) -> None:
    await stage.create(_job())
    await stage.step("create")
    await stage.kubelet.run()
    await stage.delete("Pod", await stage.kubelet.name_of(0))
    await stage.step("delete the pod")
    await stage.kubelet.end_deleted()
    await stage.wait(12)
    await stage.step("pod gone")


STORIES = (
    Story("job-completes", _KINDS, _completes, quiet=3),
    Story("job-parallel", _KINDS, _parallel, quiet=3),
    Story("job-fails", _KINDS, _fails, quiet=3),
    Story("job-suspended", _KINDS, _suspended, quiet=3),
    Story("job-indexed", _KINDS, _indexed, quiet=3),
    Story("job-deadline", _KINDS, _deadline, quiet=3),
    Story("job-ttl", _KINDS, _ttl, quiet=3),
    Story("job-deleted-pod", _KINDS, _deleted_pod, quiet=3),
)
