"""What the operator has in view: informers, and the indexes over them that make a reconcile cheap.

Pods are reduced to `PodView`s once per change. Distinct selectors are few, adapters many: which pods match is kept
by selector, so that a change of a pod is judged once per selector and wakes only adapters that it concerns.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import msgspec
from structlog.typing import FilteringBoundLogger

from controller.api import annotations
from controller.api.annotations import PersistedState
from controller.api.labels import MANAGED_BY, MANAGER, NAME_LABEL, SERVICE_LABEL
from controller.api.types import (
    ENDPOINT_SLICES,
    MODEL_ADAPTERS,
    NODES,
    PODS,
    SERVICES,
    EndpointSlice,
    LabelSelector,
    ModelAdapter,
    Node,
    Pod,
    Resource,
    Service,
)
from controller.cache.occupancy import Occupancy
from controller.cache.pod_index import NOBODY, PodIndex
from controller.cache.pod_view import PodView, pod_view
from controller.client.interface import Client
from controller.runtime.informer import Informer
from formats.errors import FormatError
from formats.label_selectors import LabelPredicate, compile_selector

ZONE_LABEL = "topology.kubernetes.io/zone"


class Cache:
    """`wake` queues an adapter's key; `on_pod` hears of pods that came, changed or went."""

    def __init__(
        self, cluster: Client, log: FilteringBoundLogger, wake: Callable[[str], None], *, resync: float = 0.0
    ) -> None:
        self.adapters: Informer[ModelAdapter] = Informer(cluster, MODEL_ADAPTERS, log, resync=resync)
        self.pods: Informer[Pod] = Informer(cluster, PODS, log)
        self.nodes: Informer[Node] = Informer(cluster, NODES, log)
        managed = NAME_LABEL
        self.services: Informer[Service] = Informer(cluster, SERVICES, log, label_selector=managed)
        self.slices: Informer[EndpointSlice] = Informer(
            cluster, ENDPOINT_SLICES, log, label_selector=f"{MANAGED_BY}={MANAGER}"
        )
        self.occupancy = Occupancy()
        self.schedulers: Counter[tuple[str, str]] = Counter()
        """How many adapters name which scheduler, by (namespace, name)."""
        self.unsettled: set[str] = set()
        """Keys of adapters that another pod would be of use to."""
        self._wake = wake
        self._views: dict[str, dict[str, PodView]] = {}
        self._selected: dict[tuple[str, bytes], _Selected] = {}
        self._selector_of: dict[str, tuple[str, bytes]] = {}
        self._selected_by: dict[tuple[str, bytes], set[str]] = {}
        self._remembered: dict[str, tuple[dict[str, str], PersistedState]] = {}
        self._slices_of: dict[str, dict[str, EndpointSlice]] = {}
        self.on_pod: Callable[[PodView | None, PodView | None], None] = lambda *_: None
        self.adapters.on_change(self._adapter_changed)
        self.pods.on_change(self._pod_changed)
        self.services.on_change(self._owned_changed)
        self.slices.on_change(self._slice_changed)

    def informers(
        self,
    ) -> list[Informer[ModelAdapter] | Informer[Pod] | Informer[Node] | Informer[Service] | Informer[EndpointSlice]]:
        return [self.nodes, self.pods, self.services, self.slices, self.adapters]

    def views(self, namespace: str) -> dict[str, PodView]:
        """All pods of the namespace, by name. Not to be mutated."""
        return self._views.get(namespace, {})

    def matching(self, adapter: ModelAdapter) -> PodIndex:
        """Enabled pods that the adapter's selector matches, by name."""
        place = self._selector_of.get(adapter.key)
        return NOBODY if place is None else self._selected[place].matching()

    def persisted(self, adapter: ModelAdapter) -> PersistedState:
        """What the object's annotations remember; parsed once per version of them."""
        kept = self._remembered.get(adapter.key)
        if kept is not None and kept[0] == adapter.metadata.annotations:
            return kept[1]
        parsed = annotations.read(adapter.metadata.annotations)
        self._remembered[adapter.key] = (adapter.metadata.annotations, parsed)
        return parsed

    def slices_of(self, key: str) -> list[EndpointSlice]:
        return list(self._slices_of.get(key, {}).values())

    # -- changes

    def _adapter_changed(self, old: ModelAdapter | None, new: ModelAdapter | None) -> None:
        self._recount(old, -1)
        self._recount(new, 1)
        if new is None:
            assert old is not None
            key = old.key
            self._reselect(key, None)
            self._remembered.pop(key, None)
            self.occupancy.hold(key, ())
            self.unsettled.discard(key)
        else:
            key, namespace = new.key, new.metadata.namespace
            if old is None or old.spec.pod_selector != new.spec.pod_selector:
                self._reselect(key, new)
            remembered = self.persisted(new)
            left = {pod for pod in remembered.placements if remembered.attempt(pod) is None}
            self.occupancy.hold(key, [f"{namespace}/{pod}" for pod in {*remembered.selected, *left}])
        self._wake(key)

    def _recount(self, adapter: ModelAdapter | None, n: int) -> None:
        if adapter is not None:
            place = (adapter.metadata.namespace, adapter.spec.scheduler_name)
            self.schedulers[place] += n
            if not self.schedulers[place]:
                del self.schedulers[place]

    def _reselect(self, key: str, adapter: ModelAdapter | None) -> None:
        before = self._selector_of.pop(key, None)
        if before is not None:
            self._selected_by[before].discard(key)
            if not self._selected_by[before]:
                del self._selected_by[before], self._selected[before]
        if adapter is None:
            return
        namespace, selector = adapter.metadata.namespace, adapter.spec.pod_selector
        place = (namespace, msgspec.json.encode(selector, order="deterministic"))
        self._selector_of[key] = place
        self._selected_by.setdefault(place, set()).add(key)
        if place not in self._selected:
            self._selected[place] = _Selected(selector, self.views(namespace).values())

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        assert pod is not None
        namespace, name = pod.metadata.namespace, pod.metadata.name
        views = self._views.setdefault(namespace, {})
        before = views.get(name)
        after = None if new is None else pod_view(new, self._zone(new))
        if before == after:
            return
        if after is None:
            del views[name]
        else:
            views[name] = after
        concerned = set(self.occupancy.on(f"{namespace}/{name}"))
        for place, selected in self._selected.items():
            if place[0] == namespace and selected.changed(name, after) and not _still_coming(before, after):
                concerned |= self._selected_by[place] & self.unsettled
        self.on_pod(before, after)
        for key in sorted(concerned):
            self._wake(key)

    def _zone(self, pod: Pod) -> str:
        node = self.nodes.get(pod.spec.node_name)
        return node.metadata.labels.get(ZONE_LABEL, "") if node is not None else ""

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        item = new or old
        assert item is not None
        key = f"{item.metadata.namespace}/{item.metadata.labels.get(SERVICE_LABEL, '')}"
        if new is None:
            self._slices_of.get(key, {}).pop(item.metadata.name, None)
            if not self._slices_of.get(key):
                self._slices_of.pop(key, None)
        else:
            self._slices_of.setdefault(key, {})[item.metadata.name] = new
        self._owned_changed(old, new)

    def _owned_changed(self, old: Resource | None, new: Resource | None) -> None:
        """A Service or slice of ours came, went or was changed: by whom does not matter, its adapter looks."""
        item = new or old
        assert item is not None
        name = item.metadata.labels.get(NAME_LABEL)
        if name:
            self._wake(f"{item.metadata.namespace}/{name}")


def _still_coming(before: PodView | None, after: PodView | None) -> bool:
    """Whether a pod has only got a node, an address or a container, and is no more ready than it was."""
    if before is None or after is None or before.ready or after.ready:
        return False
    return replace(before, node=after.node, zone=after.zone, ip=after.ip, engine=after.engine) == after


class _Selected:
    """The enabled pods that a selector matches."""

    def __init__(self, selector: LabelSelector, pods: Iterable[PodView]) -> None:
        self._selects = _predicate(selector)
        self._pods = {pod.name: pod for pod in pods if self._matches(pod)}
        self._matching: PodIndex | None = None

    def matching(self) -> PodIndex:
        """The same value until a pod changes."""
        if self._matching is None:
            self._matching = PodIndex(self._pods.values())
        return self._matching

    def changed(self, name: str, pod: PodView | None) -> bool:
        """Takes in what became of a pod; returns whether it matches, or did."""
        self._matching = None
        if pod is not None and self._matches(pod):
            self._pods[name] = pod
            return True
        return self._pods.pop(name, None) is not None

    def _matches(self, pod: PodView) -> bool:
        return pod.enabled and self._selects(pod.labels)


def _predicate(selector: LabelSelector) -> LabelPredicate:
    """Return the predicate of an adapter's pod selector; an empty one selects no pods.

    In Kubernetes an empty selector matches everything; for adapters that would be every pod of the namespace, and the
    CRD refuses it.
    """
    if not selector.match_labels and not selector.match_expressions:
        return lambda _: False
    try:
        return compile_selector(selector.match_labels, selector.match_expressions)
    except FormatError:
        return lambda _: False
