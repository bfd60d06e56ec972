"""Route of requests to a pod's engine: direct, or through the runtime sidecar. Pure.

The route depends on the pod's containers and the operator's setting alone. What an adapter's artifact needs decides
which pods can load it, and whether a spec can be served at all.
"""

from controller.api.artifact import READ
from controller.api.spec import SpecProblem, sidecar_needed
from controller.api.types import ArtifactStatus, ModelAdapter, ModelAdapterSpec
from controller.cache.pod_index import EMPTY, PodIndex
from controller.cache.pod_view import PodView
from controller.settings import Settings
from formats.engine_container import RUNTIME_SIDECAR

SIDECAR_PORT = 8080


def uses_sidecar(pod: PodView, settings: Settings) -> bool:
    """Return whether requests go to the pod's sidecar, which forwards them."""
    return settings.enable_runtime_sidecar and pod.sidecar


def route_name(pod: PodView, settings: Settings) -> str:
    """Return the route as it appears in logs: `sidecar` or `direct`."""
    return "sidecar" if uses_sidecar(pod, settings) else "direct"


def route_port(pod: PodView, settings: Settings) -> int:
    """Return the port to which requests are sent."""
    return SIDECAR_PORT if uses_sidecar(pod, settings) else pod.port


def pods_able_to_load(spec: ModelAdapterSpec, pods: PodIndex, settings: Settings) -> PodIndex:
    """Return the pods whose route can fetch the adapter's artifact."""
    if not sidecar_needed(spec):
        return pods
    return pods.with_sidecar if settings.enable_runtime_sidecar else EMPTY


def routing_problem(spec: ModelAdapterSpec, matching: PodIndex, settings: Settings) -> SpecProblem | None:
    """Return why none of the matching pods can fetch the artifact; None if one can, or if there are no pods."""
    need = sidecar_needed(spec)
    if not need or pods_able_to_load(spec, matching, settings):
        return None
    if not settings.enable_runtime_sidecar:
        return SpecProblem("UnsupportedArtifact", f"{need}, and --enable-runtime-sidecar is off")
    if not matching:
        return None
    return SpecProblem("UnsupportedArtifact", f"{need}: no matching pod has its container, {RUNTIME_SIDECAR}")


def rank_problem(
    adapter: ModelAdapter, artifact: ArtifactStatus, matching: PodIndex, settings: Settings
) -> SpecProblem | None:
    """Return why no matching engine takes the adapter's rank; None if one does, or if the adapter is served anyhow."""
    rank = artifact.rank
    if not rank or not matching or adapter.status.instances or any(pod.takes_rank(rank) for pod in matching):
        return None
    largest = max(pod.max_lora_rank for pod in matching)
    message = f"rank {rank} is above --max-lora-rank of all matching engines, at most {largest}"
    if artifact.source == READ:  # a new version may be published at the same URL
        remedy = "raise it there, or correct podSelector or artifactURL"
        return SpecProblem("RankTooLarge", f"{message}: {remedy}", recheck=settings.pod_cooldown)
    return SpecProblem("RankTooLarge", f"{message}: raise it there, or correct podSelector or additionalConfig.rank")
