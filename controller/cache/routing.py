"""How a pod's engine is spoken to: directly, or through the runtime sidecar beside it. Pure.

The choice is made per pod and nowhere else: by its containers and the operator's setting. What an adapter's artifact
needs decides which pods can take it, and whether a spec can be served at all.
"""

from controller.api.spec import SpecProblem, sidecar_needed
from controller.api.types import ModelAdapterSpec
from controller.cache.pod_index import NOBODY, PodIndex
from controller.cache.pod_view import PodView
from controller.settings import Settings

SIDECAR_PORT = 8080


def uses_sidecar(pod: PodView, settings: Settings) -> bool:
    """Whether requests go to the pod's sidecar, which passes them on."""
    return settings.enable_runtime_sidecar and pod.sidecar


def route_name(pod: PodView, settings: Settings) -> str:
    """The way's name in logs: `sidecar` or `direct`."""
    return "sidecar" if uses_sidecar(pod, settings) else "direct"


def route_port(pod: PodView, settings: Settings) -> int:
    return SIDECAR_PORT if uses_sidecar(pod, settings) else pod.port


def pods_able_to_load(spec: ModelAdapterSpec, pods: PodIndex, settings: Settings) -> PodIndex:
    """Those of the pods by whose way the adapter's artifact can be had."""
    if not sidecar_needed(spec):
        return pods
    return pods.beside_sidecars if settings.enable_runtime_sidecar else NOBODY


def routing_problem(spec: ModelAdapterSpec, matching: PodIndex, settings: Settings) -> SpecProblem | None:
    """What keeps the artifact from being had on any of the matching pods; nothing while there are none."""
    why = sidecar_needed(spec)
    if not why or pods_able_to_load(spec, matching, settings):
        return None
    if not settings.enable_runtime_sidecar:
        return SpecProblem("UnsupportedArtifact", f"{why}, and --enable-runtime-sidecar is off")
    if not matching:
        return None
    return SpecProblem("UnsupportedArtifact", f"{why}: no matching pod has its container, aibrix-runtime")
