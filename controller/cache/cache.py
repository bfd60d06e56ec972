"""The controller's view of the cluster: informers, and the indexes over them that make a reconcile cheap.

Each pod is reduced to a `PodView` once per change. A changed pod wakes only the adapters that it concerns.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from structlog.typing import FilteringBoundLogger

from controller.api import annotations
from controller.api.annotations import MoveRecord, PersistedState
from controller.api.artifact import artifact_facts
from controller.api.labels import MANAGED_BY, MANAGER
from controller.api.ownership import adapter_name_of
from controller.api.types import (
    ENDPOINT_SLICES,
    MODEL_ADAPTERS,
    NODES,
    PODS,
    SERVICES,
    EndpointSlice,
    ModelAdapter,
    Node,
    Pod,
    Resource,
    Service,
)
from controller.cache.occupancy import Occupancy
from controller.cache.own_writes import OwnWrites
from controller.cache.pod_index import PodIndex
from controller.cache.pod_view import PodView, pod_view
from controller.cache.selector_index import SelectorIndex
from controller.client.interface import Client
from controller.runtime.informer import Informer

ZONE_LABEL = "topology.kubernetes.io/zone"


class Cache:
    """`wake` queues an adapter's key; `on_pod` is called with (old, new) when a pod appears, changes or is deleted."""

    def __init__(
        self,
        client: Client,
        log: FilteringBoundLogger,
        wake: Callable[[str], None],
        on_pod: Callable[[PodView | None, PodView | None], None],
        *,
        resync: float = 0.0,
    ) -> None:
        self.adapters: Informer[ModelAdapter] = Informer(client, MODEL_ADAPTERS, log, resync=resync)
        self.pods: Informer[Pod] = Informer(client, PODS, log)
        self.nodes: Informer[Node] = Informer(client, NODES, log)
        self.services: Informer[Service] = Informer(client, SERVICES, log)
        self.slices: Informer[EndpointSlice] = Informer(
            client, ENDPOINT_SLICES, log, label_selector=f"{MANAGED_BY}={MANAGER}"
        )
        self.occupancy = Occupancy()
        self.own_writes = OwnWrites(wake)
        self.schedulers: Counter[tuple[str, str]] = Counter()
        """Number of adapters by (namespace, schedulerName)."""
        self.unsettled: set[str] = set()
        """Keys of adapters for which another pod would be useful."""
        self.short_of_capacity: set[str] = set()
        """Keys of adapters for which the policy found ready pods and no capacity on them."""
        self.autoscaled: set[str] = set()
        """Keys of adapters with autoscaling."""
        self.on_demand: set[str] = set()
        """Keys of adapters that are loaded on demand."""
        self.moves: dict[str, MoveRecord] = {}
        """Last move of each adapter that rebalancing has moved."""
        self._wake = wake
        self._on_pod = on_pod
        self._views: dict[str, dict[str, PodView]] = {}
        self._selectors = SelectorIndex()
        self._sizes: dict[str, int] = {}
        self.sizes: Mapping[str, int] = MappingProxyType(self._sizes)
        """Bytes of the weights of each adapter (`namespace/name`) for which they are known; read-only."""
        self._persisted: dict[str, tuple[dict[str, str], PersistedState]] = {}
        self._slices_of: dict[str, dict[str, EndpointSlice]] = {}
        self.adapters.on_change(self._adapter_changed)
        self.pods.on_change(self._pod_changed)
        self.services.on_change(self._service_changed)
        self.slices.on_change(self._slice_changed)
        for informer in self.informers():
            informer.on_restored(self._relist)

    def informers(
        self,
    ) -> list[Informer[ModelAdapter] | Informer[Pod] | Informer[Node] | Informer[Service] | Informer[EndpointSlice]]:
        """Return all informers, in the order in which they have to be started."""
        return [self.nodes, self.pods, self.services, self.slices, self.adapters]

    def pods_in(self, namespace: str) -> Mapping[str, PodView]:
        """Return all pods of the namespace, by name."""
        return self._views.get(namespace, {})

    def matching(self, adapter: ModelAdapter) -> PodIndex:
        """Return the enabled pods that the adapter's selector matches."""
        return self._selectors.pods_of(adapter.key)

    def persisted_state(self, adapter: ModelAdapter) -> PersistedState:
        """Return the state in the object's annotations; parsed once per version of them."""
        cached = self._persisted.get(adapter.key)
        if cached is not None and cached[0] == adapter.metadata.annotations:
            return cached[1]
        parsed = annotations.read(adapter.metadata.annotations)
        self._persisted[adapter.key] = (adapter.metadata.annotations, parsed)
        return parsed

    def slices_of(self, key: str) -> list[EndpointSlice]:
        """Return the EndpointSlices of an adapter."""
        return list(self._slices_of.get(key, {}).values())

    def _relist(self) -> None:
        """List all kinds again: the server was restored from a backup."""
        for informer in self.informers():
            informer.relist()

    # -- changes

    def _adapter_changed(self, old: ModelAdapter | None, new: ModelAdapter | None) -> None:
        self._count_scheduler(old, -1)
        self._count_scheduler(new, 1)
        if new is None:
            assert old is not None
            key = old.key
            self._selectors.remove(key)
            self._persisted.pop(key, None)
            self._sizes.pop(key, None)
            left = self.occupancy.hold(key, ())
            self.unsettled.discard(key)
            self.short_of_capacity.discard(key)
            self.autoscaled.discard(key)
            self.on_demand.discard(key)
            self.moves.pop(key, None)
        else:
            key, namespace = new.key, new.metadata.namespace
            if size := artifact_facts(new).size_bytes:
                self._sizes[key] = size
            else:
                self._sizes.pop(key, None)
            if new.spec.autoscaling is not None and new.metadata.deletion_timestamp is None:
                self.autoscaled.add(key)
            else:
                self.autoscaled.discard(key)
            if new.spec.on_demand and new.metadata.deletion_timestamp is None:
                self.on_demand.add(key)
            else:
                self.on_demand.discard(key)
            if old is None or old.spec.pod_selector != new.spec.pod_selector:
                self._selectors.add(new, self.pods_in(namespace).values())
            persisted = self.persisted_state(new)
            if persisted.move is not None:
                self.moves[key] = persisted.move
            else:
                self.moves.pop(key, None)
            loaded = {pod for pod in persisted.placements if persisted.attempt(pod) is None}
            left = self.occupancy.hold(key, [f"{namespace}/{pod}" for pod in {*persisted.selected, *loaded}])
        self._object_changed(key, new)
        if left:
            self._wake_short_of_capacity(key.split("/")[0])

    def _wake_short_of_capacity(self, namespace: str) -> None:
        """Wake the adapters that a policy found no capacity for: another adapter has left a pod."""
        for key in sorted(self.short_of_capacity):
            if key.startswith(f"{namespace}/"):
                self._wake(key)

    def _count_scheduler(self, adapter: ModelAdapter | None, n: int) -> None:
        if adapter is not None:
            scheduler = (adapter.metadata.namespace, adapter.spec.scheduler_name)
            self.schedulers[scheduler] += n
            if not self.schedulers[scheduler]:
                del self.schedulers[scheduler]

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        assert pod is not None
        namespace, name = pod.metadata.namespace, pod.metadata.name
        views = self._views.setdefault(namespace, {})
        before = views.get(name)
        after = None if new is None else pod_view(new, self._zone(new))
        if before == after:
            return
        if before is not None and after is not None and before.uid != after.uid:
            self._pod_changed(
                old, None
            )  # another pod of that name, as a StatefulSet makes them: its deletion was missed
            before = None
        if after is None:
            del views[name]
        else:
            views[name] = after
        concerned = set(self.occupancy.on(f"{namespace}/{name}"))
        for adapters in self._selectors.update_pod(namespace, name, after):
            if not _is_still_starting(before, after):
                concerned |= adapters & self.unsettled
        self._on_pod(before, after)
        for key in sorted(concerned):
            self._wake(key)

    def _zone(self, pod: Pod) -> str:
        node = self.nodes.get(pod.spec.node_name)
        return node.metadata.labels.get(ZONE_LABEL, "") if node is not None else ""

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        if old is not None and (key := _adapter_key(old)) in self._slices_of:
            self._slices_of[key].pop(old.metadata.name, None)
            if not self._slices_of[key]:
                del self._slices_of[key]
        if new is not None and (key := _adapter_key(new)):
            self._slices_of.setdefault(key, {})[new.metadata.name] = new
        self._owned_changed(old, new)

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        """Wake the adapter of that name, whose Service it is or whose name it takes."""
        service = new or old
        assert service is not None
        if self.adapters.get(service.key) is not None:
            self._object_changed(service.key, new)

    def _owned_changed(self, old: Resource | None, new: Resource | None) -> None:
        """Wake the adapters that a Service or slice belongs to or did before, after any change."""
        now = _adapter_key(new) if new is not None else ""
        for key in sorted({_adapter_key(item) for item in (old, new) if item is not None} - {""}):
            self._object_changed(key, new if key == now else None)

    def _object_changed(self, key: str, new: Resource | None) -> None:
        """Wake an adapter after a change of one of its objects; `new` is None if it lost the object."""
        if new is None:
            self._wake(key)
        else:
            self.own_writes.changed(key, new)


def _adapter_key(obj: Resource) -> str:
    """Return the key of the adapter that a Service or slice belongs to; empty if it belongs to none."""
    name = adapter_name_of(obj)
    return f"{obj.metadata.namespace}/{name}" if name else ""


def _is_still_starting(before: PodView | None, after: PodView | None) -> bool:
    """Return whether a pod only got a node, an address or a container, and is not ready."""
    if before is None or after is None or before.ready or after.ready:
        return False
    return replace(before, node=after.node, zone=after.zone, ip=after.ip, ips=after.ips, engine=after.engine) == after
