"""Whom the caches wake when a pod changes: adapters that the change can be of use to, and nobody else."""

from datetime import UTC, datetime

import msgspec

from controller.api.types import Condition, Container, ContainerStatus, ObjectMeta, Pod, PodSpec, PodStatus
from controller.cache.cache import Cache
from tests.controller.builders import LABELS, an_adapter
from tests.controller.fake_client import QUIET, FakeCluster, FakeServer

READY = Condition(type="Ready", status="True", last_transition_time=datetime(2026, 3, 1, tzinfo=UTC))
UP = ContainerStatus(name="vllm", container_id="containerd://1")


def test_a_pod_on_its_way_up_wakes_who_waits_when_it_comes_and_when_it_is_ready_and_not_between() -> None:
    woken: list[str] = []
    caches = Cache(FakeCluster(FakeServer()), QUIET, woken.append)
    waiting = an_adapter()
    caches.adapters.apply_local(waiting)
    caches.unsettled.add(waiting.key)
    woken.clear()
    alone = PodSpec(containers=(Container(name="vllm"),))
    placed = msgspec.structs.replace(alone, node_name="node-0")
    running = PodStatus(pod_ip="10.0.0.1", container_statuses=(UP,))
    steps = {
        "created": (alone, PodStatus()),
        "has a node": (placed, PodStatus()),
        "has an address": (placed, PodStatus(pod_ip="10.0.0.1")),
        "runs": (placed, running),
        "is ready": (placed, msgspec.structs.replace(running, conditions=(READY,))),
        "is not any more": (placed, running),
    }
    heard = []
    for version, (step, (spec, status)) in enumerate(steps.items(), 1):
        meta = ObjectMeta(name="pod", namespace="default", uid="u", labels=LABELS, resource_version=str(version))
        caches.pods.apply_local(Pod(metadata=meta, spec=spec, status=status))
        heard += [step] * len(woken)
        woken.clear()
    assert heard == ["created", "is ready", "is not any more"]
    relabelled = msgspec.structs.replace(meta, resource_version="9", labels={**LABELS, "zone": "a"})
    caches.pods.apply_local(Pod(metadata=relabelled, spec=spec, status=status))
    assert woken == [waiting.key], "who is matched may be another now"
