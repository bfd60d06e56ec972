"""Conversion between the API version of a request and the stored version: the two versions of Event.

An Event is one object in two API versions, `v1` and `events.k8s.io/v1`, whose field names differ. It is stored in the
newer one; `kubectl describe` and `kubectl get events` read the older one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from twin.apiserver.meta.errors import Object, no_such_resource
from twin.apiserver.rest.field_selectors import check_fields
from twin.apiserver.rest.request_info import RequestInfo
from twin.apiserver.schema import merge_types
from twin.apiserver.schema.resource_types import Registry, ResourceType
from twin.apiserver.storage.watch import Change

Convert = Callable[[Object], Object]


def _unchanged(obj: Object) -> Object:
    return obj


@dataclass(frozen=True, slots=True)
class ApiVersionView:
    """A kind in the API version of a request.

    Attributes:
        kind: the kind in this version.
        resource: resource name in the store.
        to_client: converts a stored object to this version.
        to_storage: converts an object of this version to the stored one.
        fields: field names of this version, and the stored names.
    """

    kind: ResourceType
    resource: str
    to_client: Convert = _unchanged
    to_storage: Convert = _unchanged
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_stored_form(self) -> bool:
        """Return whether this version is the stored one."""
        return self.to_client is _unchanged

    def selector(self, text: str) -> str:
        """Return a field selector with stored field names.

        Raises:
            ApiError: 400 if a field is not selectable.
        """
        check_fields(self.kind, text)
        return ",".join(self._term(term) for term in text.split(","))

    def change(self, change: Change) -> Change:
        """Return a change with its object in this version."""
        return change if self.is_stored_form else replace(change, object=self.to_client(change.object))

    def _term(self, term: str) -> str:
        for name, stored_name in self.fields.items():
            if term.startswith((f"{name}.", f"{name}=", f"{name}!")):
                return stored_name + term[len(name) :]
        return term


_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
"""Fields of an Event in core/v1, and in events.k8s.io/v1."""
_CORE_NAMES = {new: core for core, new in _NAMES.items()}
_EVENT = ResourceType("events", "Event", short_names=("ev",), merge_type=merge_types.EVENT)
_STORED_EVENT = "events.events.k8s.io"


def _event_to_client(obj: Object) -> Object:
    event = {_CORE_NAMES.get(name, name): value for name, value in obj.items()}
    series = event.get("series") or {}
    if series and not event.get("count"):
        event["count"] = series.get("count", 1)
        event.setdefault("lastTimestamp", _whole_seconds(series.get("lastObservedTime")))
    return {**event, "apiVersion": "v1"}


def _whole_seconds(timestamp: str | None) -> str | None:
    """Return a MicroTime as a Time."""
    return None if timestamp is None else timestamp.partition(".")[0].removesuffix("Z") + "Z"


def _event_to_storage(obj: Object) -> Object:
    return {**{_NAMES.get(name, name): value for name, value in obj.items()}, "apiVersion": "events.k8s.io/v1"}


_SELECTABLE = {**_NAMES, "source": "deprecatedSource.component"}
_CORE_EVENT = ApiVersionView(_EVENT, _STORED_EVENT, _event_to_client, _event_to_storage, _SELECTABLE)


class Conversions:
    """The API versions of all kinds."""

    def __init__(self, kinds: Registry) -> None:
        self._kinds = kinds

    def kinds(self) -> list[ResourceType]:
        """Return all served kinds; a kind with two versions is listed twice."""
        return [*self._kinds, _EVENT]

    def of(self, info: RequestInfo) -> ApiVersionView:
        """Return the version that a request names.

        Raises:
            ApiError: 404 if there is no such kind in this version.
        """
        if info.plural == "events" and not info.group:
            view = _CORE_EVENT
        else:
            kind = self._kinds[info.resource]
            view = ApiVersionView(kind, kind.resource)
        if view.kind.version != info.version or (info.namespace and not view.kind.namespaced):
            raise no_such_resource(f"{info.resource}/{info.version}")
        return view
