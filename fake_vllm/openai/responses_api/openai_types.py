"""Types of the `openai` package in a request for a response: input items, tools, formats.

`openai_types.json` has them as data (tests/conformance/make_response_types.py makes it and describes its form), because
they are hundreds, and their names and order are part of the server's errors. They are read on first use.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from pydantic_core import SchemaSerializer, SchemaValidator, core_schema
from pydantic_core.core_schema import CoreSchema

_SIMPLE: Mapping[str, Callable[[], CoreSchema]] = {
    "str": core_schema.str_schema,
    "int": core_schema.int_schema,
    "float": core_schema.float_schema,
    "bool": core_schema.bool_schema,
    "any": core_schema.any_schema,
}


class Item:
    """An instance of one of the file's models; its fields are attributes, its subclass is named as the model."""

    __slots__ = ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")
    model_config = ConfigDict(extra="allow")  # for the OpenAPI document


class ResponseType:
    """Annotation of a pydantic field whose type is in the file.

    Fields of such types belong to models with `defer_build`, so that the file is not read when the server starts.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return _schema_of(self._name)


@lru_cache
def validator(name: str) -> SchemaValidator:
    """Return the validator of a model of the file, such as `response_output_message.ResponseOutputMessage`."""
    return SchemaValidator(_Builder(_content()).schema(name))


def written(name: str, value: Any) -> Any:
    """Return a value of the named type as JSON has it: with all fields, nulls included."""
    return None if value is None else _serializer(name).to_python(value, mode="json", by_alias=True)


@lru_cache
def _serializer(name: str) -> SchemaSerializer:
    return SchemaSerializer(_schema_of(name))


@lru_cache
def _content() -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads(Path(__file__).with_name("openai_types.json").read_bytes())
    return content


def _schema_of(name: str) -> CoreSchema:
    """Return the schema of a type; none contains itself, so there are no references between schemas."""
    return _Builder(_content()).schema(_content()[f"={name}"])


class _Builder:
    """Makes schemas of the types in the file."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content

    def schema(self, form: Any) -> CoreSchema:
        """Return the schema of a type in the file's form."""
        if isinstance(form, str):
            return _SIMPLE[form]() if form in _SIMPLE else self._class(form)
        kind, *rest = form
        if kind == "literal":
            return core_schema.literal_schema(rest)
        if kind == "default":
            return core_schema.with_default_schema(self.schema(rest[0]), default=rest[1])
        schema: CoreSchema = _COMPOUND[kind]([self.schema(part) for part in rest])
        return schema

    def _class(self, name: str) -> CoreSchema:
        entry = self._content[name]
        make = self._model if entry["kind"] == "model" else self._typed_dict
        return make(name, entry["fields"])

    def _typed_dict(self, name: str, fields: Mapping[str, Any]) -> CoreSchema:
        made = {
            key.removesuffix("?"): core_schema.typed_dict_field(self.schema(form), required=not key.endswith("?"))
            for key, form in fields.items()
        }
        return core_schema.typed_dict_schema(made, cls_name=_class_name(name))

    def _model(self, name: str, fields: Mapping[str, Any]) -> CoreSchema:
        made = {}
        for key, form in fields.items():
            field, _, alias = key.partition("=")
            made[field] = core_schema.model_field(
                self.schema(form), validation_alias=alias or None, serialization_alias=alias or None
            )
        content = core_schema.model_fields_schema(made, model_name=_class_name(name), extra_behavior="allow")
        config = core_schema.CoreConfig(extra_fields_behavior="allow")
        return core_schema.model_schema(item_class(name), content, config=config)


@cache
def item_class(name: str) -> type[Item]:
    """Return the class of one of the file's models, such as `response_output_message.ResponseOutputMessage`."""
    return type(_class_name(name), (Item,), {"__slots__": ()})


def _class_name(name: str) -> str:
    return name.rpartition(".")[2]


def _sequence_schema(parts: Sequence[CoreSchema]) -> CoreSchema:
    """Return pydantic's schema of a `Sequence`, for which JSON has lists alone."""
    checked = core_schema.is_instance_schema(Sequence, cls_repr="Sequence")
    return core_schema.chain_schema([checked, core_schema.list_schema(parts[0])])


_COMPOUND: Mapping[str, Any] = {
    "list": lambda parts: core_schema.list_schema(parts[0]),
    "generator": lambda parts: core_schema.generator_schema(parts[0]),
    "sequence": _sequence_schema,
    "union": core_schema.union_schema,
    "nullable": lambda parts: core_schema.nullable_schema(parts[0]),
    "dict": lambda parts: core_schema.dict_schema(*parts),
}
