"""One key, once: observe, plan, act.

`reconcile` is level-based: it looks at what is, never at what happened, and may be called at any time and any
number of times. Observing, planning and reserving what the plan needs happen in one go without an await, so two
workers never plan on the same free slot; acting writes in the plan's order and stops at the first write that fails.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from controller.api import annotations
from controller.api.annotations import FINALIZER
from controller.api.spec import problem_of
from controller.api.types import ENDPOINT_SLICES, MODEL_ADAPTERS, SERVICES, ModelAdapter, ModelAdapterStatus
from controller.cache.cache import Cache
from controller.cache.routing import routing_problem
from controller.cache.secrets import Place, SecretCache, places_of
from controller.cache.service_names import ServiceNames
from controller.client.interface import Client, Conflict, NotFound
from controller.clock import Clock
from controller.policies import Policies
from controller.reconcile import status
from controller.reconcile.actions import (
    AddFinalizer,
    EmitEvent,
    ListAdapters,
    Load,
    Plan,
    PublishEndpoints,
    RemoveFinalizer,
    Unload,
    WriteAnnotations,
    WriteStatus,
)
from controller.reconcile.plan import plan
from controller.reconcile.snapshot import Snapshot
from controller.requests.load_monitor import LoadMonitor
from controller.requests.tracker import RequestTracker
from controller.runtime.recorder import EventRecorder
from controller.settings import Settings


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile found."""

    useful: bool
    """Whether at least one action followed."""
    wake: float = 0.0
    """When to come again, seconds since 1970; 0 if only a change calls for it."""


class Reconciler:
    """Acts for one operator; `may_act` says whether it still leads."""

    def __init__(
        self,
        cluster: Client,
        caches: Cache,
        operations: RequestTracker,
        credentials: SecretCache,
        events: EventRecorder,
        clock: Clock,
        rng: Random,
        settings: Settings,
        policies: Policies,
        loads: LoadMonitor,
    ) -> None:
        self._cluster = cluster
        self._caches = caches
        self._operations = operations
        self._credentials = credentials
        self._events = events
        self._clock = clock
        self._rng = rng
        self._settings = settings
        self._policies = policies
        self._loads = loads
        self._names = ServiceNames(cluster, clock)
        self.follow: Callable[[str, Sequence[Place]], None] = lambda *_: None
        """Told which Secrets an adapter is to hear of (`secretwatch.py`)."""

    async def reconcile(self, key: str) -> Result:
        """Brings one adapter closer to what its spec wants. Raises `ClientError` if a write failed."""
        adapter = self._caches.adapters.get(key)
        if adapter is None:
            self._operations.forget_adapter(key)
            self._names.forget(key)
            self.follow(key, ())
            return Result(useful=False)
        await self._credentials.refresh(adapter)
        if adapter.metadata.deletion_timestamp is None:
            await self._names.refresh(adapter, has_service=self._caches.services.get(key) is not None)
        adapter = self._caches.adapters.get(key) or adapter  # reading takes time
        seen = self._observe(adapter)
        policy = self._policies.of(adapter.spec.scheduler_name)
        todo = plan(seen, self._clock.now().timestamp(), self._settings, policy, self._rng)
        self.follow(key, places_of(adapter) if todo.refused else ())
        return await _PlanExecutor(self, adapter, todo).run()

    def _observe(self, adapter: ModelAdapter) -> Snapshot:
        key, namespace = adapter.key, adapter.metadata.namespace
        caches, operations = self._caches, self._operations
        matching = caches.matching(adapter)
        return Snapshot(
            adapter=adapter,
            persisted=caches.persisted(adapter),
            pods=caches.views(namespace),
            matching=matching,
            inventory=operations.inventory,
            did_not_answer=operations.did_not_answer,
            adapters_on=lambda pod: caches.occupancy.others(f"{namespace}/{pod}", key),
            engine_load=self._loads.of,
            expected_requests=lambda pod: self._loads.expected(f"{namespace}/{pod}", key),
            has_slot=lambda pod: operations.has_slot(f"{namespace}/{pod}"),
            busy=operations.busy(key),
            outcomes=operations.outcomes(key),
            service=caches.services.get(key),
            slices=caches.slices_of(key),
            problem=problem_of(adapter.spec, self._policies.names)
            or routing_problem(adapter.spec, matching, self._settings)
            or self._credentials.problem(adapter)
            or self._names.problem(adapter),
            secret=self._credentials.version(adapter),
        )


class _PlanExecutor:
    """Carries out one plan."""

    def __init__(self, reconciler: Reconciler, adapter: ModelAdapter, todo: Plan) -> None:
        self._cluster = reconciler._cluster
        self._caches = reconciler._caches
        self._operations = reconciler._operations
        self._events = reconciler._events
        self._clock = reconciler._clock
        self._key = adapter.key
        self._adapter = adapter
        self._todo = todo
        self._reserved: list[str] = []
        self._useful = False
        self._written = False
        self._announced: dict[str, Load] = {}
        """Loads that the object speaks of and that have not been sent, by pod."""

    async def run(self) -> Result:
        key, todo = self._key, self._todo
        if todo.unsettled:
            self._caches.unsettled.add(key)
        else:
            self._caches.unsettled.discard(key)
        namespace = self._adapter.metadata.namespace
        for action in todo.actions:
            match action:
                case Load(pod=pod) | Unload(pod=pod):
                    self._reserved.append(f"{namespace}/{pod.name}")
                    self._operations.reserve(f"{namespace}/{pod.name}")
                case WriteAnnotations(after=after):
                    self._caches.occupancy.claim(key, [f"{namespace}/{pod}" for pod in after.selected])
        for pod_name in todo.waiting_for_slot:
            self._operations.wait_for_slot(key, f"{namespace}/{pod_name}")
        try:
            for action in todo.actions:
                await self._act(action)
        except Conflict:
            if not self._written:
                raise
            # What was written stands and the rest is planned anew at once: a key that gets on has not failed.
            return Result(useful=True, wake=self._clock.now().timestamp())
        finally:
            for load in self._announced.values():
                self._operations.cancel_announced(self._adapter, load.pod)
            for pod_key in self._reserved:
                self._operations.release(pod_key)
            self._caches.occupancy.claim(key, ())
        return Result(useful=self._useful, wake=todo.wake)

    async def _act(self, action: object) -> None:
        match action:
            case WriteStatus(status=wanted):
                await self._write_status(wanted)
            case WriteAnnotations(before=before, after=after):
                patch = annotations.changes(before, after)
                if patch:
                    await self._patch({"metadata": {"annotations": patch}})
                self._announced = {load.pod.name: load for load in self._todo.actions if isinstance(load, Load)}
            case AddFinalizer():
                finalizers = [*self._adapter.metadata.finalizers, FINALIZER]
                await self._patch({"metadata": {"finalizers": finalizers}})
            case RemoveFinalizer():
                finalizers = [name for name in self._adapter.metadata.finalizers if name != FINALIZER]
                await self._patch({"metadata": {"finalizers": finalizers}})
            case PublishEndpoints():
                await self._publish(action)
            case Load(pod=pod, announced=announced):
                self._hand_over(pod.name)
                del self._announced[pod.name]
                self._operations.load(self._adapter, pod, announced)
            case Unload(pod=pod):
                self._hand_over(pod.name)
                self._operations.unload(self._adapter, pod)
            case ListAdapters(pod=pod):
                self._useful = True
                self._operations.list_adapters(self._adapter, pod)
            case EmitEvent(type=kind, reason=reason, note=note):
                self._useful = True
                self._events.event(self._adapter, kind, reason, note)

    def _hand_over(self, pod: str) -> None:
        """The request keeps the slot that was reserved for it."""
        self._useful = True
        self._reserved.remove(f"{self._adapter.metadata.namespace}/{pod}")

    async def _write_status(self, wanted: ModelAdapterStatus) -> None:
        if wanted != self._adapter.status:
            await self._patch(status.patch(self._adapter.status, wanted), subresource=True)

    async def _patch(self, body: Mapping[str, Any], *, subresource: bool = False) -> None:
        """Writes to the adapter, only if it still is what the plan was made from (and has written since)."""
        self._useful = True
        meta = self._adapter.metadata
        self._adapter = await self._cluster.patch(
            MODEL_ADAPTERS,
            meta.namespace,
            meta.name,
            body,
            resource_version=meta.resource_version,
            subresource="status" if subresource else "",
        )
        self._written = True
        self._caches.adapters.apply_local(self._adapter)

    async def _publish(self, publish: PublishEndpoints) -> None:
        self._useful = True
        if publish.service is not None:
            self._caches.services.apply_local(await self._cluster.apply(SERVICES, publish.service))
        for item in publish.slices:
            self._caches.slices.apply_local(await self._cluster.apply(ENDPOINT_SLICES, item))
        namespace = self._adapter.metadata.namespace
        for name in publish.obsolete:
            try:
                await self._cluster.delete(ENDPOINT_SLICES, namespace, name)
            except NotFound:
                continue
