"""Objects as `kubectl get` shows them: a Table whose columns the server knows, or metadata alone."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from twin.apiserver.meta.errors import Object, quote
from twin.apiserver.rest.printers.age import age
from twin.apiserver.rest.printers.columns import COLUMNS, Column, by_default
from twin.apiserver.rest.printers.jsonpath import find
from twin.apiserver.schema.resource_types import ResourceType

Now = Callable[[], datetime]


def render(
    form: str,
    kind: ResourceType,
    items: Sequence[Object],
    meta: Object,
    now: datetime,
    included: str = "",
    *,
    headed: bool = True,
) -> Object:
    """The objects in another form than their own.

    Args:
        form: `Table`, `PartialObjectMetadata` or `PartialObjectMetadataList`.
        kind: what they are.
        items: the objects; exactly one for `PartialObjectMetadata`.
        meta: the list's metadata.
        now: for ages.
        included: of a Table, what goes with each row: `Metadata` (the default), `Object` or `None`.
        headed: whether a Table brings its columns; in a watch only the first does.
    """
    if form == "PartialObjectMetadata":
        return _partial(items[0])
    if form == "PartialObjectMetadataList":
        return {"kind": form, "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": [_partial(o) for o in items]}
    columns = columns_of(kind)
    rows = [{"cells": [column.cell(obj, now) for column in columns], **_included(obj, included)} for obj in items]
    definitions = [column.definition for column in columns] if headed else []
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": definitions,
        "rows": rows,
    }


def columns_of(kind: ResourceType) -> Sequence[Column]:
    """The columns of a kind: as Kubernetes prints it, as its definition says, else name and age."""
    if kind.custom:
        return [by_default()[0], *map(_custom, kind.columns)] if kind.columns else by_default()
    return COLUMNS.get(kind.resource) or by_default()


def _custom(column: Object) -> Column:
    path, type_ = column["jsonPath"], column["type"]

    def cell(obj: Object, now: datetime) -> Any:
        value = find(obj, path)
        if value is None:
            return None if type_ != "date" else "<unknown>"
        if type_ == "date":
            return age(str(value), now)
        return (
            value
            if type_ in ("integer", "number", "boolean") and not isinstance(value, (dict, list, str))
            else _text(value)
        )

    description = column.get("description") or f"Custom resource definition column (in JSONPath format): {path}"
    return Column(column["name"], type_, cell, column.get("priority", 0), description, column.get("format", ""))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return quote(value)
    return str(value)


def _partial(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _included(obj: Object, included: str) -> Object:
    if included == "None":
        return {}
    return {"object": obj if included == "Object" else _partial(obj)}
