"""An operator outside of the simulation, as the record and faults see it: its requests to the API server and its Lease.

Every client that is not a tool for people, such as kubectl, counts as the operator. It leads while it holds a Lease; an
operator without a Lease leads from its first write on, as `outside`. Replicas that are processes of this world
(`process_replica.py`) are identified by their token.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from fake_vllm.distributions import Latency
from twin.apiserver import ApiError, Change, Store
from twin.apiserver.rest import AuditEvent
from twin.apiserver.rest.auth.rbac import Attributes
from twin.apiserver.rest.middleware import RequestEffects
from twin.kernel.loop import wait_for_event
from twin.serve.operator.process_replica import ProcessReplica
from twin.trace.lines import ApiLine, ControllerLine, LeaseLine
from twin.trace.recorder import Recorder
from twin.world.api_faults import ApiFaults, ApiRule
from twin.world.api_refusals import RefusedRequest

NAME = "outside"
_WRITES = {"create": "create", "update": "patch", "patch": "patch", "delete": "delete"}
_LEASES = "leases.coordination.k8s.io"
_PEOPLE = ("kubectl", "curl", "python-httpx", "Mozilla")
"""Clients that people use; their requests are not the operator's."""


class ExternalOperator:
    """Observes and delays requests that arrive through the served API."""

    def __init__(
        self, store: Store, recorder: Recorder, faults: ApiFaults, latency: Latency, rng: np.random.Generator
    ) -> None:
        """`latency` is the duration of a request to the API server, in seconds."""
        self._store = store
        self._recorder = recorder
        self._faults = faults
        self._latency = latency
        self._rng = rng
        self._replicas: Mapping[str, ProcessReplica] = {}
        self._leader = ""

    def watch_leases(self, replicas: Mapping[str, ProcessReplica]) -> None:
        """Record who holds which Lease; an operator in this process records that itself."""
        self._replicas = replicas
        self._store.subscribe(self._lease_changed, _LEASES)

    async def interfere(self, event: AuditEvent) -> RequestEffects:
        """Apply the API server's latency and faults to a request.

        Raises:
            ApiError: the error that the request gets instead.
        """
        if not _is_controller(event):
            return RequestEffects()
        attributes, faults = event.attributes, self._faults
        replica = self._replicas.get(event.user.name)
        if replica is not None and attributes.verb in _WRITES:
            replica.writes += 1
            if not replica.on_write("before"):
                raise _unavailable()  # the process is dead
        await asyncio.sleep(self._latency.draw(self._rng) * faults.factor)
        if attributes.resource == "leases" and (ended := faults.lease_dropped(event.user.name)) is not None:
            await wait_for_event(ended)
            raise _unavailable()
        if attributes.verb == "watch" and faults.watch_unavailable:
            raise _unavailable()
        rule = faults.matching_rule("patch" if attributes.verb == "update" else attributes.verb, attributes.resource)
        if rule is not None and not rule.after:
            raise rule.error(_refused(attributes))
        return RequestEffects(faults, partial(self._after_write, event, replica, rule))

    def _after_write(self, event: AuditEvent, replica: ProcessReplica | None, rule: ApiRule | None) -> None:
        attributes = event.attributes
        if replica is not None and attributes.verb in _WRITES:
            replica.on_write("after")
        if rule is not None:
            raise rule.error(_refused(attributes))

    def observe(self, event: AuditEvent) -> None:
        """Record a request that has been answered."""
        if event.implied or not _is_controller(event):
            return
        attributes, recorder = event.attributes, self._recorder
        verb: Any = _WRITES.get(attributes.verb)
        recorder.count(f"api.{verb or attributes.verb}")
        if event.code == 409:
            recorder.count("api.conflicts")
        if event.code == 429:
            recorder.count("api.throttled")
        if verb is None:
            return
        key = f"{attributes.namespace}/{event.name}" if attributes.namespace else event.name
        recorder.emit(
            ApiLine(
                t=recorder.now(),
                object=key,
                by=self._client_name(event),
                verb=verb,
                resource=attributes.resource,
                subresource=attributes.subresource,
                code=event.code,
            )
        )

    def _client_name(self, event: AuditEvent) -> str:
        if event.user.name in self._replicas:
            return event.user.name
        if not self._leader:
            self._set_leader(NAME)
        return self._leader

    def _lease_changed(self, change: Change) -> None:
        spec = change.object.get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        if change.type == "DELETED" or not holder:
            return
        now = self._recorder.now()
        if holder in self._replicas:
            for name, replica in self._replicas.items():
                replica.set_leading(name == holder)
        elif holder != self._leader:
            if self._leader:
                self._recorder.emit(ControllerLine(t=now, by=self._leader, event="lost"))
            self._set_leader(holder)
        until = round(now + float(spec.get("leaseDurationSeconds") or 0), 6)
        self._recorder.emit(LeaseLine(t=now, by=holder, until=until))

    def _set_leader(self, name: str) -> None:
        self._leader = name
        now = self._recorder.now()
        self._recorder.emit(ControllerLine(t=now, by=name, event="started"))
        self._recorder.emit(ControllerLine(t=now, by=name, event="leading"))


def _is_controller(event: AuditEvent) -> bool:
    """Return True for a request of the operator; permission checks before its start are not counted."""
    return not event.user_agent.startswith(_PEOPLE) and event.attributes.group != "authorization.k8s.io"


def _refused(attributes: Attributes) -> RefusedRequest:
    return RefusedRequest(
        attributes.verb,
        attributes.resource,
        attributes.group,
        attributes.namespace,
        attributes.name,
        attributes.subresource,
    )


def _unavailable() -> ApiError:
    return ApiError(503, "ServiceUnavailable", "the server is currently unable to handle the request")
