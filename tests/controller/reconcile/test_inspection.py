"""Facts about an artifact: read before the first load, kept in the status, and what does not fit is not sent."""

from dataclasses import replace
from random import Random

import msgspec
import pytest

from controller.api.annotations import PersistedState
from controller.api.artifact import artifact_facts, artifact_hash
from controller.api.types import ArtifactStatus, ModelAdapter
from controller.cache.pod_index import PodIndex
from controller.cache.pod_view import PodView
from controller.policies import Policies
from controller.reconcile.actions import Inspect, Load, Plan, Unload, WriteStatus
from controller.reconcile.planning.inspection import fit_problem
from controller.reconcile.planning.plan import plan
from controller.reconcile.snapshot import Snapshot
from controller.requests.inspections import Inspection, Inspections
from controller.settings import Settings
from tests.controller.builders import NOW, a_pod, a_snapshot, an_adapter, placed

HASH = artifact_hash(an_adapter().spec)
READ = ArtifactStatus(hash=HASH, rank=64, size_bytes=1000, base_model="acme/base", source="Artifact")


def pod(name: str = "pod-a", *, max_lora_rank: int = 16, sidecar: bool = True, base: tuple[str, ...] = ()) -> PodView:
    return replace(a_pod(name), sidecar=sidecar, max_lora_rank=max_lora_rank, base_names=base)


def planned(snapshot: Snapshot) -> Plan:
    settings = Settings()
    return plan(snapshot, NOW, settings, Policies(settings.policy).of("default"), Random(0))


def inspected(*pods: PodView, facts: ArtifactStatus | None = READ, adapter: ModelAdapter | None = None) -> Snapshot:
    """Return the snapshot of a new adapter whose artifact was read just now."""
    result = Inspection(HASH, NOW, facts)
    return replace(a_snapshot(adapter or an_adapter(), pods), inspection=result)


def sent(plan: Plan, kind: type[Load] | type[Unload] | type[Inspect]) -> list[str]:
    return [action.pod.name for action in plan.actions if isinstance(action, kind)]


def test_a_sidecar_reads_the_facts_before_anything_else_is_planned() -> None:
    made = planned(a_snapshot(an_adapter(phase=""), [pod(), pod("pod-b")]))
    assert len(sent(made, Inspect)) == 1
    assert [type(action) for action in made.actions] == [WriteStatus, Inspect]


def test_nothing_is_sent_while_the_facts_are_being_read() -> None:
    waiting = replace(a_snapshot(an_adapter(), [pod()]), inspection=Inspection(HASH, finished_at=0.0))
    assert planned(waiting).actions == ()


@pytest.mark.parametrize(
    "snapshot",
    [
        a_snapshot(an_adapter(), [pod(sidecar=False)]),
        inspected(pod(), facts=None),
        inspected(pod(), facts=msgspec.structs.replace(READ, rank=8)),
    ],
    ids=["no sidecar", "not readable", "known"],
)
def test_a_load_does_not_wait_for_facts_that_nobody_can_read_or_that_are_known(snapshot: Snapshot) -> None:
    assert sent(planned(snapshot), Inspect) == []
    assert sent(planned(snapshot), Load) == ["pod-a"]


def test_facts_in_the_status_are_those_of_the_artifact_that_the_spec_names_and_outlive_a_restart() -> None:
    adapter = with_status(an_adapter(), READ)
    assert artifact_facts(adapter) == READ
    assert sent(planned(a_snapshot(adapter, [pod(max_lora_rank=64)])), Inspect) == []
    other = msgspec.structs.replace(adapter, spec=msgspec.structs.replace(adapter.spec, artifact_url="hf://acme/new"))
    assert artifact_facts(other) == ArtifactStatus()


def with_status(adapter: ModelAdapter, facts: ArtifactStatus) -> ModelAdapter:
    return msgspec.structs.replace(adapter, status=msgspec.structs.replace(adapter.status, artifact=facts))


def with_config(adapter: ModelAdapter, **config: str) -> ModelAdapter:
    spec = msgspec.structs.replace(adapter.spec, additional_config=config)
    return msgspec.structs.replace(adapter, spec=spec)


def test_the_artifact_has_the_last_word_and_the_spec_fills_in_what_it_does_not_tell() -> None:
    stated = with_config(an_adapter(), rank="8", size="2Ki")
    assert artifact_facts(stated) == ArtifactStatus(hash=HASH, rank=8, size_bytes=2048, source="Spec")
    assert artifact_facts(stated, READ) == READ
    assert artifact_facts(stated, msgspec.structs.replace(READ, size_bytes=0)).size_bytes == 2048


def test_the_rank_that_was_read_decides_which_pods_are_sent_the_load() -> None:
    made = planned(inspected(pod("pod-a"), pod("pod-b", max_lora_rank=64)))
    assert sent(made, Load) == ["pod-b"]
    status = next(action.status for action in made.actions if isinstance(action, WriteStatus))
    assert status.artifact == READ
    fits = next(condition for condition in status.conditions if condition.type == "ArtifactFits")
    assert (fits.status, fits.reason) == ("False", "RankTooLarge")
    assert fits.message == "rank 64 is above --max-lora-rank of pod pod-a, at most 16: it is not loaded there"


def test_a_pod_that_was_chosen_before_the_rank_was_known_is_given_up() -> None:
    snapshot = replace(inspected(pod("pod-a"), pod("pod-b", max_lora_rank=64)), pending_selection=("pod-a",))
    assert sent(planned(snapshot), Load) == ["pod-b"]


def test_the_former_artifact_goes_on_serving_where_the_new_ones_rank_is_too_large() -> None:
    view = pod("pod-a")
    persisted = PersistedState(selected=("pod-a",), placements={"pod-a": placed(view, "acme/old")})
    adapter = an_adapter(phase="Running", instances=["pod-a"])
    lists = {"pod-a": {"sql": "acme/old"}}
    snapshot = a_snapshot(adapter, [view], persisted=persisted, inventories=lists)
    assert sent(planned(snapshot), Inspect) == ["pod-a"]
    known = replace(snapshot, inspection=Inspection(HASH, NOW, READ))
    assert sent(planned(known), Unload) == []
    small = replace(snapshot, inspection=Inspection(HASH, NOW, msgspec.structs.replace(READ, rank=8)))
    assert sent(planned(small), Unload) == ["pod-a"]


@pytest.mark.parametrize(
    ("artifact_base", "pod_names", "differs"),
    [
        ("meta-llama/Llama-3.1-8B", ("llama", "meta-llama/Llama-3.1-8B"), False),
        ("meta-llama/Llama-3.1-8B", ("llama", "unsloth/llama-3.1-8b"), False),
        ("meta-llama/Llama-3.1-8B", ("llama", "Qwen/Qwen2.5-7B"), True),
        ("meta-llama/Llama-3.1-8B", ("llama",), False),
        ("meta-llama/Llama-3.1-8B", ("/models/qwen",), False),
        ("/home/me/llama", ("Qwen/Qwen2.5-7B",), False),
        ("", ("Qwen/Qwen2.5-7B",), False),
    ],
)
def test_base_models_differ_only_where_both_are_names_on_the_hub(
    artifact_base: str, pod_names: tuple[str, ...], differs: bool
) -> None:
    facts = msgspec.structs.replace(READ, rank=0, base_model=artifact_base)
    reason, message = fit_problem(facts, PodIndex([pod("pod-a", base=pod_names)]))
    assert reason == ("OtherBaseModel" if differs else "")
    assert ("pod pod-a serve" in message) == differs


def test_an_adapter_of_another_base_model_is_loaded_and_the_condition_warns() -> None:
    facts = msgspec.structs.replace(READ, rank=8, base_model="acme/other")
    made = planned(inspected(pod("pod-a", base=("acme/base",)), facts=facts))
    assert sent(made, Load) == ["pod-a"]
    assert any(getattr(action, "reason", "") == "OtherBaseModel" for action in made.actions)


def test_a_late_result_for_a_former_artifact_is_dropped() -> None:
    kept = Inspections()
    kept.store("default/sql", Inspection("old", finished_at=0.0))
    kept.store("default/sql", Inspection("new", finished_at=0.0))
    kept.store("default/sql", Inspection("old", NOW, READ))
    assert kept.of("default/sql", "old") is None
    current = kept.of("default/sql", "new")
    assert current is not None
    assert current.in_flight
