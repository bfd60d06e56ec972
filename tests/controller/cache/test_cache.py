"""A change of a pod wakes only the adapters that it concerns."""

from datetime import UTC, datetime

import msgspec

from controller.api.labels import MEMORY_LABEL, PORT_LABEL
from controller.api.types import Condition, Container, ContainerStatus, ObjectMeta, Pod, PodSpec, PodStatus
from controller.cache.cache import Cache
from formats.engine_container import CONTAINER_LABEL
from tests.controller.builders import LABELS, an_adapter
from tests.controller.fake_client import QUIET, FakeClient, FakeServer

READY = Condition(type="Ready", status="True", last_transition_time=datetime(2026, 3, 1, tzinfo=UTC))
UP = ContainerStatus(name="vllm", container_id="containerd://1")


def test_a_starting_pod_wakes_waiting_adapters_when_it_is_created_and_when_its_readiness_changes() -> None:
    woken: list[str] = []
    cache = Cache(FakeClient(FakeServer()), QUIET, woken.append, lambda *_: None)
    waiting = an_adapter()
    cache.adapters.apply_local(waiting)
    cache.unsettled.add(waiting.key)
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
        "is no longer ready": (placed, running),
    }
    wakes = []
    for version, (step, (spec, status)) in enumerate(steps.items(), 1):
        meta = ObjectMeta(name="pod", namespace="default", uid="u", labels=LABELS, resource_version=str(version))
        cache.pods.apply_local(Pod(metadata=meta, spec=spec, status=status))
        wakes += [step] * len(woken)
        woken.clear()
    assert wakes == ["created", "is ready", "is no longer ready"]
    relabelled = msgspec.structs.replace(meta, resource_version="9", labels={**LABELS, "zone": "a"})
    cache.pods.apply_local(Pod(metadata=relabelled, spec=spec, status=status))
    assert woken == [waiting.key], "other selectors may match now"


def test_a_wrong_label_that_gives_way_to_another_wakes_the_adapter_whose_condition_names_it() -> None:
    woken: list[str] = []
    cache = Cache(FakeClient(FakeServer()), QUIET, woken.append, lambda *_: None)
    waiting = an_adapter()
    cache.adapters.apply_local(waiting)
    cache.unsettled.add(waiting.key)
    woken.clear()
    wrong = {
        "no such container": {CONTAINER_LABEL: "engine"},
        "no such port": {PORT_LABEL: "70000"},
        "no size": {MEMORY_LABEL: "much"},
        "right": {},
    }
    for version, labels in enumerate(wrong.values(), 1):
        meta = ObjectMeta(name="pod", namespace="default", labels=LABELS | labels, resource_version=str(version))
        cache.pods.apply_local(Pod(metadata=meta, spec=PodSpec(containers=(Container(name="vllm"),))))
        assert woken == [waiting.key], list(wrong)[version - 1]
        woken.clear()
