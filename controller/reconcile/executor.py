"""Executes a plan: writes in its order, and stops at the first write that fails.

Each action may depend on those before it: a load on its announcement, an unload on the withdrawal. A write that the API
server refuses by rule is recorded, and the next plan is made at once, without it.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from controller.api import annotations
from controller.api.annotations import FINALIZER, Attempt, PersistedState, pod_key
from controller.api.labels import MANAGED_BY, MANAGER, SERVICE_LABEL
from controller.api.ownership import described_owner, is_owned
from controller.api.types import (
    ENDPOINT_SLICES,
    MODEL_ADAPTERS,
    SERVICES,
    Kind,
    ModelAdapter,
    ModelAdapterStatus,
    Resource,
)
from controller.cache.own_writes import Version, version_of
from controller.cache.pod_view import PodView
from controller.cache.refusals import REFUSALS
from controller.client.interface import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from controller.reconcile import status
from controller.reconcile.actions import (
    Action,
    AdoptSlices,
    EmitEvent,
    Inspect,
    ListAdapters,
    Load,
    Plan,
    PublishEndpoints,
    RemoveFinalizer,
    SetReplicas,
    Unload,
    Write,
    WriteAnnotations,
    WriteStatus,
)
from controller.reconcile.dependencies import ReconcilerDependencies
from controller.reconcile.planning.endpoints import write_to
from controller.requests.engine_calls import PreparedLoad

T = TypeVar("T", bound=Resource)


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a reconcile."""

    with_actions: bool
    """True if at least one action was executed."""
    wake: float = 0.0
    """Time of the next reconcile, in seconds since 1970; 0 if only a change requires it."""
    written: frozenset[Version] = frozenset()
    """Writes after which nothing is left to do: those of a plan that was executed in full."""


class _Refused(Exception):
    """A write was refused, which is recorded."""


class PlanExecutor:
    """Executes one plan for one adapter."""

    def __init__(self, dependencies: ReconcilerDependencies, adapter: ModelAdapter, plan: Plan) -> None:
        self._dependencies = dependencies
        self._adapter = adapter
        self._plan = plan
        self._reserved: list[str] = []
        self._with_actions = False
        self._written = False
        self._versions = set[Version]()
        """Versions that the plan's writes returned."""
        self._continues = plan.continues
        """True if another plan has to be made from what this one writes."""
        self._outdated = False
        """True if a pod has changed since the plan was made."""
        self._prepared: dict[str, PreparedLoad] = {}
        """Loads that are not sent yet, by pod name."""
        self._announced = 0.0
        """Time in the announcement, in seconds since 1970; 0 before it is written."""
        self._confirmed = 0.0
        """Loop time of its confirmation."""

    async def run(self) -> Result:
        """Reserve what the plan needs before the first write, so that no other reconcile plans with it."""
        plan = self._plan
        self._reserve()
        try:
            for action in plan.actions:
                if not await self._execute(action):
                    return self._plan_again()
        except _Refused:
            return self._plan_again()  # the next plan takes account of it
        except Conflict:
            if not self._written:
                raise
            # What was written stands and the rest is planned again at once: a key that progresses has not failed.
            return self._plan_again()
        finally:
            self._release()
        return self._plan_again() if self._outdated else self._done()

    def _done(self) -> Result:
        """Return the result of a plan that was executed in full."""
        written = frozenset[Version]() if self._continues else frozenset(self._versions)
        return Result(with_actions=self._with_actions, wake=self._plan.wake, written=written)

    def _plan_again(self) -> Result:
        return Result(with_actions=True, wake=self._dependencies.clock.now().timestamp())

    def _release(self) -> None:
        """Return what was reserved and not used."""
        dependencies, key = self._dependencies, self._adapter.key
        if self._announced:
            for pod in self._prepared:
                dependencies.tracker.record_unsent(key, pod, self._announced)
        for pod in self._reserved:
            dependencies.slots.release(pod)
        if not self._plan.selection or dependencies.cache.persisted_state(self._adapter).selected:
            dependencies.cache.occupancy.claim(key, ())

    def _reserve(self) -> None:
        cache, slots = self._dependencies.cache, self._dependencies.slots
        key, namespace = self._adapter.key, self._adapter.metadata.namespace
        if self._plan.unsettled:
            cache.unsettled.add(key)
        else:
            cache.unsettled.discard(key)
        if self._plan.short_of_capacity:
            cache.short_of_capacity.add(key)
        else:
            cache.short_of_capacity.discard(key)
        for action in self._plan.actions:
            match action:
                case Load(pod=pod) | Unload(pod=pod):
                    self._reserved.append(pod.key)
                    slots.reserve(pod.key)
        cache.occupancy.claim(key, [f"{namespace}/{pod}" for pod in self._plan.selection])
        for name in self._plan.waiting_for_slot:
            slots.wait_for_slot(key, f"{namespace}/{name}")

    async def _execute(self, action: Action) -> bool:
        """Execute an action; return whether the rest of the plan still makes sense."""
        match action:
            case WriteStatus(status=desired):
                await self._write_status(desired)
            case WriteAnnotations():
                if not await self._prepare_loads():
                    return False
                await self._write_annotations(action)
            case SetReplicas(replicas=replicas, at=at):
                await self._set_replicas(replicas, at)
            case RemoveFinalizer():
                kept = [name for name in self._adapter.metadata.finalizers if name != FINALIZER]
                await self._patch({"metadata": {"finalizers": kept}})
            case AdoptSlices():
                await self._adopt_slices()
            case PublishEndpoints():
                await self._publish(action)
            case Load() | Unload() | ListAdapters() | Inspect():
                self._send(action)
            case EmitEvent(type=kind, reason=reason, note=note):
                self._with_actions = True
                self._dependencies.events.event(self._adapter, kind, reason, note)
        return True

    def _send(self, request: Load | Unload | ListAdapters | Inspect) -> None:
        """Start a request; it keeps the slot that was reserved for it."""
        self._with_actions = True
        tracker = self._dependencies.tracker
        match request:
            case Load(pod=pod):
                if not _is_unchanged(pod, self._dependencies.cache.pods_in(pod.namespace).get(pod.name)):
                    self._outdated = True
                    return
                self._reserved.remove(pod.key)
                tracker.load(self._prepared.pop(pod.name), self._announced, self._confirmed)
            case Unload(pod=pod):
                self._reserved.remove(pod.key)
                tracker.unload(self._adapter, pod)
            case ListAdapters(pod=pod):
                tracker.list_adapters(self._adapter, pod)
            case Inspect(pod=pod):
                tracker.inspect(self._adapter, pod)

    async def _write_status(self, desired: ModelAdapterStatus) -> None:
        """Write the status if it differs.

        Raises:
            _Refused: the API server refused it, which is recorded.
        """
        if desired == self._adapter.status:
            return
        errors, key = self._dependencies.status_errors, self._adapter.key
        try:
            await self._patch(status.patch(self._adapter.status, desired), subresource=True)
        except (Forbidden, Invalid) as error:
            errors.record(key, error)
            note = f"The API server refused the status: {error}"
            self._dependencies.events.event(self._adapter, "Warning", "FailedUpdate", note)
            raise _Refused from error
        errors.succeeded(key)

    async def _set_replicas(self, replicas: int, at: float) -> None:
        """Change the replicas.

        Raises:
            _Refused: the API server refused it, which is recorded: the adapter is run with those that it has.
        """
        errors, key = self._dependencies.scaling_errors, self._adapter.key
        try:
            await self._patch(annotations.set_replicas(replicas, at))
        except (Forbidden, Invalid) as error:
            errors.record(key, error)
            self._dependencies.events.event(self._adapter, "Warning", "FailedUpdateScale", str(error))
            raise _Refused from error
        errors.forget(key)

    async def _prepare_loads(self) -> bool:
        """Read what the loads need before they are announced; return False if one of them cannot be sent."""
        refused = False
        for action in self._plan.actions:
            if isinstance(action, Load):
                prepared = await self._dependencies.tracker.prepare(self._adapter, action.pod)
                if prepared is None:
                    refused = True
                else:
                    self._prepared[action.pod.name] = prepared
        return not refused

    async def _write_annotations(self, action: WriteAnnotations) -> None:
        after = action.after
        if self._prepared:
            self._announced = self._dependencies.clock.now().timestamp()
            after = _announced_at(after, self._prepared, self._announced)
        metadata: dict[str, Any] = {}
        if patch := annotations.changes(action.before, after):
            metadata["annotations"] = patch | {annotations.WRITER: self._dependencies.other_operators.signature()}
        if action.add_finalizer:
            metadata["finalizers"] = [*self._adapter.metadata.finalizers, FINALIZER]
        if metadata:
            await self._patch({"metadata": metadata})
        self._confirmed = asyncio.get_running_loop().time()

    async def _patch(self, body: Mapping[str, Any], *, subresource: bool = False) -> None:
        """Patch the adapter if it is unchanged since the plan was made, apart from this plan's own writes."""
        self._with_actions = True
        meta = self._adapter.metadata
        self._adapter = await self._dependencies.client.patch(
            MODEL_ADAPTERS,
            meta.namespace,
            meta.name,
            body,
            resource_version=meta.resource_version,
            subresource="status" if subresource else "",
        )
        self._written = True
        self._versions.add(version_of(self._adapter))
        self._dependencies.cache.adapters.apply_local(self._adapter)

    async def _adopt_slices(self) -> None:
        """Adopt the slices that another operator wrote.

        Raises:
            _Refused: the API server refused it, which is recorded.
        """
        errors, key = self._dependencies.adoption_errors, self._adapter.key
        try:
            await self._label_slices()
        except (Forbidden, Invalid) as error:
            errors.record(key, error)
            raise _Refused from error
        errors.succeeded(key)

    async def _label_slices(self) -> None:
        """Label the slices that the adapter owns and that are not watched."""
        cache, client = self._dependencies.cache, self._dependencies.client
        meta = self._adapter.metadata
        label = f"{SERVICE_LABEL}={meta.name}"
        listed = await client.list(ENDPOINT_SLICES, namespace=meta.namespace, label_selector=label)
        for item in listed.items:
            if is_owned(self._adapter, item) and item.metadata.labels.get(MANAGED_BY) != MANAGER:
                body = {"metadata": {"labels": {MANAGED_BY: MANAGER}}}
                version = item.metadata.resource_version
                adopted = await client.patch(
                    ENDPOINT_SLICES, meta.namespace, item.metadata.name, body, resource_version=version
                )
                cache.slices.apply_local(adopted)

    async def _publish(self, publish: PublishEndpoints) -> None:
        """Write the objects that publish the adapter.

        Raises:
            _Refused: the API server refused a write, which is recorded.
        """
        self._with_actions = True
        errors, key = self._dependencies.publication_errors, self._adapter.key
        try:
            await self._write_endpoints(publish)
        except REFUSALS as error:
            errors.record(key, error, withdrawal=publish.withdrawal)
            raise _Refused from error
        self._continues |= errors.get(key) is not None  # the status still has the error
        errors.succeeded(key, withdrawal=publish.withdrawal)

    async def _write_endpoints(self, publish: PublishEndpoints) -> None:
        cache = self._dependencies.cache
        if publish.service is not None:
            service = await self._write(SERVICES, publish.service)
            self._versions.add(version_of(service))
            cache.services.apply_local(service)
        for item in publish.slices:
            stored = await self._write(ENDPOINT_SLICES, item)
            self._versions.add(version_of(stored))
            cache.slices.apply_local(stored)
        for obsolete in publish.obsolete:
            meta = obsolete.metadata
            try:
                await self._dependencies.client.delete(ENDPOINT_SLICES, meta.namespace, meta.name, uid=meta.uid)
            except NotFound:
                continue

    async def _write(self, kind: Kind[T], write: Write[T]) -> T:
        """Create the object, or patch the version that the plan was made from.

        Raises:
            AlreadyExists: another client has created an object of that name, which is not this adapter's.
            Conflict: the object has changed.
        """
        client, meta = self._dependencies.client, write.desired.metadata
        if write.current is not None:
            version = write.current.metadata.resource_version
            return await client.patch(kind, meta.namespace, meta.name, write.patch, resource_version=version)
        try:
            return await client.create(kind, write.desired)
        except AlreadyExists as error:
            if kind.plural == SERVICES.plural:  # all Services are watched: the next plan sees it
                raise Conflict(str(error), code=error.code) from error
            # The cache lacks it: it is too new, or it has lost the label by which it is watched.
            existing = await client.get(kind, meta.namespace, meta.name)
            if not is_owned(self._adapter, existing):
                name = f"{kind.kind} {meta.namespace}/{meta.name}"
                raise AlreadyExists(f"{name} exists and {described_owner(existing)}", code=409) from error
        repair = write_to(existing, write.desired)
        return existing if repair is None else await self._write(kind, repair)


def _announced_at(after: PersistedState, pods: Iterable[str], timestamp: float) -> PersistedState:
    """Return the state with the time of the announcement: other writes came before it, which may have taken long."""
    keys = {pod_key(pod) for pod in pods}
    attempts = {
        key: Attempt(attempt.retries, timestamp) if key in keys else attempt for key, attempt in after.attempts.items()
    }
    return replace(after, attempts=attempts)


def _is_unchanged(planned: PodView, current: PodView | None) -> bool:
    """Return whether a load may still be sent to the pod: it can have changed while the plan was written."""
    if current is None or not current.available:
        return False
    return (planned.uid, planned.engine, planned.ip, planned.port, planned.changed) == (
        current.uid,
        current.engine,
        current.ip,
        current.port,
        current.changed,
    )
