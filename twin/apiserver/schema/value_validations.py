"""What an OpenAPI schema says of a value beyond its type: `enum`, `pattern`, limits, `anyOf` and its kin.

Each word becomes a small test that adds to a list of errors. Wording: `k8s.io/kube-openapi/pkg/validation`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from twin.apiserver.meta.errors import FieldError, invalid, required, too_long, too_many, unsupported, wrong_type


class Path(NamedTuple):
    """Where a value is; written out only if something is wrong there."""

    parent: "Path | None"
    step: str

    def __str__(self) -> str:
        return (str(self.parent) if self.parent is not None else "") + self.step

    @property
    def text(self) -> str:
        """As Kubernetes writes it: without the leading dot; the whole object is `<nil>`."""
        return str(self).removeprefix(".") or "<nil>"


ROOT = Path(None, "")

Test = Callable[[Any, Path, list[FieldError]], None]

DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_INTEGER_RANGES = {"int32": 2**31, "int64": 2**63}


def json_type(value: Any) -> str:
    """The JSON type's name, as error messages have it."""
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), type(value).__name__)


def tests_of(schema: Mapping[str, Any], where: str) -> list[Test]:
    """The value validations of a schema: those that look at one value, whatever its type."""
    found: list[Test] = []
    if "enum" in schema:
        found.append(_enum(schema["enum"]))
    if "pattern" in schema:
        found.append(_pattern(schema["pattern"], where))
    if "format" in schema:
        found += _format(schema["format"])
    found += _number_limits(schema)
    found += _size_limits(schema)
    for word in ("allOf", "anyOf", "oneOf"):
        if word in schema:
            found.append(_combination(word, [_loose(child, where) for child in schema[word]]))
    if "not" in schema:
        found.append(_negation(_loose(schema["not"], where)))
    return found


def _enum(allowed: list[Any]) -> Test:
    def test(value: Any, path: Path, errors: list[FieldError]) -> None:
        if value not in allowed:
            errors.append(unsupported(path.text, value, allowed))

    return test


def _pattern(pattern: str, where: str) -> Test:
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{where}.pattern: Invalid value: {pattern!r}: {error}") from error

    def test(value: Any, path: Path, errors: list[FieldError]) -> None:
        if isinstance(value, str) and not found.search(value):
            errors.append(invalid(path.text, value, f"{path.text} in body should match '{pattern}'"))

    return test


def _format(name: str) -> list[Test]:
    limit = _INTEGER_RANGES.get(name)

    def in_range(value: Any, path: Path, errors: list[FieldError]) -> None:
        if limit is not None and type(value) is int and not -limit <= value < limit:
            errors.append(invalid(path.text, value, f"{path.text} in body must be of type {name}"))

    def date_time(value: Any, path: Path, errors: list[FieldError]) -> None:
        if isinstance(value, str) and not DATE_TIME.fullmatch(value):
            errors.append(invalid(path.text, value, f'{path.text} in body must be of type date-time: "{value}"'))

    if limit is not None:
        return [in_range]
    return [date_time] if name == "date-time" else []


def _limit(breaks: Callable[[Any], bool], error: Callable[[str, Any], FieldError], types: tuple[type, ...]) -> Test:
    def test(value: Any, path: Path, errors: list[FieldError]) -> None:
        if type(value) in types and breaks(value):
            errors.append(error(path.text, value))

    return test


def _number_limits(schema: Mapping[str, Any]) -> list[Test]:
    numbers = (int, float)
    found: list[Test] = []
    if (low := schema.get("minimum")) is not None:
        if schema.get("exclusiveMinimum"):
            text = f"in body should be greater than {low}"
            found.append(_limit(lambda v: v <= low, lambda f, v: invalid(f, v, f"{f} {text}"), numbers))
        else:
            said = f"in body should be greater than or equal to {low}"
            found.append(_limit(lambda v: v < low, lambda f, v: invalid(f, v, f"{f} {said}"), numbers))
    if (high := schema.get("maximum")) is not None:
        if schema.get("exclusiveMaximum"):
            below = f"in body should be less than {high}"
            found.append(_limit(lambda v: v >= high, lambda f, v: invalid(f, v, f"{f} {below}"), numbers))
        else:
            most = f"in body should be less than or equal to {high}"
            found.append(_limit(lambda v: v > high, lambda f, v: invalid(f, v, f"{f} {most}"), numbers))
    if (step := schema.get("multipleOf")) is not None:
        of = f"in body should be a multiple of {step}"
        found.append(_limit(lambda v: v % step != 0, lambda f, v: invalid(f, v, f"{f} {of}"), numbers))
    return found


def _size_limits(schema: Mapping[str, Any]) -> list[Test]:
    found: list[Test] = []
    if (low := schema.get("minLength")) is not None:
        found.append(_at_least(low, str, "be at least {} chars long"))
    if (high := schema.get("maxLength")) is not None:
        found.append(_limit(lambda v: len(v) > high, lambda f, _: too_long(f, high), (str,)))
    for kind, noun, low_word, high_word in (
        (list, "items", "minItems", "maxItems"),
        (dict, "properties", "minProperties", "maxProperties"),
    ):
        if (fewest := schema.get(low_word)) is not None:
            found.append(_at_least(fewest, kind, f"have at least {{}} {noun}"))
        if (most := schema.get(high_word)) is not None:
            found.append(_at_most(most, kind))
    return found


def _at_least(low: int, kind: type, text: str) -> Test:
    said = "in body should " + text.format(low)

    def error(field: str, value: Any) -> FieldError:
        return invalid(field, value if kind is str else len(value), f"{field} {said}")

    return _limit(lambda v: len(v) < low, error, (kind,))


def _at_most(high: int, kind: type) -> Test:
    return _limit(lambda v: len(v) > high, lambda f, v: too_many(f, len(v), high), (kind,))


def _loose(schema: Mapping[str, Any], where: str) -> Test:
    """A schema below `anyOf` and its kin: no pruning, no defaults, any type that is not named."""
    tests = tests_of(schema, where)
    needed = tuple(schema.get("required", ()))
    below = {name: _loose(child, where) for name, child in schema.get("properties", {}).items()}
    wanted = schema.get("type")

    def test(value: Any, path: Path, errors: list[FieldError]) -> None:
        if wanted is not None and json_type(value) != wanted:
            errors.append(wrong_type(path.text, json_type(value), wanted))
            return
        for each in tests:
            each(value, path, errors)
        if not isinstance(value, dict):
            return
        errors.extend(required(Path(path, f".{name}").text) for name in needed if name not in value)
        for name, each in below.items():
            if name in value:
                each(value[name], Path(path, f".{name}"), errors)

    return test


def _combination(word: str, tests: list[Test]) -> Test:
    def test(value: Any, path: Path, errors: list[FieldError]) -> None:
        results: list[list[FieldError]] = []
        for each in tests:
            found: list[FieldError] = []
            each(value, path, found)
            results.append(found)
        fitting = sum(not found for found in results)
        if word == "allOf":
            errors.extend(error for found in results for error in found)
        elif fitting == 0:
            said = "in body must validate at least one schema (anyOf)"
            if word == "oneOf":
                said = "in body must validate one and only one schema (oneOf). Found none valid"
            errors.append(invalid(path.text, _shown(value), f"{path.text} {said}"))
            errors.extend(sorted(results, key=len)[0])
        elif word == "oneOf" and fitting > 1:
            said = f"in body must validate one and only one schema (oneOf). Found {fitting} valid alternatives"
            errors.append(invalid(path.text, _shown(value), f"{path.text} {said}"))

    return test


def _negation(negated: Test) -> Test:
    def test(value: Any, path: Path, errors: list[FieldError]) -> None:
        found: list[FieldError] = []
        negated(value, path, found)
        if not found:
            errors.append(invalid(path.text, _shown(value), f"{path.text} in body must not validate the schema (not)"))

    return test


def _shown(value: Any) -> Any:
    return json_type(value) if isinstance(value, (dict, list)) else value
