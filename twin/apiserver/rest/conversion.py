"""Kinds as clients see them, where that differs from how they are stored: the two forms of Event.

An Event is one object under two names, `v1` and `events.k8s.io/v1`, with other field names in each. It is stored as the
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


def _identity(obj: Object) -> Object:
    return obj


@dataclass(frozen=True, slots=True)
class ApiVersionView:
    """One kind as one path shows it."""

    kind: ResourceType
    resource: str
    """The name it is to_storage by."""
    to_client: Convert = _identity
    to_storage: Convert = _identity
    fields: Mapping[str, str] = field(default_factory=dict)
    """Names of fields here, and there."""

    @property
    def plain(self) -> bool:
        """Whether it is to_client as it is to_storage."""
        return self.to_client is _identity

    def selector(self, text: str) -> str:
        """A field selector in the names that are to_storage.

        Raises:
            ApiError: 400, it names a field that cannot be selected by.
        """
        check_fields(self.kind, text)
        return ",".join(self._term(term) for term in text.split(","))

    def change(self, change: Change) -> Change:
        """A change as it is to_client."""
        return change if self.plain else replace(change, object=self.to_client(change.object))

    def _term(self, term: str) -> str:
        for here, there in self.fields.items():
            if term.startswith((f"{here}.", f"{here}=", f"{here}!")):
                return there + term[len(here) :]
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
_BACK = {there: here for here, there in _NAMES.items()}
_EVENT = ResourceType("events", "Event", short_names=("ev",), merge_type=merge_types.EVENT)
_STORED_EVENT = "events.events.k8s.io"


def _event_shown(obj: Object) -> Object:
    found = {_BACK.get(name, name): value for name, value in obj.items()}
    series = found.get("series") or {}
    if series and not found.get("count"):
        found["count"] = series.get("count", 1)
        found.setdefault("lastTimestamp", _whole_seconds(series.get("lastObservedTime")))
    return {**found, "apiVersion": "v1"}


def _whole_seconds(moment: str | None) -> str | None:
    """A MicroTime as a Time."""
    return None if moment is None else moment.partition(".")[0].removesuffix("Z") + "Z"


def _event_stored(obj: Object) -> Object:
    return {**{_NAMES.get(name, name): value for name, value in obj.items()}, "apiVersion": "events.k8s.io/v1"}


_SELECTED = {**_NAMES, "source": "deprecatedSource.component"}
_CORE_EVENT = ApiVersionView(_EVENT, _STORED_EVENT, _event_shown, _event_stored, _SELECTED)


class Conversions:
    """All kinds as clients see them."""

    def __init__(self, kinds: Registry) -> None:
        self._kinds = kinds

    def kinds(self) -> list[ResourceType]:
        """All that is served, a kind with two faces twice."""
        return [*self._kinds, _EVENT]

    def of(self, info: RequestInfo) -> ApiVersionView:
        """The api_view that a path shows.

        Raises:
            ApiError: 404, there is no such kind, or not in this version.
        """
        if info.plural == "events" and not info.group:
            found = _CORE_EVENT
        else:
            kind = self._kinds[info.resource]
            found = ApiVersionView(kind, kind.resource)
        if found.kind.version != info.version or (info.namespace and not found.kind.namespaced):
            raise no_such_resource(f"{info.resource}/{info.version}")
        return found
