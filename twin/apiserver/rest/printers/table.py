"""Objects as a Table, whose columns the server provides, or as PartialObjectMetadata."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from twin.apiserver.meta.errors import Object, quote
from twin.apiserver.rest.printers.age import age
from twin.apiserver.rest.printers.columns import COLUMNS, DEFAULT_COLUMNS, Column
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
    with_header: bool = True,
) -> Object:
    """Return objects in another form.

    Args:
        form: `Table`, `PartialObjectMetadata` or `PartialObjectMetadataList`.
        kind: kind of the objects.
        items: the objects; exactly one for `PartialObjectMetadata`.
        meta: metadata of the list.
        now: current time, for ages.
        included: content of each row of a Table: `Metadata` (the default), `Object` or `None`.
        with_header: include column definitions in a Table; in a watch only the first one has them.
    """
    if form == "PartialObjectMetadata":
        return _partial_metadata(items[0])
    if form == "PartialObjectMetadataList":
        return {
            "kind": form,
            "apiVersion": "meta.k8s.io/v1",
            "metadata": meta,
            "items": [_partial_metadata(o) for o in items],
        }
    columns = columns_of(kind)
    rows = [{"cells": [column.cell(obj, now) for column in columns], **_row_object(obj, included)} for obj in items]
    definitions = [column.definition for column in columns] if with_header else []
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": definitions,
        "rows": rows,
    }


def columns_of(kind: ResourceType) -> Sequence[Column]:
    """Return the columns of a kind: Kubernetes' own, those of its definition, or name and age."""
    if kind.custom:
        return [DEFAULT_COLUMNS[0], *map(_custom_column, kind.columns)] if kind.columns else DEFAULT_COLUMNS
    return COLUMNS.get(kind.resource) or DEFAULT_COLUMNS


def _custom_column(column: Object) -> Column:
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


def _partial_metadata(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _row_object(obj: Object, included: str) -> Object:
    if included == "None":
        return {}
    return {"object": obj if included == "Object" else _partial_metadata(obj)}
