"""Keywords of JSON schemas that a real server refuses, in the words of its library llguidance.

With the default backend, `auto`, vLLM asks xgrammar first. A schema that xgrammar does not support is given to
llguidance: see `has_xgrammar_unsupported_json_features` in vllm/v1/structured_output/backend_xgrammar.py.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fake_vllm.openai.structured.errors import ConstraintError

_OF_ARRAYS = ("uniqueItems", "contains", "minContains", "maxContains")
_OF_OBJECTS = ("propertyNames", "dependentRequired", "dependentSchemas", "dependencies", "unevaluatedProperties")
_OTHERS = ("if", "then", "else", "not", "unevaluatedItems", "$dynamicRef", "$recursiveRef")
_UNIMPLEMENTED = (*_OF_ARRAYS, *_OF_OBJECTS, *_OTHERS)
"""Keywords that llguidance refuses; it ignores unknown ones."""


def check_keywords(schema: Any) -> None:
    """Check a schema and those inside it.

    Raises:
        ConstraintError: if one has a keyword that no backend supports, or a value of the wrong type.
    """
    parts = list(_schemas(schema))
    for part in parts:
        _check_types(part)
    if not any(_needs_llguidance(part) for part in parts):
        return
    for part in parts:
        if names := [name for name in _UNIMPLEMENTED if name in part]:
            raise ConstraintError(f"Unimplemented keys: {json.dumps(names)}")


def _check_types(schema: Mapping[str, Any]) -> None:
    required, types = schema.get("required", []), schema.get("type", [])
    if not isinstance(required, list):
        raise ConstraintError(f"Expected array for 'required', got {json.dumps(required)}")
    if not isinstance(schema.get("properties", {}), Mapping):
        raise ConstraintError("properties must be an object")
    if not all(isinstance(name, str) for name in (types if isinstance(types, list) else [types])):
        raise ConstraintError("type must be a string or array of strings")


def _needs_llguidance(schema: Mapping[str, Any]) -> bool:
    types = schema.get("type")
    types = types if isinstance(types, list) else [types]
    numbers = ("integer" in types or "number" in types) and "multipleOf" in schema
    return numbers or ("array" in types and any(name in schema for name in _OF_ARRAYS))


def _schemas(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and those inside it."""
    pending = [schema]
    while pending:
        part = pending.pop()
        if not isinstance(part, Mapping):
            continue
        yield part
        pending += [part.get(name) for name in ("items", "additionalProperties", "not")]
        for name in ("properties", "patternProperties", "$defs", "definitions"):
            pending += _values(part.get(name))
        for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
            pending += _items(part.get(name))


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, Mapping) else []


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
