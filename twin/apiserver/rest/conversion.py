"""Kinds as clients see them, where that differs from how they are stored: the two faces of Event.

An Event is one object under two names, `v1` and `events.k8s.io/v1`, with other field names in each. It is stored as the
newer one; `kubectl describe` and `kubectl get events` read the older one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from twin.apiserver.errors import Object, no_such_resource
from twin.apiserver.rest.field_selectors import check_fields
from twin.apiserver.rest.request_info import Target
from twin.apiserver.schema import merge_types as shapes
from twin.apiserver.schema.resource_types import Registry, ResourceType
from twin.apiserver.storage.watch import Change

Convert = Callable[[Object], Object]


def _as_it_is(obj: Object) -> Object:
    return obj


@dataclass(frozen=True, slots=True)
class Face:
    """One kind as one path shows it."""

    kind: ResourceType
    resource: str
    """The name it is stored by."""
    shown: Convert = _as_it_is
    stored: Convert = _as_it_is
    fields: Mapping[str, str] = field(default_factory=dict)
    """Names of fields here, and there."""

    @property
    def plain(self) -> bool:
        """Whether it is shown as it is stored."""
        return self.shown is _as_it_is

    def selector(self, text: str) -> str:
        """A field selector in the names that are stored.

        Raises:
            ApiError: 400, it names a field that cannot be selected by.
        """
        check_fields(self.kind, text)
        return ",".join(self._term(term) for term in text.split(","))

    def change(self, change: Change) -> Change:
        """A change as it is shown."""
        return change if self.plain else replace(change, object=self.shown(change.object))

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
_EVENT = ResourceType("events", "Event", short_names=("ev",), shape=shapes.EVENT)
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
_CORE_EVENT = Face(_EVENT, _STORED_EVENT, _event_shown, _event_stored, _SELECTED)


class Faces:
    """All kinds as clients see them."""

    def __init__(self, kinds: Registry) -> None:
        self._kinds = kinds

    def kinds(self) -> list[ResourceType]:
        """All that is served, a kind with two faces twice."""
        return [*self._kinds, _EVENT]

    def of(self, target: Target) -> Face:
        """The face that a path shows.

        Raises:
            ApiError: 404, there is no such kind, or not in this version.
        """
        if target.plural == "events" and not target.group:
            found = _CORE_EVENT
        else:
            kind = self._kinds[target.resource]
            found = Face(kind, kind.resource)
        if found.kind.version != target.version or (target.namespace and not found.kind.namespaced):
            raise no_such_resource(f"{target.resource}/{target.version}")
        return found
