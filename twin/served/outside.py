"""An operator outside, as the record sees it: its requests to the API server, and when it leads.

Whoever does not say that it is a tool of people, such as kubectl, counts as the controller. It leads while it holds a
Lease; one that asks for none leads from its first write on, as `outside`.
"""

from typing import Any

from twin.apiserver import ApiError, Change, Store
from twin.apiserver.rest import Used
from twin.record import ApiLine, ControllerLine, LeaseLine
from twin.recorder import Recorder
from twin.world.apifaults import ApiFaults

NAME = "outside"
_WRITES = {"create": "create", "update": "patch", "patch": "patch", "delete": "delete"}
_LEASES = "leases.coordination.k8s.io"
_PEOPLE = ("kubectl", "curl", "python-httpx", "Mozilla")
"""Clients that people use; what they ask is no controller's doing."""


class Outside:
    """Watches over what comes in through the served API."""

    def __init__(self, store: Store, recorder: Recorder, faults: ApiFaults) -> None:
        self._store = store
        self._recorder = recorder
        self._faults = faults
        self._leading = ""

    def watch_leases(self) -> None:
        """Records who holds which lease; an operator inside does so itself."""
        self._store.subscribe(self._lease_changed, _LEASES)

    async def interfere(self, used: Used) -> None:
        """A fault of the API server that this request meets.

        Raises:
            ApiError: what it is answered instead.
        """
        if not _is_controller(used):
            return
        asked = used.asked
        rule = self._faults.verdict("patch" if asked.verb == "update" else asked.verb, asked.resource)
        if rule is not None:
            raise rule.error(asked.resource, asked.group, asked.name)
        if asked.verb == "watch" and self._faults.deaf:
            raise ApiError(503, "ServiceUnavailable", "the server is currently unable to handle the request")

    def saw(self, used: Used) -> None:
        """A request has been answered."""
        if not _is_controller(used):
            return
        asked, recorder = used.asked, self._recorder
        verb: Any = _WRITES.get(asked.verb)
        recorder.count(f"api.{verb or asked.verb}")
        if used.code == 409:
            recorder.count("api.conflicts")
        if used.code == 429:
            recorder.count("api.throttled")
        if verb is None:
            return
        if not self._leading:
            self._lead(NAME)
        key = f"{asked.namespace}/{asked.name}" if asked.namespace else asked.name
        recorder.emit(
            ApiLine(
                t=recorder.now(),
                object=key,
                by=self._leading,
                verb=verb,
                resource=asked.resource,
                subresource=asked.subresource,
                code=used.code,
            )
        )

    def _lease_changed(self, change: Change) -> None:
        spec = change.object.get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        if change.type == "DELETED" or not holder:
            return
        now = self._recorder.now()
        if holder != self._leading:
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


def _is_controller(used: Used) -> bool:
    return not used.agent.startswith(_PEOPLE)
