"""Builders of a plan's input; not a test."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from controller.api.annotations import FINALIZER, PersistedState, Placement
from controller.api.labels import ENABLED_LABEL
from controller.api.spec import artifact_of
from controller.api.types import LabelSelector, ModelAdapter, ModelAdapterSpec, ModelAdapterStatus, ObjectMeta
from controller.cache.pod_index import PodIndex
from controller.cache.pod_view import PodView
from controller.reconcile.snapshot import Snapshot
from controller.requests.outcomes import EngineRecord, Inventory, RequestOutcome

NOW = 1_800_000_000.0
LABELS = {"model": "base", ENABLED_LABEL: "true"}


def a_pod(
    name: str = "pod-a",
    *,
    ready_for: float | None = 60,
    terminating: bool = False,
    engine: str = "containerd://1",
    unready_for: float = 1,
) -> PodView:
    """Return a pod that has been ready for `ready_for` seconds; None if it is not ready."""
    return PodView(
        namespace="default",
        name=name,
        uid=f"uid-{name}",
        labels=LABELS,
        node="node-0",
        zone="a",
        ip="10.0.0.1",
        port=8000,
        engine=engine,
        ready=ready_for is not None,
        changed=NOW - (unready_for if ready_for is None else ready_for),
        terminating=terminating,
        max_loras=4,
        max_cpu_loras=8,
    )


def an_adapter(
    *,
    replicas: int | None = 1,
    phase: str = "Pending",
    instances: Sequence[str] = (),
    deleting: bool = False,
    finalizer: bool = True,
    generation: int = 1,
) -> ModelAdapter:
    return ModelAdapter(
        metadata=ObjectMeta(
            name="sql",
            namespace="default",
            uid="uid-sql",
            resource_version="7",
            generation=generation,
            finalizers=(FINALIZER,) if finalizer else (),
            deletion_timestamp=datetime.fromtimestamp(NOW, UTC) if deleting else None,
        ),
        spec=ModelAdapterSpec(
            pod_selector=LabelSelector(match_labels={"model": "base"}),
            artifact_url="huggingface://acme/sql",
            replicas=replicas,
        ),
        status=ModelAdapterStatus(phase=phase, instances=tuple(instances)),
    )


def placed(pod: PodView, artifact: str = "acme/sql") -> Placement:
    return Placement(uid=pod.uid, engine=pod.engine, artifact=artifact_of(artifact))


def a_snapshot(
    adapter: ModelAdapter,
    pods: Sequence[PodView],
    *,
    persisted: PersistedState | None = None,
    inventories: Mapping[str, Mapping[str, str]] | None = None,
    busy: Mapping[str, str] | None = None,
    outcomes: Mapping[str, RequestOutcome] | None = None,
    adapters_on: Mapping[str, int] | None = None,
    full: Sequence[str] = (),
    silent: Sequence[str] = (),
    unsent: Mapping[str, float] | None = None,
    failed: Mapping[str, float] | None = None,
) -> Snapshot:
    """Return a snapshot; `inventories`: last lists of engines by pod name (None: every engine listed nothing)."""
    lists = {pod.name: {} for pod in pods} if inventories is None else inventories
    engines = {
        pod.uid: EngineRecord(
            inventory=Inventory(pod.engine, lists[pod.name]) if pod.name in lists else None,
            unanswered=pod.engine if pod.name in silent else "",
            failed_at=(failed or {}).get(pod.name, 0.0),
            failed_engine=pod.engine,
        )
        for pod in pods
    }
    return Snapshot(
        adapter=adapter,
        persisted=persisted or PersistedState(),
        pods={pod.name: pod for pod in pods},
        matching=PodIndex(pods),
        engines=engines,
        adapters_by_pod={f"default/{pod}": others(count) for pod, count in (adapters_on or {}).items()},
        full_pods={f"default/{pod}" for pod in full},
        in_flight=busy or {},
        outcomes=outcomes or {},
        unsent=unsent or {},
    )


def others(count: int) -> list[str]:
    """Return the keys of `count` other adapters."""
    return [f"default/other-{number}" for number in range(count)]
