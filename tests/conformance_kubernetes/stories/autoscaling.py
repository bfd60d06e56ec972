"""Stories of HorizontalPodAutoscalers: where their size comes from, and what is wrong with them."""

from typing import Any

from tests.conformance_kubernetes.api import Object
from tests.conformance_kubernetes.manifests import service, template, workload
from tests.conformance_kubernetes.stage import Stage, Story

KINDS = ("HorizontalPodAutoscaler", "Deployment", "ReplicaSet")
_SYNC = 16  # seconds; the period of 15 and a rest


def pods_metric(target: str = "10", name: str = "queue") -> Object:
    metric = {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": target}}
    return {"type": "Pods", "pods": metric}


def external_metric(name: str = "jobs", **target: str) -> Object:
    type_ = "AverageValue" if "averageValue" in target else "Value"
    metric = {"name": name, "selector": {"matchLabels": {"queue": "chat"}}}
    return {"type": "External", "external": {"metric": metric, "target": {"type": type_, **target}}}


def _object_metric(name: str = "hits", **target: str) -> Object:
    type_ = "AverageValue" if "averageValue" in target else "Value"
    described = {"apiVersion": "v1", "kind": "Service", "name": "web"}
    body = {"describedObject": described, "metric": {"name": name}, "target": {"type": type_, **target}}
    return {"type": "Object", "object": body}


def autoscaler(*metrics: Object, low: int = 1, high: int = 10, name: str = "web", **spec: Any) -> Object:
    """Return an autoscaler of the Deployment `web`, or of another `target`."""
    target = spec.pop("target", {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"})
    body = {"scaleTargetRef": target, "minReplicas": low, "maxReplicas": high, "metrics": list(metrics), **spec}
    return {"kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": body}


async def started(stage: Stage, *manifests: Object, replicas: int = 2, kind: str = "Deployment") -> None:
    """Create a workload with ready pods, then other manifests."""
    await stage.create(workload(kind, replicas, template()))
    await stage.step("a workload")
    for _ in range(replicas if kind == "StatefulSet" else 1):
        await stage.kubelet.run()
        await stage.step("its pods are ready")
    await stage.create(*manifests)


async def _follows(stage: Stage) -> None:
    await started(stage)
    await stage.measure("queue", 10)
    await stage.create(autoscaler(pods_metric()))
    await stage.step("an autoscaler")
    await stage.autoscaled("at the target")
    await stage.measure("queue", 30)
    await stage.autoscaled("three times the target")
    await stage.autoscaled("its new pods are pending")
    await stage.kubelet.run()
    await stage.autoscaled("they run, without a metric")
    await stage.measure("queue", 10.9)
    await stage.autoscaled("within the tolerance")
    await stage.measure("queue", 2)
    await stage.autoscaled("a fifth of the target")


async def _bounds(stage: Stage) -> None:
    await started(stage)
    await stage.measure("queue", 10)
    await stage.create(autoscaler(pods_metric(), low=3, high=4))
    await stage.wait(_SYNC)
    await stage.step("below the minimum")
    await stage.scale("Deployment", "web", 6)
    await stage.wait(_SYNC)
    await stage.step("above the maximum")
    await stage.kubelet.run()
    await stage.measure("queue", 100)
    await stage.autoscaled("more than the maximum is wanted")
    await stage.scale("Deployment", "web", 0)
    await stage.wait(_SYNC)
    await stage.step("scaled to zero")
    await stage.scale("Deployment", "web", 1)
    await stage.wait(_SYNC)
    await stage.step("and to one")


async def _no_target(stage: Stage) -> None:
    await stage.create(
        autoscaler(pods_metric(name="none")),
        autoscaler(pods_metric(), name="daemon", target={"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web"}),
        autoscaler(pods_metric(), name="typo", target={"apiVersion": "apps/v1", "kind": "Deploymemt", "name": "web"}),
    )
    await stage.wait(_SYNC)
    await stage.step("targets that do not exist")
    await stage.create(workload("Deployment", 2))
    await stage.wait(_SYNC)
    await stage.step("a Deployment, but no such metric")


async def _no_metric(stage: Stage) -> None:
    await started(stage)
    cpu = {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "500m"}}
    metrics: dict[str, list[Object]] = {
        "default": [],
        "cpu": [{"type": "Resource", "resource": cpu}],
        "pods": [pods_metric()],
        "external": [external_metric(value="5")],
        "per-pod": [external_metric(averageValue="5")],
        "object": [_object_metric(value="5")],
        "object-per-pod": [_object_metric(averageValue="5")],
    }
    for name, items in metrics.items():
        await stage.create(
            workload(
                "Deployment", 1, template(labels={"app": name}), name=name, selector={"matchLabels": {"app": name}}
            )
        )
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        await stage.create(autoscaler(*items, name=name, target=target))
    await stage.wait(_SYNC)
    await stage.step("nothing can be read")


async def _missing(stage: Stage) -> None:
    await started(stage, replicas=4)
    await stage.measure("queue", 15, 3)
    await stage.create(autoscaler(pods_metric()))
    await stage.autoscaled("a pod has no value, the others 15")
    await stage.measure("queue", 40, 3)
    await stage.autoscaled("the others 40")
    await stage.measure("queue", 7, 3)
    await stage.autoscaled("the others 7")
    await stage.kubelet.set_ready(False, 2)
    await stage.autoscaled("two are unready")
    await stage.measure("queue", 20, 0)
    await stage.autoscaled("no pod has a value")


async def _two_metrics(stage: Stage) -> None:
    await started(stage)
    await stage.measure("queue", 10)
    await stage.measure("cache", 4)
    await stage.create(autoscaler(pods_metric(), pods_metric("2", "cache"), pods_metric("1", "none")))
    await stage.autoscaled("one asks for more, one is missing")
    await stage.kubelet.run()
    await stage.measure("queue", 3)
    await stage.measure("cache", 1)
    await stage.autoscaled("both ask for less, one is missing")
    await stage.measure("none", 3)
    await stage.autoscaled("all are there")


async def _external(stage: Stage) -> None:
    metrics = stage.cluster.metrics.series
    metrics[stage.story.name, "jobs"] = [7000, 3500]
    await started(stage)
    await stage.create(autoscaler(external_metric(value="5"), low=2))
    await stage.autoscaled("a value of 10.5, the target is 5")
    await stage.kubelet.run()
    await stage.patch("HorizontalPodAutoscaler", "web", {"spec": {"metrics": [external_metric(averageValue="2")]}})
    await stage.autoscaled("the target is 2 for each pod")
    metrics[stage.story.name, "jobs"] = []
    await stage.autoscaled("no series")


async def _of_object(stage: Stage) -> None:
    values = stage.cluster.metrics.objects
    values[stage.story.name, "hits"] = 31000
    await started(stage, service())
    await stage.create(autoscaler(_object_metric(value="20")))
    await stage.autoscaled("a value of 31, the target is 20")
    await stage.kubelet.run()
    await stage.patch("HorizontalPodAutoscaler", "web", {"spec": {"metrics": [_object_metric(averageValue="7")]}})
    await stage.autoscaled("the target is 7 for each pod")


async def _ambiguous(stage: Stage) -> None:
    await started(stage)
    await stage.measure("queue", 30)
    await stage.create(autoscaler(pods_metric(), high=4))
    await stage.wait(5)
    await stage.create(autoscaler(pods_metric(), high=5, name="another"))
    await stage.wait(5)
    await stage.step("two autoscalers of the same pods")
    await stage.wait(_SYNC)
    await stage.step("the second has seen the first")
    await stage.wait(_SYNC)
    await stage.step("and the first the second")


async def _stateful(stage: Stage) -> None:
    await started(stage, kind="StatefulSet")
    await stage.measure("queue", 30)
    target = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web"}
    await stage.create(autoscaler(pods_metric(), high=4, target=target))
    await stage.autoscaled("three times the target")
    await stage.kubelet.run()
    await stage.autoscaled("the third pod runs")


async def _custom(stage: Stage) -> None:
    properties = {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    properties["status"] = properties["spec"]
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    scale = {**paths, "labelSelectorPath": ".status.selector"}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
        "subresources": {"status": {}, "scale": scale},
    }
    names = {"plural": "gangs", "singular": "gang", "kind": "Gang", "listKind": "GangList"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    await stage.create({"kind": "CustomResourceDefinition", "metadata": {"name": "gangs.example.com"}, "spec": spec})
    await started(stage)
    await stage.wait(31)  # kube-controller-manager looks for new kinds every 30
    await stage.measure("queue", 15)
    await stage.create({"kind": "Gang", "metadata": {"name": "web"}, "spec": {"replicas": 1}})
    target = {"apiVersion": "example.com/v1", "kind": "Gang", "name": "web"}
    await stage.create(autoscaler(pods_metric(), target=target))
    await stage.wait(_SYNC)
    await stage.step("a custom resource without a selector")
    answer = await stage.api.get("Gang", "web")
    status = {"replicas": 1, "selector": "app=web"}
    await stage.api.replace({**answer.body, "status": status}, "status")
    await stage.autoscaled("its selector has two pods")


async def _invalid(stage: Stage) -> None:
    wrong: dict[str, Object] = {
        "bounds": autoscaler(pods_metric(), low=5, high=2),
        "zero": autoscaler(pods_metric(), low=0),
        "no-maximum": autoscaler(pods_metric(), high=0),
        "core": autoscaler(pods_metric(), target={"apiVersion": "v1", "kind": "Pod", "name": "web"}),
        "no-name": autoscaler(pods_metric(), target={"apiVersion": "apps/v1", "kind": "Deployment"}),
        "type": autoscaler({"type": "Requests", "pods": pods_metric()["pods"]}),
        "source": autoscaler({"type": "Pods"}),
        "sources": autoscaler({**pods_metric(), "external": external_metric(value="1")["external"]}),
        "target": autoscaler(
            {"type": "Pods", "pods": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "1"}}}
        ),
        "amount": autoscaler(pods_metric("0")),
        "quantity": autoscaler(pods_metric("many")),
        "window": autoscaler(pods_metric(), behavior={"scaleUp": {"stabilizationWindowSeconds": 4000}}),
        "select": autoscaler(pods_metric(), behavior={"scaleDown": {"selectPolicy": "Most"}}),
        "policies": autoscaler(pods_metric(), behavior={"scaleDown": {"policies": []}}),
        "policy": autoscaler(
            pods_metric(),
            behavior={"scaleDown": {"policies": [{"type": "Nodes", "value": 0, "periodSeconds": 3000}]}},
        ),
    }
    for name, manifest in wrong.items():
        await stage.create({**manifest, "metadata": {"name": name}})
    await stage.step("wrong autoscalers")


STORIES = (
    Story("hpa-invalid", ("HorizontalPodAutoscaler",), _invalid),
    Story("hpa-no-metric", ("HorizontalPodAutoscaler",), _no_metric),
    Story("hpa-no-target", KINDS, _no_target, metrics=True),
    Story("hpa-follows", KINDS, _follows, metrics=True),
    Story("hpa-bounds", KINDS, _bounds, metrics=True),
    Story("hpa-missing-values", KINDS, _missing, metrics=True),
    Story("hpa-two-metrics", KINDS, _two_metrics, metrics=True),
    Story("hpa-external", KINDS, _external, metrics=True),
    Story("hpa-object", KINDS, _of_object, metrics=True),
    Story("hpa-ambiguous", KINDS, _ambiguous, metrics=True),
    Story("hpa-statefulset", ("HorizontalPodAutoscaler", "StatefulSet"), _stateful, metrics=True),
    Story("hpa-custom-resource", ("HorizontalPodAutoscaler", "Gang"), _custom, metrics=True),
)
