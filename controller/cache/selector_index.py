"""Pods by selector: which enabled pods each adapter's selector matches.

Adapters are many and distinct selectors few, so a changed pod is matched once per selector, not once per adapter.
"""

from collections.abc import Iterable, Iterator, Set

import msgspec

from controller.api.labels import ENABLED_LABEL
from controller.api.types import LabelSelector, ModelAdapter
from controller.cache.pod_index import EMPTY, PodIndex
from controller.cache.pod_view import PodView
from formats.errors import FormatError
from formats.label_selectors import LabelPredicate, compile_selector, selector_text

_Place = tuple[str, bytes]
"""Namespace, and the selector as canonical JSON."""


class SelectorIndex:
    """The selectors of all adapters, each with its pods."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self._adapters: dict[_Place, set[str]] = {}
        self._pods: dict[_Place, _SelectedPods] = {}

    def pods_of(self, adapter: str) -> PodIndex:
        """Return the pods that the adapter's selector matches."""
        place = self._places.get(adapter)
        return EMPTY if place is None else self._pods[place].index()

    def add(self, adapter: ModelAdapter, pods: Iterable[PodView]) -> None:
        """Add an adapter, or change its selector; `pods` are all pods of its namespace."""
        self.remove(adapter.key)
        selector = adapter.spec.pod_selector
        place = (adapter.metadata.namespace, msgspec.json.encode(selector, order="deterministic"))
        self._places[adapter.key] = place
        self._adapters.setdefault(place, set()).add(adapter.key)
        if place not in self._pods:
            self._pods[place] = _SelectedPods(selector, pods)

    def remove(self, adapter: str) -> None:
        """Remove an adapter if it is there."""
        place = self._places.pop(adapter, None)
        if place is None:
            return
        self._adapters[place].discard(adapter)
        if not self._adapters[place]:
            del self._adapters[place], self._pods[place]

    def update_pod(self, namespace: str, name: str, pod: PodView | None) -> Iterator[Set[str]]:
        """Update a pod; yield the adapters of each selector that matches it now or did before.

        A pod with a wrong label is no candidate, but the conditions of these adapters name it.
        """
        for place, selected in self._pods.items():
            if place[0] == namespace and selected.update(name, pod):
                yield self._adapters[place]


class _SelectedPods:
    """The enabled pods that one selector matches."""

    def __init__(self, selector: LabelSelector, pods: Iterable[PodView]) -> None:
        self._selects = selector_predicate(selector)
        selected = [pod for pod in pods if self._selects(pod.labels)]
        self._pods = {pod.name: pod for pod in selected if pod.enabled}
        self._mislabelled = {pod.name for pod in selected if pod.problem}
        self._index: PodIndex | None = None

    def index(self) -> PodIndex:
        """Return the pods; the same value until one changes."""
        if self._index is None:
            self._index = PodIndex(self._pods.values())
        return self._index

    def update(self, name: str, pod: PodView | None) -> bool:
        """Update a pod; return whether it matches now or did before, with right labels or wrong ones."""
        self._index = None
        concerned = name in self._pods or name in self._mislabelled
        self._mislabelled.discard(name)
        if pod is not None and self._selects(pod.labels):
            if pod.problem:
                self._mislabelled.add(name)
                concerned = True
            if pod.enabled:
                self._pods[name] = pod
                return True
        self._pods.pop(name, None)
        return concerned


def selector_predicate(selector: LabelSelector) -> LabelPredicate:
    """Return the predicate of an adapter's pod selector; an empty or invalid one selects no pods.

    In Kubernetes an empty selector matches everything; for adapters that would be every pod of the namespace, and the
    CRD refuses it.
    """
    if not selector.match_labels and not selector.match_expressions:
        return lambda _: False
    try:
        return compile_selector(selector.match_labels, selector.match_expressions)
    except FormatError:
        return lambda _: False


def candidate_selector(selector: LabelSelector) -> str:
    """Return the text of the selector of pods that may hold an adapter; empty if it selects no pods."""
    if not selector.match_labels and not selector.match_expressions:
        return ""
    try:
        return selector_text({**selector.match_labels, ENABLED_LABEL: "true"}, selector.match_expressions)
    except FormatError:
        return ""
