"""Stories of what limits a HorizontalPodAutoscaler: windows, policies, tolerances."""

from tests.conformance_kubernetes.api import Object
from tests.conformance_kubernetes.stage import Stage, Story
from tests.conformance_kubernetes.stories.autoscaling import KINDS, autoscaler, pods_metric, started

_AT_ONCE = {"stabilizationWindowSeconds": 0}


def _policy(type_: str, value: int, period: int) -> Object:
    return {"type": type_, "value": value, "periodSeconds": period}


async def _begin(stage: Stage, replicas: int, value: float, **behavior: Object) -> None:
    await started(stage, replicas=replicas)
    await stage.measure("queue", value)
    await stage.create(autoscaler(pods_metric(), high=20, behavior=behavior))


async def _grown(stage: Stage, value: float, title: str) -> None:
    """Report all pods as ready with a value, and record what follows."""
    await stage.kubelet.run()
    await stage.measure("queue", value)
    await stage.autoscaled(title)


async def _default_window(stage: Stage) -> None:
    await started(stage, replicas=4)
    await stage.measure("queue", 4)
    await stage.create(autoscaler(pods_metric()))
    await stage.autoscaled("fewer are enough")
    await stage.wait(250)
    await stage.step("four minutes later")
    await stage.wait(70)
    await stage.step("another minute later")


async def _defaults(stage: Stage) -> None:
    await _begin(stage, 2, 100)
    await stage.autoscaled("ten times the target, with the default policies")
    await _grown(stage, 100, "a period later")


async def _up_policies(stage: Stage) -> None:
    rules = {"policies": [_policy("Pods", 1, 20), _policy("Percent", 50, 20)], "selectPolicy": "Min"}
    await _begin(stage, 4, 50, scaleUp=rules)
    await stage.autoscaled("the smaller change: one pod in 20 s")
    await _grown(stage, 50, "too early")
    await _grown(stage, 50, "the period is over")


async def _down_policies(stage: Stage) -> None:
    rules = {**_AT_ONCE, "policies": [_policy("Percent", 10, 25), _policy("Pods", 2, 25)]}
    await _begin(stage, 6, 1, scaleDown=rules)
    await stage.autoscaled("the larger change: two pods in 25 s")
    await stage.kubelet.end_deleted()
    await _grown(stage, 1, "too early")
    await _grown(stage, 1, "the period is over")


async def _windows(stage: Stage) -> None:
    await _begin(stage, 2, 10, scaleUp={"stabilizationWindowSeconds": 20}, scaleDown={"stabilizationWindowSeconds": 40})
    await stage.autoscaled("at the target")
    await _grown(stage, 20, "twice the target")
    await _grown(stage, 20, "for longer than the window")
    await _grown(stage, 2, "a fifth of the target")
    await _grown(stage, 2, "a period later")
    await _grown(stage, 2, "two periods later")
    await _grown(stage, 2, "three periods later")


async def _disabled(stage: Stage) -> None:
    await _begin(stage, 3, 1, scaleDown={**_AT_ONCE, "selectPolicy": "Disabled"})
    await stage.autoscaled("a decrease is disabled")
    await _grown(stage, 20, "an increase is not")


async def _tolerance(stage: Stage) -> None:
    await _begin(stage, 3, 14, scaleUp={"tolerance": "500m"}, scaleDown={**_AT_ONCE, "tolerance": "0.02"})
    await stage.autoscaled("40 % more, 50 % are tolerated")
    await _grown(stage, 9.7, "3 % less, 2 % are tolerated")
    await _grown(stage, 6, "40 % less")


STORIES = (
    Story("hpa-default-window", KINDS, _default_window, metrics=True),
    Story("hpa-default-policies", KINDS, _defaults, metrics=True),
    Story("hpa-up-policies", KINDS, _up_policies, metrics=True),
    Story("hpa-down-policies", KINDS, _down_policies, metrics=True),
    Story("hpa-windows", KINDS, _windows, metrics=True),
    Story("hpa-disabled", KINDS, _disabled, metrics=True),
    Story("hpa-tolerance", KINDS, _tolerance, metrics=True),
)
