"""JSON that fits a schema."""

import json
import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from fake_vllm.openai.structured import regex
from fake_vllm.openai.structured.errors import ConstraintError
from fake_vllm.openai.structured.keywords import check_keywords

_WORDS = ("and", "for", "are", "but", "not", "you", "all", "can", "one", "our", "day", "new", "now", "old", "way")
_DEEP = 4  # levels of nesting from which on optional parts are left out
_DEEPEST = 40  # levels of nesting; a schema that refers to itself without an end is refused
_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_FORMATS: Mapping[str, str] = {
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "date-time": "2026-01-02T03:04:05Z",
    "duration": "P1D",
    "email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "8f14e45f-ceea-467a-9575-6e1f0d0f0d0f",
    "uri": "https://example.com/",
    "uri-reference": "/path",
    "json-pointer": "/a",
}


def generate(schema: Any, random: Random) -> str:
    """Return JSON that fits `schema`.

    Raises:
        ConstraintError: if the schema cannot be used.
    """
    check_keywords(schema)
    return json.dumps(_Generator(schema, random).value(schema, 0), ensure_ascii=False)


class _Generator:
    """Makes one value; `root` is the schema that references are resolved in."""

    def __init__(self, root: Any, random: Random) -> None:
        self._root = root
        self._random = random

    def value(self, schema: Any, depth: int) -> Any:
        """Return a value that fits `schema`."""
        if depth > _DEEPEST:
            raise ConstraintError("The JSON schema has no finite value")
        if schema is False:
            raise ConstraintError("Unsatisfiable schema: false schema")
        if schema is True or schema == {}:
            return self._random.choice(_WORDS)
        if not isinstance(schema, Mapping):
            raise ConstraintError(f"schema must be an object or a boolean, got {schema!r}")
        if "$ref" in schema:
            return self.value(self._resolve(schema["$ref"]), depth + 1)
        for key in ("const", "enum"):
            if key in schema:
                return schema["const"] if key == "const" else self._random.choice(list(schema["enum"]))
        if "allOf" in schema:
            return self.value(self._merged(schema), depth + 1)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._branch(schema, key, depth)
        return self._typed(schema, depth)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        match self._type(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number" as kind:
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return self._random.random() < 0.5
            case _:
                return None

    def _type(self, schema: Mapping[str, Any]) -> str:
        kinds = schema.get("type")
        if kinds is None:
            kinds = _implied_type(schema)
        kinds = kinds if isinstance(kinds, list) else [kinds]
        for kind in kinds:
            if kind not in _TYPES:
                raise ConstraintError(f"Invalid type: {kind}")
        kind = next((kind for kind in kinds if kind != "null"), "null")
        return str(kind)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = list(schema.get("required") or ())
        names = [name for name in properties if name in required or depth < _DEEP]
        result = {name: self.value(properties[name], depth + 1) for name in names}
        extra = schema.get("additionalProperties", {})
        for name in required:
            if name not in result:
                result[name] = self.value(extra, depth + 1)
        least = schema.get("minProperties", 0 if "properties" in schema or depth else 1)
        for word in _WORDS[: max(0, least - len(result))] if extra is not False else ():
            result.setdefault(word, self.value(extra, depth + 1))
        return result

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        fixed = schema.get("prefixItems") or []
        least = schema.get("minItems", 0)
        most = schema.get("maxItems", max(least, 0 if depth >= _DEEP else 2))
        result = [self.value(item, depth + 1) for item in fixed[:most]]
        count = self._random.randint(min(max(least, 1), most), most) if depth < _DEEP else least
        unique = schema.get("uniqueItems", False)
        for _ in range(20 * count):
            if len(result) >= count:
                break
            item = self.value(schema.get("items", True), depth + 1)
            if not unique or item not in result:
                result.append(item)
        return result

    def _string(self, schema: Mapping[str, Any]) -> str:
        if "pattern" in schema:
            return self._pattern(schema["pattern"])
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        text = self._random.choice(_WORDS)
        while len(text) < least:
            text += " " + self._random.choice(_WORDS)
        return text if most is None else text[:most]

    def _pattern(self, pattern: str) -> str:
        try:
            return regex.generate(pattern, self._random)
        except ConstraintError as error:
            raise ConstraintError(error.explanation) from None

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> float:
        step = schema.get("multipleOf", 1 if whole else 0.5)
        low, high = _bounds(schema, step)
        first = math.ceil(low / step - 1e-9)
        last = max(first, math.floor(high / step + 1e-9))
        value = self._random.randint(first, last) * step
        return int(value) if whole else value

    def _branch(self, schema: Mapping[str, Any], key: str, depth: int) -> Any:
        rest = {name: item for name, item in schema.items() if name != key}
        branches = [_combined(rest, branch) for branch in schema[key]]
        scalars = [branch for branch in branches if _is_scalar(branch)]
        chosen = self._random.choice(scalars if depth >= _DEEP and scalars else branches)
        return self.value(chosen, depth + 1)

    def _merged(self, schema: Mapping[str, Any]) -> Any:
        result: Any = {name: item for name, item in schema.items() if name != "allOf"}
        for part in schema["allOf"]:
            while isinstance(part, Mapping) and "$ref" in part:
                part = self._resolve(part["$ref"])
            result = _combined(result, part)
        return result

    def _resolve(self, reference: Any) -> Any:
        """Return the schema that a reference inside the document stands for."""
        place = self._root
        for step in str(reference).removeprefix("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            place = place[int(name)] if isinstance(place, Sequence) else place.get(name)
            if place is None:
                raise ConstraintError(f"Pointer '{str(reference).removeprefix('#')}' does not exist")
        return place


def _implied_type(schema: Mapping[str, Any]) -> str:
    """Return the type that a schema's keywords are about."""
    keywords = (
        ("object", ("properties", "required", "additionalProperties", "minProperties")),
        ("array", ("items", "prefixItems", "minItems", "maxItems")),
        ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    )
    return next((kind for kind, names in keywords if any(name in schema for name in names)), "string")


def _bounds(schema: Mapping[str, Any], step: float) -> tuple[float, float]:
    """Return the smallest and the largest number of a schema."""
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + step)
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - step)
    if low == -math.inf:
        low = 0 if high >= 0 else high - 100
    return low, min(high, low + 100)


def _is_scalar(schema: Any) -> bool:
    return isinstance(schema, Mapping) and ("const" in schema or schema.get("type") not in ("object", "array", None))


def _combined(one: Any, other: Any) -> Any:
    """Return a schema that fits both, as far as their keywords do not contradict each other."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return other
    result = {**one, **other}
    for key in ("properties", "$defs"):
        if key in one and key in other:
            result[key] = {**one[key], **other[key]}
    if "required" in one and "required" in other:
        result["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return result
