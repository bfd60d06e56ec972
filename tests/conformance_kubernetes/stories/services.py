"""Stories of the EndpointSlices of Services, and of Leases."""

from tests.conformance_kubernetes.manifests import bare_pod, service
from tests.conformance_kubernetes.stage import Stage, Story

_KINDS = ("EndpointSlice", "Service")


async def _follows(stage: Stage) -> None:
    await stage.create(service(), bare_pod("a"))
    await stage.step("Service and a pod")
    await stage.kubelet.run(ready=False)
    await stage.step("pod runs")
    await stage.kubelet.set_ready(True)
    await stage.step("pod ready")
    await stage.delete("Pod", "a")
    await stage.step("pod terminating")
    await stage.kubelet.end_deleted()
    await stage.step("pod gone")
    await stage.delete("Service", "web")
    await stage.step("delete the Service")


async def _terminating_unready(stage: Stage) -> None:
    await stage.create(service(), bare_pod("a"))
    await stage.step("Service and a pod")
    await stage.kubelet.run()
    await stage.delete("Pod", "a")
    await stage.kubelet.set_ready(False)
    await stage.step("pod terminating and not ready")


async def _unready_published(stage: Stage) -> None:
    await stage.create(
        service(clusterIP="None", publishNotReadyAddresses=True), bare_pod("a", hostname="h", subdomain="web")
    )
    await stage.kubelet.run(ready=False)
    await stage.step("pod runs")


async def _ipv6(stage: Stage) -> None:
    await stage.create(service(ipFamilies=["IPv6"], ipFamilyPolicy="SingleStack"), bare_pod("a"))
    await stage.step("Service of IPv6 and a pod")
    await stage.kubelet.run()
    await stage.step("pod with an IPv4 address ready")
    pod = (await stage.kubelet.pods())[0]
    addresses = [{"ip": pod["status"]["podIP"]}, {"ip": "fd00:200::1"}]
    await stage.patch("Pod", "a", {"status": {"podIPs": addresses}}, "status")
    await stage.step("pod with both addresses")


async def _dual_stack(stage: Stage) -> None:
    await stage.create(service(ipFamilyPolicy="PreferDualStack"), bare_pod("a"))
    await stage.kubelet.run()
    pod = (await stage.kubelet.pods())[0]
    addresses = [{"ip": pod["status"]["podIP"]}, {"ip": "fd00:200::1"}]
    await stage.patch("Pod", "a", {"status": {"podIPs": addresses}}, "status")
    await stage.step("Service of both families and a pod")


async def _readiness_gates(stage: Stage) -> None:
    await stage.create(service(), bare_pod("a", readinessGates=[{"conditionType": "example.com/ready"}]))
    await stage.kubelet.run(ready=False)
    await stage.step("pod runs, the gate is closed")
    await stage.kubelet.set_ready(True)
    await stage.step("the kubelet reports it ready")


async def _named_port(stage: Stage) -> None:
    ports = [{"name": "http", "port": 80, "targetPort": "web"}]
    container = {"ports": [{"name": "web", "containerPort": 8000}]}
    await stage.create(service(ports=ports), bare_pod("a", container=container), bare_pod("b"))
    await stage.kubelet.run()
    await stage.step("one pod has a port of that name")


async def _no_selector(stage: Stage) -> None:
    await stage.create(service(selector=None), bare_pod("a"))
    await stage.kubelet.run()
    await stage.step("Service without a selector")


async def _finished_pod(stage: Stage) -> None:
    await stage.create(service(), bare_pod("a", restartPolicy="Never"))
    await stage.kubelet.run()
    await stage.step("pod ready")
    await stage.kubelet.finish("Failed")
    await stage.step("pod failed")


async def _lease(stage: Stage) -> None:
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0}
    await stage.create({"kind": "Lease", "metadata": {"name": "leader"}, "spec": spec})
    await stage.step("a acquires")
    stored = (await stage.api.get("Lease", "leader")).body
    stage.note(await stage.api.replace({**stored, "spec": {**spec, "holderIdentity": "b", "leaseTransitions": 1}}))
    await stage.step("b takes over")
    stage.note(await stage.api.replace({**stored, "spec": spec}))
    await stage.step("a renews by an old version")
    unversioned = {**stored, "metadata": {"name": "leader", "namespace": stage.story.name}}
    stage.note(await stage.api.replace({**unversioned, "spec": {**spec, "holderIdentity": "c"}}))
    await stage.step("c takes over without a version")


STORIES = (
    Story("service-follows-pod", _KINDS, _follows),
    Story("service-terminating-unready", _KINDS, _terminating_unready),
    Story("service-unready-published", _KINDS, _unready_published),
    Story("service-ipv6", _KINDS, _ipv6),
    Story("service-dual-stack", _KINDS, _dual_stack),
    Story("service-readiness-gates", (*_KINDS, "Pod"), _readiness_gates),
    Story("service-named-port", _KINDS, _named_port),
    Story("service-no-selector", _KINDS, _no_selector),
    Story("service-finished-pod", _KINDS, _finished_pod),
    Story("lease-hand-over", ("Lease",), _lease),
)
