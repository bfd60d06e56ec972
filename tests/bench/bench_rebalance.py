"""Planning of moves: 1 000 pods and 10 000 adapters from nothing, and after one change. CPU seconds of one core.

From nothing is all that `lora-controller plan` does with decoded objects, on a fleet that is all on two fifths of its
pods. One change is a pod that was added to an even fleet: what the operator does each time it plans.
"""

import random
import time
from collections.abc import Callable, Sequence

from controller.api import annotations
from controller.api.annotations import PLACEMENTS, SCHEDULED_PODS
from controller.api.labels import ENABLED_LABEL
from controller.api.types import (
    Condition,
    Container,
    LabelSelector,
    ModelAdapter,
    ModelAdapterSpec,
    ModelAdapterStatus,
    ObjectMeta,
    Pod,
    PodSpec,
    PodStatus,
)
from controller.cache.pod_index import PodIndex
from controller.cache.pod_view import PodView, pod_view
from controller.plan_command import plan_of
from controller.policies import Policies
from controller.rebalance.fleet import Fleet, FleetAdapter
from controller.rebalance.fleet_view import FleetReader, PlacedAdapter
from controller.rebalance.planner import ALGORITHMS, RebalancePlan, plan_moves
from controller.settings import RebalanceSettings, Settings
from formats.timestamps import parse_timestamp

PODS, ADAPTERS = 1000, 10_000
READY = parse_timestamp("2026-01-01T00:00:00Z")
LABELS = {"model": "base", ENABLED_LABEL: "true"}


def measure() -> dict[str, float]:
    """Return CPU seconds by algorithm and case."""
    figures: dict[str, float] = {}
    for name in ALGORITHMS:
        settings = Settings(rebalance=RebalanceSettings(algorithm=name))
        objects = [a_pod(i) for i in range(PODS)], [an_adapter(i, PODS * 2 // 5) for i in range(ADAPTERS)]
        figures[f"{name}: plan from nothing, CPU s"] = _seconds(
            lambda objects=objects, settings=settings: plan_of(*objects, settings, now=READY.timestamp() + 600)
        )
        figures[f"{name}: plan for one added pod, CPU s"] = _one_change(name)
        fleet = _restricted()
        figures[f"{name}: plan for 30 overlapping sets of pods, CPU s"] = _seconds(
            lambda fleet=fleet, name=name: plan_moves(fleet, ALGORITHMS[name](), 0.1)
        )
    return figures


def _seconds(plan: Callable[[], object]) -> float:
    started = time.process_time()
    plan()
    return time.process_time() - started


def a_pod(number: int) -> Pod:
    container = Container(name="vllm", command=("vllm", "serve", "base"), args=("--enable-lora", "--max-cpu-loras=32"))
    ready = Condition(type="Ready", status="True", last_transition_time=READY)
    return Pod(
        metadata=ObjectMeta(name=f"pod-{number:04}", namespace="default", uid=f"uid-{number}", labels=LABELS),
        spec=PodSpec(containers=(container,)),
        status=PodStatus(phase="Running", conditions=(ready,), pod_ip="10.0.0.1"),
    )


def an_adapter(number: int, pods: int) -> ModelAdapter:
    """Return an adapter on one of the first `pods` pods."""
    pod = f"pod-{number % pods:04}"
    placement = f'{{"{pod}":{{"uid":"u","engine":"e","artifact":"a"}}}}'
    return ModelAdapter(
        metadata=ObjectMeta(
            name=f"adapter-{number:05}",
            namespace="default",
            annotations={SCHEDULED_PODS: pod, PLACEMENTS: placement},
        ),
        spec=ModelAdapterSpec(
            pod_selector=LabelSelector(match_labels={"model": "base"}), artifact_url="/models/a", replicas=1
        ),
        status=ModelAdapterStatus(phase="Running", instances=(pod,)),
    )


def _one_change(name: str) -> float:
    """Return the CPU seconds of reading the fleet again and planning, when one pod has been added."""
    pods = [pod_view(a_pod(number), "") for number in range(PODS)]
    adapters = [an_adapter(number, PODS - 1) for number in range(ADAPTERS)]
    persisted = [annotations.read(adapter.metadata.annotations) for adapter in adapters]
    reader, now = FleetReader(Settings(), Policies()), READY.timestamp() + 600

    def plan(engines: Sequence[PodView]) -> RebalancePlan:
        matching = PodIndex(engines)
        placed = (PlacedAdapter(*pair, matching) for pair in zip(adapters, persisted, strict=True))
        return plan_moves(reader.read(placed, now, None).fleet, ALGORITHMS[name](), 0.1)

    assert not plan(pods[:-1]).moves
    return _seconds(lambda: plan(pods))


def _restricted() -> Fleet:
    rng = random.Random(2)
    pods = [f"pod-{number:04}" for number in range(PODS)]
    sets = [frozenset(rng.sample(pods, 100)) for _ in range(30)]
    adapters = {}
    for number in range(ADAPTERS):
        allowed = rng.choice(sets)
        held = frozenset(rng.sample(sorted(allowed)[:60], 1))
        adapters[f"a{number:05}"] = FleetAdapter(held, allowed, movable=rng.random() > 0.1)
    return Fleet(dict.fromkeys(pods, 32), adapters)
