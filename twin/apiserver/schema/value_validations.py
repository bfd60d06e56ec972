"""Value validations of an OpenAPI schema: `enum`, `pattern`, limits, `anyOf` and so on.

Each keyword becomes a function that appends to a list of errors. Source of messages:
`k8s.io/kube-openapi/pkg/validation`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from twin.apiserver.meta.errors import FieldError, invalid, required, too_long, too_many, unsupported, wrong_type


class Path(NamedTuple):
    """Path of a value; converted to text only for an error."""

    parent: "Path | None"
    step: str

    def __str__(self) -> str:
        return (str(self.parent) if self.parent is not None else "") + self.step

    @property
    def text(self) -> str:
        """Path as in Kubernetes: without the leading dot; the whole object is `<nil>`."""
        return str(self).removeprefix(".") or "<nil>"


ROOT = Path(None, "")

Test = Callable[[Any, Path, list[FieldError]], None]

DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_INTEGER_RANGES = {"int32": 2**31, "int64": 2**63}


def json_type(value: Any) -> str:
    """Return the name of the JSON type, as in error messages."""
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), type(value).__name__)


def compile_validations(schema: Mapping[str, Any], where: str) -> list[Test]:
    """Return the value validations of a schema, which do not depend on the type."""
    tests: list[Test] = []
    if "enum" in schema:
        tests.append(_enum(schema["enum"]))
    if "pattern" in schema:
        tests.append(_pattern(schema["pattern"], where))
    if "format" in schema:
        tests += _format(schema["format"])
    tests += _number_limits(schema)
    tests += _size_limits(schema)
    for keyword in ("allOf", "anyOf", "oneOf"):
        if keyword in schema:
            tests.append(_combination(keyword, [_compile_subschema(child, where) for child in schema[keyword]]))
    if "not" in schema:
        tests.append(_negation(_compile_subschema(schema["not"], where)))
    return tests


def _enum(allowed: list[Any]) -> Test:
    def test(value: Any, path: Path, errors: list[FieldError]) -> None:
        if value not in allowed:
            errors.append(unsupported(path.text, value, allowed))

    return test


def _pattern(pattern: str, where: str) -> Test:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{where}.pattern: Invalid value: {pattern!r}: {error}") from error

    def test(value: Any, path: Path, errors: list[FieldError]) -> None:
        if isinstance(value, str) and not compiled.search(value):
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
    tests: list[Test] = []
    if (low := schema.get("minimum")) is not None:
        if schema.get("exclusiveMinimum"):
            above = f"in body should be greater than {low}"
            tests.append(_limit(lambda v: v <= low, lambda f, v: invalid(f, v, f"{f} {above}"), numbers))
        else:
            at_least = f"in body should be greater than or equal to {low}"
            tests.append(_limit(lambda v: v < low, lambda f, v: invalid(f, v, f"{f} {at_least}"), numbers))
    if (high := schema.get("maximum")) is not None:
        if schema.get("exclusiveMaximum"):
            below = f"in body should be less than {high}"
            tests.append(_limit(lambda v: v >= high, lambda f, v: invalid(f, v, f"{f} {below}"), numbers))
        else:
            at_most = f"in body should be less than or equal to {high}"
            tests.append(_limit(lambda v: v > high, lambda f, v: invalid(f, v, f"{f} {at_most}"), numbers))
    if (step := schema.get("multipleOf")) is not None:
        multiple = f"in body should be a multiple of {step}"
        tests.append(_limit(lambda v: v % step != 0, lambda f, v: invalid(f, v, f"{f} {multiple}"), numbers))
    return tests


def _size_limits(schema: Mapping[str, Any]) -> list[Test]:
    tests: list[Test] = []
    if (low := schema.get("minLength")) is not None:
        tests.append(_at_least(low, str, "be at least {} chars long"))
    if (high := schema.get("maxLength")) is not None:
        tests.append(_limit(lambda v: len(v) > high, lambda f, _: too_long(f, high), (str,)))
    for type_, noun, min_keyword, max_keyword in (
        (list, "items", "minItems", "maxItems"),
        (dict, "properties", "minProperties", "maxProperties"),
    ):
        if (minimum := schema.get(min_keyword)) is not None:
            tests.append(_at_least(minimum, type_, f"have at least {{}} {noun}"))
        if (maximum := schema.get(max_keyword)) is not None:
            tests.append(_at_most(maximum, type_))
    return tests


def _at_least(low: int, type_: type, text: str) -> Test:
    detail = "in body should " + text.format(low)

    def error(field: str, value: Any) -> FieldError:
        return invalid(field, value if type_ is str else len(value), f"{field} {detail}")

    return _limit(lambda v: len(v) < low, error, (type_,))


def _at_most(high: int, type_: type) -> Test:
    return _limit(lambda v: len(v) > high, lambda f, v: too_many(f, len(v), high), (type_,))


def _compile_subschema(schema: Mapping[str, Any], where: str) -> Test:
    """Compile a schema below `anyOf` and similar keywords: no pruning, no defaults, any type unless one is named."""
    tests = compile_validations(schema, where)
    required_fields = tuple(schema.get("required", ()))
    properties = {name: _compile_subschema(child, where) for name, child in schema.get("properties", {}).items()}
    type_ = schema.get("type")

    def test(value: Any, path: Path, errors: list[FieldError]) -> None:
        if type_ is not None and json_type(value) != type_:
            errors.append(wrong_type(path.text, json_type(value), type_))
            return
        for nested in tests:
            nested(value, path, errors)
        if not isinstance(value, dict):
            return
        errors.extend(required(Path(path, f".{name}").text) for name in required_fields if name not in value)
        for name, nested in properties.items():
            if name in value:
                nested(value[name], Path(path, f".{name}"), errors)

    return test


def _combination(keyword: str, tests: list[Test]) -> Test:
    def test(value: Any, path: Path, errors: list[FieldError]) -> None:
        results: list[list[FieldError]] = []
        for validation in tests:
            failures: list[FieldError] = []
            validation(value, path, failures)
            results.append(failures)
        matching = sum(not failures for failures in results)
        if keyword == "allOf":
            errors.extend(error for failures in results for error in failures)
        elif matching == 0:
            detail = "in body must validate at least one schema (anyOf)"
            if keyword == "oneOf":
                detail = "in body must validate one and only one schema (oneOf). Found none valid"
            errors.append(invalid(path.text, _reported(value), f"{path.text} {detail}"))
            errors.extend(sorted(results, key=len)[0])
        elif keyword == "oneOf" and matching > 1:
            detail = f"in body must validate one and only one schema (oneOf). Found {matching} valid alternatives"
            errors.append(invalid(path.text, _reported(value), f"{path.text} {detail}"))

    return test


def _negation(negated: Test) -> Test:
    def test(value: Any, path: Path, errors: list[FieldError]) -> None:
        failures: list[FieldError] = []
        negated(value, path, failures)
        if not failures:
            errors.append(
                invalid(path.text, _reported(value), f"{path.text} in body must not validate the schema (not)")
            )

    return test


def _reported(value: Any) -> Any:
    return json_type(value) if isinstance(value, (dict, list)) else value
