"""Stories of Deployments: rollouts, scaling, conditions."""

from tests.conformance_kubernetes.manifests import template, workload
from tests.conformance_kubernetes.stage import Stage, Story

_KINDS = ("Deployment", "ReplicaSet", "Pod")
_NEW_IMAGE = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}}}
_OLD_IMAGE = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}}}


def _rolling(surge: int | str, unavailable: int | str) -> dict[str, object]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


async def _started(stage: Stage, replicas: int, **spec: object) -> None:
    """Create a Deployment whose pods are all ready."""
    await stage.create(workload("Deployment", replicas, **spec))
    await stage.step(f"create with {replicas} replicas")
    await stage.kubelet.run()
    await stage.step("all pods ready")


async def _rounds(stage: Stage, count: int) -> None:
    """Let new pods become ready and deleted ones end, round by round."""
    for number in range(1, count + 1):
        await stage.kubelet.run()
        await stage.step(f"new pods ready {number}")
        await stage.kubelet.end_deleted()
        await stage.step(f"deleted pods gone {number}")


async def _defaults(stage: Stage) -> None:
    await _started(stage, 4)
    await stage.patch("Deployment", "web", _NEW_IMAGE)
    await stage.step("new image")
    await _rounds(stage, 3)


async def _surge(stage: Stage) -> None:
    await _started(stage, 3, strategy=_rolling(1, 0))
    await stage.patch("Deployment", "web", _NEW_IMAGE)
    await stage.step("new image")
    await _rounds(stage, 3)


async def _unavailable(stage: Stage) -> None:
    await _started(stage, 3, strategy=_rolling(0, 1))
    await stage.patch("Deployment", "web", _NEW_IMAGE)
    await stage.step("new image")
    await _rounds(stage, 3)


async def _recreate(stage: Stage) -> None:
    await _started(stage, 2, strategy={"type": "Recreate"})
    await stage.patch("Deployment", "web", _NEW_IMAGE)
    await stage.step("new image")
    await stage.kubelet.end_deleted(1)
    await stage.step("one old pod gone")
    await stage.kubelet.end_deleted()
    await stage.step("both old pods gone")
    await stage.kubelet.run()
    await stage.step("new pods ready")


async def _scaled(stage: Stage) -> None:
    await _started(stage, 2)
    await stage.scale("Deployment", "web", 4)
    await stage.step("scale to 4")
    await stage.kubelet.run(1)
    await stage.step("one new pod ready")
    await stage.scale("Deployment", "web", 3)
    await stage.step("scale to 3")
    await stage.kubelet.end_deleted()
    await stage.scale("Deployment", "web", 0)
    await stage.step("scale to 0")
    await stage.kubelet.end_deleted()
    await stage.step("pods gone")


async def _min_ready_seconds(stage: Stage) -> None:
    await stage.create(workload("Deployment", 2, minReadySeconds=8))
    await stage.step("create")
    await stage.kubelet.run()
    await stage.step("pods ready")
    await stage.wait(9)
    await stage.step("pods available")
    await stage.kubelet.set_ready(False, 1)
    await stage.step("one pod unready")


async def _paused(stage: Stage) -> None:
    await _started(stage, 2)
    await stage.patch("Deployment", "web", {"spec": {"paused": True}})
    await stage.step("pause")
    await stage.patch("Deployment", "web", _NEW_IMAGE)
    await stage.step("new image")
    await stage.scale("Deployment", "web", 3)
    await stage.step("scale to 3")
    await stage.patch("Deployment", "web", {"spec": {"paused": False}})
    await stage.step("resume")
    await _rounds(stage, 2)


async def _rollback(stage: Stage) -> None:
    await _started(stage, 2, strategy=_rolling(1, 0))
    await stage.patch("Deployment", "web", _NEW_IMAGE)
    await stage.step("new image")
    await _rounds(stage, 1)
    await stage.patch("Deployment", "web", _OLD_IMAGE)
    await stage.step("old image")
    await _rounds(stage, 2)


async def _proportional(stage: Stage) -> None:
    await _started(stage, 10, strategy=_rolling(3, 2))
    await stage.patch("Deployment", "web", _NEW_IMAGE)
    await stage.step("new image")
    await stage.kubelet.end_deleted()
    await stage.scale("Deployment", "web", 15)
    await stage.step("scale to 15 within the rollout")


async def _history(stage: Stage) -> None:
    await _started(stage, 1, revisionHistoryLimit=1, strategy={"type": "Recreate"})
    for number in (2, 3, 4):
        body = {"spec": {"template": template(f"web:{number}")}}
        await stage.patch("Deployment", "web", body)
        await stage.step(f"image {number}")
        await stage.kubelet.end_deleted()
        await stage.step(f"old pod gone {number}")
        await stage.kubelet.run()
        await stage.step(f"new pod ready {number}")


async def _deadline(stage: Stage) -> None:
    await stage.create(workload("Deployment", 1, progressDeadlineSeconds=6))
    await stage.step("create")
    await stage.wait(8)
    await stage.step("deadline exceeded")
    await stage.kubelet.run()
    await stage.step("pod ready")


async def _unhealthy_first(stage: Stage) -> None:
    await stage.create(workload("Deployment", 4, strategy=_rolling(1, 1)))
    await stage.step("create")
    await stage.kubelet.run(2)
    await stage.step("two pods ready")
    await stage.patch("Deployment", "web", _NEW_IMAGE)
    await stage.step("new image")
    await stage.kubelet.end_deleted()
    await _rounds(stage, 2)


async def _broken_image(stage: Stage) -> None:
    await _started(stage, 4)
    await stage.patch("Deployment", "web", _NEW_IMAGE)
    await stage.step("new image")
    await stage.kubelet.run(ready=False)
    await stage.kubelet.end_deleted()
    await stage.step("new pods run and are not ready")
    await stage.patch("Deployment", "web", {"spec": {"template": template("web:3")}})
    await stage.step("third image")
    await stage.kubelet.end_deleted()
    await stage.step("deleted pods gone")


STORIES = (
    Story("rollout-default", _KINDS, _defaults),
    Story("rollout-surge", _KINDS, _surge),
    Story("rollout-unavailable", _KINDS, _unavailable),
    Story("rollout-recreate", _KINDS, _recreate),
    Story("rollout-paused", _KINDS, _paused),
    Story("rollout-rollback", _KINDS, _rollback),
    Story("rollout-scaled-within", _KINDS, _proportional),
    Story("rollout-unhealthy-first", _KINDS, _unhealthy_first),
    Story("rollout-broken-twice", _KINDS, _broken_image),
    Story("deployment-scaled", _KINDS, _scaled),
    Story("deployment-min-ready-seconds", _KINDS, _min_ready_seconds),
    Story("deployment-history", _KINDS, _history),
    Story("deployment-deadline", _KINDS, _deadline),
)
