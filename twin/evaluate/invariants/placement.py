"""Pods that could take an adapter: by their labels, its selector, its route and its own policy.

An invariant that expects a load has to know where none is possible: a pod without the label that enables it, without
the sidecar that the artifact needs, or without room under the policy that the adapter names.
"""

from collections.abc import Hashable, Sequence
from functools import lru_cache

from controller.api.labels import ENABLED_LABEL, MEMORY_LABEL
from controller.policies.registry import BUILT_IN
from formats.label_selectors import Expression, LabelPredicate, compile_selector
from twin.evaluate.invariants.state import ClusterState, Pod
from twin.trace.lines import AdapterLine, PodLine

_ENDED = ("Failed", "Succeeded")
_FILLS_UP = "bin-pack"
"""The only built-in policy that skips full pods."""


def selects(adapter: AdapterLine, labels: dict[str, str]) -> bool:
    """Return whether the adapter's selector matches these labels."""
    expressions = tuple((key, operator, tuple(values)) for key, operator, values in adapter.expressions)
    return _predicate(tuple(adapter.selector.items()), expressions)(labels)


@lru_cache(maxsize=1024)
def _predicate(
    match_labels: tuple[tuple[str, str], ...], expressions: tuple[tuple[str, str, tuple[str, ...]], ...]
) -> LabelPredicate:
    return compile_selector(dict(match_labels), [Expression(*expression) for expression in expressions])


def is_enabled(line: PodLine) -> bool:
    """Return whether adapters may be loaded on the pod, by its labels."""
    return line.labels.get(ENABLED_LABEL) == "true" and not line.mislabelled


def ready_takers(state: ClusterState, adapter: AdapterLine) -> Sequence[Pod]:
    """Return the ready pods that the adapter may be placed on.

    Adapters with equal demands have the same ones, which are kept until a pod changes: with ten thousand adapters and a
    thousand pods, looking at each pair takes longer than the run.
    """
    if not _takes_any(_policy(state, adapter)):
        return find_ready_takers(state, adapter)  # it also depends on what the pods hold
    demands = (*_selection(adapter), adapter.sidecar)
    takers = state.takers.get(demands)
    if takers is None:
        takers = state.takers[demands] = find_ready_takers(state, adapter)
    return takers


def find_ready_takers(state: ClusterState, adapter: AdapterLine) -> Sequence[Pod]:
    """Look at each pod, as `ready_takers` does for the first adapter of its kind."""
    return [pod for pod in state.pods.values() if pod.bad_since is None and can_take(state, pod, adapter)]


def matching_count(state: ClusterState, adapter: AdapterLine) -> int:
    """Return the number of enabled pods that the adapter's selector matches; kept until a pod changes."""
    selection = _selection(adapter)
    count = state.matching.get(selection)
    if count is None:
        namespace = f"{selection[0]}/"
        enabled = [pod for name, pod in state.pods.items() if name.startswith(namespace) and is_enabled(pod.line)]
        count = state.matching[selection] = sum(selects(adapter, pod.line.labels) for pod in enabled)
    return count


def _selection(adapter: AdapterLine) -> tuple[Hashable, ...]:
    """Return the namespace and the selector of an adapter, as a key."""
    expressions = tuple((key, operator, tuple(values)) for key, operator, values in adapter.expressions)
    return adapter.object.split("/")[0], tuple(adapter.selector.items()), expressions


def can_take(state: ClusterState, pod: Pod, adapter: AdapterLine) -> bool:
    """Return whether the adapter may be placed on the pod, if the pod is ready."""
    line = pod.line
    if line.object.split("/")[0] != adapter.object.split("/")[0] or line.phase in _ENDED:
        return False
    if not is_enabled(line) or (adapter.sidecar and not line.sidecar):
        return False
    return selects(adapter, line.labels) and _has_room(state, line, adapter)


def _has_room(state: ClusterState, line: PodLine, adapter: AdapterLine) -> bool:
    """Return whether the adapter's policy would choose the pod; nothing is known of a policy that is not built in."""
    pod, capacity = line.object, line.capacity
    name = pod.split("/")[1]
    policy = _policy(state, adapter)
    if name in adapter.instances or _takes_any(policy):
        return True
    if policy != _FILLS_UP or pod not in state.engines or MEMORY_LABEL in line.labels:
        return False  # sizes of adapters are not in the trace
    namespace = pod.split("/")[0]
    others = {f"{namespace}/{held}" for held in state.engines[pod].holds}
    others |= {
        key for key, line in state.adapters.items() if key.startswith(f"{namespace}/") and name in line.placements
    }
    return len(others - {adapter.object}) < capacity


def _policy(state: ClusterState, adapter: AdapterLine) -> str:
    return state.run.policy if adapter.scheduler in ("", "default") else adapter.scheduler


def _takes_any(policy: str) -> bool:
    """Return whether it is known that the policy may choose any pod, full or not."""
    return policy in BUILT_IN and policy != _FILLS_UP
