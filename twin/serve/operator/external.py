"""An operator outside, as the record and faults see it: its requests to the API server, and when it leads.

Whoever does not say that it is a tool of people, such as kubectl, counts as the controller. It leads while it holds a
Lease; one that asks for none leads from its first write on, as `outside`. Replicas that are processes of this world's
own (`apart.py`) are known by the name that their token stands for.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from fake_vllm.distributions import Latency
from twin.apiserver import ApiError, Change, Store
from twin.apiserver.rest import AuditEvent
from twin.apiserver.rest.middleware import RequestEffects
from twin.kernel.loop import wait_for_event
from twin.serve.operator.process_replica import ProcessReplica
from twin.trace.lines import ApiLine, ControllerLine, LeaseLine
from twin.trace.recorder import Recorder
from twin.world.api_faults import ApiFaults, ApiRule

NAME = "outside"
_WRITES = {"create": "create", "update": "patch", "patch": "patch", "delete": "delete"}
_LEASES = "leases.coordination.k8s.io"
_PEOPLE = ("kubectl", "curl", "python-httpx", "Mozilla")
"""Clients that people use; what they ask is no controller's doing."""


class ExternalOperator:
    """Watches over what comes in through the served API."""

    def __init__(
        self, store: Store, recorder: Recorder, faults: ApiFaults, latency: Latency, rng: np.random.Generator
    ) -> None:
        """`latency` is of a request to the API server, in seconds."""
        self._store = store
        self._recorder = recorder
        self._faults = faults
        self._latency = latency
        self._rng = rng
        self._replicas: Mapping[str, ProcessReplica] = {}
        self._leading = ""

    def watch_leases(self, replicas: Mapping[str, ProcessReplica]) -> None:
        """Records who holds which lease; an operator inside does so itself."""
        self._replicas = replicas
        self._store.subscribe(self._lease_changed, _LEASES)

    async def interfere(self, used: AuditEvent) -> RequestEffects:
        """What this request meets of the API server's latency and faults.

        Raises:
            ApiError: what it is answered instead.
        """
        if not _is_controller(used):
            return RequestEffects()
        asked, faults = used.attributes, self._faults
        replica = self._replicas.get(used.user.name)
        if replica is not None and asked.verb in _WRITES:
            replica.writes += 1
            if not replica.wrote("before"):
                raise _unavailable()  # nobody is left to hear it
        await asyncio.sleep(self._latency.draw(self._rng) * faults.factor)
        if asked.resource == "leases" and (over := faults.lease_dropped(used.user.name)) is not None:
            await wait_for_event(over)
            raise _unavailable()
        if asked.verb == "watch" and faults.watch_unavailable:
            raise _unavailable()
        rule = faults.verdict("patch" if asked.verb == "update" else asked.verb, asked.resource)
        if rule is not None and not rule.after:
            raise rule.error(asked.resource, asked.group, asked.name)
        return RequestEffects(faults, partial(self._carried_out, used, replica, rule))

    def _carried_out(self, used: AuditEvent, replica: ProcessReplica | None, rule: ApiRule | None) -> None:
        asked = used.attributes
        if replica is not None and asked.verb in _WRITES:
            replica.wrote("after")
        if rule is not None:
            raise rule.error(asked.resource, asked.group, asked.name)

    def saw(self, used: AuditEvent) -> None:
        """A request has been answered."""
        if used.implied or not _is_controller(used):
            return
        asked, recorder = used.attributes, self._recorder
        verb: Any = _WRITES.get(asked.verb)
        recorder.count(f"api.{verb or asked.verb}")
        if used.code == 409:
            recorder.count("api.conflicts")
        if used.code == 429:
            recorder.count("api.throttled")
        if verb is None:
            return
        key = f"{asked.namespace}/{used.name}" if asked.namespace else used.name
        recorder.emit(
            ApiLine(
                t=recorder.now(),
                object=key,
                by=self._name(used),
                verb=verb,
                resource=asked.resource,
                subresource=asked.subresource,
                code=used.code,
            )
        )

    def _name(self, used: AuditEvent) -> str:
        if used.user.name in self._replicas:
            return used.user.name
        if not self._leading:
            self._lead(NAME)
        return self._leading

    def _lease_changed(self, change: Change) -> None:
        spec = change.object.get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        if change.type == "DELETED" or not holder:
            return
        now = self._recorder.now()
        if holder in self._replicas:
            for name, replica in self._replicas.items():
                replica.led(name == holder)
        elif holder != self._leading:
            if self._leading:
                self._recorder.emit(ControllerLine(t=now, by=self._leading, event="lost"))
            self._lead(holder)
        until = round(now + float(spec.get("leaseDurationSeconds") or 0), 6)
        self._recorder.emit(LeaseLine(t=now, by=holder, until=until))

    def _lead(self, name: str) -> None:
        self._leading = name
        now = self._recorder.now()
        self._recorder.emit(ControllerLine(t=now, by=name, event="started"))
        self._recorder.emit(ControllerLine(t=now, by=name, event="leading"))


def _is_controller(used: AuditEvent) -> bool:
    """Whether it is the operator's work; what it may do it asks before it begins."""
    return not used.user_agent.startswith(_PEOPLE) and used.attributes.group != "authorization.k8s.io"


def _unavailable() -> ApiError:
    return ApiError(503, "ServiceUnavailable", "the server is currently unable to handle the request")
