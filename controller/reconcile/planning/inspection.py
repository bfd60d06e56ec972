"""Facts about the artifact, before anything is loaded: when to read them, and which pods they rule out. Pure.

A runtime sidecar reads them from the store, without the weights. Nothing else is planned for the adapter until it has
answered or failed, a few seconds at most; endpoints that no longer serve are withdrawn all the same.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

from controller.api.artifact import READ, artifact_hash
from controller.api.types import ArtifactStatus
from controller.cache.pod_index import PodIndex
from controller.cache.pod_view import PodView
from controller.reconcile.actions import Inspect
from controller.reconcile.snapshot import Snapshot
from controller.settings import Settings

_NAMED = 3
"""Maximum number of pods that a message names."""


def inspection_due(snapshot: Snapshot, now: float, settings: Settings) -> Inspect | None:
    """Return the request that reads the facts before the first load of an artifact; None if nothing is to be sent."""
    if not _is_before_first_load(snapshot):
        return None
    if not settings.enable_runtime_sidecar or (snapshot.artifact.source == READ and snapshot.problem is None):
        return None
    known = snapshot.inspection
    if known is not None and (known.in_flight or now < known.finished_at + settings.pod_cooldown):
        return None
    stable = snapshot.matching.with_sidecar.stable(now, settings.stable_for)
    pods = [pod for pod in stable if not snapshot.did_not_answer(pod)]
    return Inspect(_one_of(pods, snapshot.key)) if pods else None


def is_inspecting(snapshot: Snapshot) -> bool:
    """Return whether a load has to wait for facts that are being read."""
    return snapshot.inspection is not None and snapshot.inspection.in_flight and _is_before_first_load(snapshot)


def fit_problem(artifact: ArtifactStatus, matching: PodIndex) -> tuple[str, str]:
    """Return (reason, message) for matching pods that the artifact does not fit; both empty if there are none."""
    if not artifact.rank and not artifact.base_model:
        return "", ""
    return _fit_problem(artifact.rank, artifact.base_model, matching)


@lru_cache(maxsize=256)
def _fit_problem(rank: int, base_model: str, matching: PodIndex) -> tuple[str, str]:
    """Return the problem; kept, because many adapters look at the same pods again and again."""
    if rank and (pods := [pod for pod in matching if not pod.takes_rank(rank)]):
        limit = f"--max-lora-rank of {_names(pods)}, at most {max(pod.max_lora_rank for pod in pods)}"
        return "RankTooLarge", f"rank {rank} is above {limit}: it is not loaded there"
    base = _hub_name(base_model)
    if base and (pods := [pod for pod in matching if base not in (_hub_names(pod) or (base,))]):
        served = ", ".join(dict.fromkeys(name for pod in pods[:_NAMED] for name in pod.base_names if "/" in name))
        return "OtherBaseModel", (
            f"adapter_config.json names the base model {base_model}, and {_names(pods)} serve {served}: "
            "answers are wrong unless that is a copy of the same model"
        )
    return "", ""


def _is_before_first_load(snapshot: Snapshot) -> bool:
    """Return whether no load of the artifact was announced, and one may be soon."""
    spec = snapshot.adapter.spec
    desired = artifact_hash(spec)
    placed = any(placement.artifact == desired for placement in snapshot.persisted.placements.values())
    problem = snapshot.problem
    return not placed and spec.replicas != 0 and (problem is None or problem.reason == "RankTooLarge")


def _one_of(pods: Sequence[PodView], key: str) -> PodView:
    """Return the same pod for the same adapter and pods; adapters spread over them."""
    return pods[int.from_bytes(sha256(key.encode()).digest()[:8]) % len(pods)]


def _names(pods: Sequence[PodView]) -> str:
    """Return the first pods by name; a number of others would change with every pod that comes or goes."""
    names = sorted(pod.name for pod in pods)
    kind = "pod" if len(names) == 1 else "pods"
    return f"{kind} {', '.join(names[:_NAMED])}" + (" and others" if len(names) > _NAMED else "")


def _hub_names(pod: PodView) -> tuple[str, ...]:
    return tuple(filter(None, map(_hub_name, pod.base_names)))


def _hub_name(model: str) -> str:
    """Return the name of a model of the Hub, without its owner, which mirrors change; empty for paths and aliases."""
    owner, slash, name = model.partition("/")
    is_hub = slash and owner and name and "/" not in name and not owner.startswith((".", "~"))
    return name.lower() if is_hub else ""
