"""States of a pod, as kubelets and controllers write them, and whether it can be published in them."""

from typing import Any

import pytest

from controller.api.types import PODS, Pod
from controller.cache.cache import Cache
from controller.cache.pod_view import PodView, pod_view
from tests.controller.builders import LABELS
from tests.controller.fake_client import QUIET, FakeClient, FakeServer

GATE = "target-health.elbv2.k8s.aws/lora"
TIME = "2026-01-01T00:00:00Z"


def a_pod(*, metadata: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **status: Any) -> Pod:
    """Return a pod that is ready, with these changes; a status of None is absent."""
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": TIME}
    engine = {"name": "vllm", "containerID": "containerd://1", "ready": True}
    body = {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [ready],
        "containerStatuses": [engine],
    } | status
    return PODS.decode(
        {
            "metadata": {"name": "llm-0", "namespace": "default", "uid": "u", "labels": LABELS, **(metadata or {})},
            "spec": {"containers": [{"name": "vllm", "command": ["vllm", "serve", "base"]}], **(spec or {})},
            "status": {name: value for name, value in body.items() if value is not None},
        }
    )


def not_ready(reason: str = "") -> list[dict[str, str]]:
    return [{"type": "Ready", "status": "False", "reason": reason, "lastTransitionTime": TIME}]


STATES: dict[str, tuple[Pod, bool]] = {
    "ready": (a_pod(), True),
    "waits for a scheduling gate": (
        a_pod(
            spec={"schedulingGates": [{"name": "example.com/quota"}]},
            phase="Pending",
            podIP=None,
            podIPs=None,
            conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            containerStatuses=None,
        ),
        False,
    ),
    "has no address yet": (a_pod(phase="Pending", podIP=None, podIPs=None, conditions=not_ready()), False),
    "is ready in its condition and has no address": (a_pod(podIP="", podIPs=[]), False),
    "waits for a readiness gate": (
        a_pod(
            spec={"readinessGates": [{"conditionType": GATE}]},
            conditions=[
                {"type": GATE, "status": "False"},
                {"type": "ContainersReady", "status": "True"},
                *not_ready("ReadinessGatesNotReady"),
            ],
        ),
        False,
    ),
    "is in the network of its node": (a_pod(spec={"hostNetwork": True}, podIP="192.168.1.5"), True),
    "is being deleted and runs its preStop hook": (
        a_pod(metadata={"deletionTimestamp": TIME, "deletionGracePeriodSeconds": 60}),
        False,
    ),
    "has failed": (a_pod(phase="Failed"), False),
    "was evicted, with its old condition": (a_pod(phase="Failed", reason="Evicted"), False),
    "has succeeded": (a_pod(phase="Succeeded"), False),
    "is on a node that does not answer": (a_pod(conditions=not_ready("NodeNotReady")), False),
    "will be disrupted": (
        a_pod(
            conditions=[
                {"type": "Ready", "status": "True", "lastTransitionTime": TIME},
                {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"},
            ]
        ),
        True,
    ),
    "has no condition yet": (a_pod(conditions=[]), False),
}


@pytest.mark.parametrize("state", STATES)
def test_a_pod_is_published_in_exactly_the_states_in_which_it_serves(state: str) -> None:
    pod, is_published = STATES[state]
    assert pod_view(pod, "").available is is_published


def test_another_pod_of_the_same_name_is_the_deletion_of_the_former_one() -> None:
    """A StatefulSet gives the name again; a watch that was interrupted shows the new pod alone."""
    changes: list[tuple[str, str]] = []

    def on_pod(old: PodView | None, new: PodView | None) -> None:
        changes.append((old.uid if old is not None else "", new.uid if new is not None else ""))

    cache = Cache(FakeClient(FakeServer()), QUIET, lambda _: None, on_pod)
    for version, uid in enumerate(("first", "second"), 1):
        cache.pods.apply_local(a_pod(metadata={"uid": uid, "resourceVersion": str(version)}))
    assert changes == [("", "first"), ("first", ""), ("", "second")]


def test_an_address_that_another_pod_got_is_published_once() -> None:
    """A pod that has ended keeps the address in its status that the network has given to another one."""
    ended, running = a_pod(phase="Failed"), a_pod(metadata={"name": "llm-1", "uid": "v"})
    views = [pod_view(pod, "") for pod in (ended, running)]
    assert [view.name for view in views if view.available and view.ip == "10.0.0.1"] == ["llm-1"]
