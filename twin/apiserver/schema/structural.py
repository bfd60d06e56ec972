"""Structural OpenAPI v3 schemas, compiled to closures that prune, default and validate in one pass.

A closure gets a value and the old value. A value that is the same object as the old one is not checked again, so the
cost of a patch depends on what it changes (and what was valid once stays valid, as on real servers since 1.30:
"ratcheting"). Values are never mutated; an unchanged value is returned as it is.

Source of messages: `k8s.io/kube-openapi/pkg/validation` and `apiextensions-apiserver/pkg/apiserver/validation`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twin.apiserver.meta import errors as field_errors
from twin.apiserver.meta.errors import FieldError, Object, invalid, required, wrong_type
from twin.apiserver.schema.cel import Rule
from twin.apiserver.schema.value_validations import Path, compile_validations, json_type

_ABSENT: Any = object()


Check = Callable[[Any, Any, Path, list[FieldError]], Any]
"""`check(value, old, path, errors)` returns the value, pruned and with defaults, and appends to `errors`."""


def compile_schema(schema: Mapping[str, Any]) -> Check:
    """Return the closure of a schema.

    Raises:
        ValueError: if the schema uses unsupported keywords; the message says which and where.
    """
    return _compile(schema, "openAPIV3Schema")


_ANNOTATIONS = {"description", "title", "example", "externalDocs", "$schema", "id"}
_KNOWN = _ANNOTATIONS | {
    *("type", "properties", "additionalProperties", "items", "required", "enum", "pattern", "format", "default"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
    *("minItems", "maxItems", "minProperties", "maxProperties", "nullable"),
    *("allOf", "anyOf", "oneOf", "not"),
    *("x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string", "x-kubernetes-embedded-resource"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-validations"),
}


def _compile(schema: Mapping[str, Any], where: str) -> Check:
    unknown = sorted(set(schema) - _KNOWN)
    if unknown:
        raise ValueError(f"{where}: unsupported schema keyword {unknown[0]!r}")
    check_type = _type_check(schema, where)
    tests = tuple(compile_validations(schema, where))
    rules = tuple(Rule.compile(rule, where) for rule in schema.get("x-kubernetes-validations", ()))
    if not tests and not rules:
        return check_type

    def check(value: Any, old: Any, path: Path, errors: list[FieldError]) -> Any:
        if value is old:
            return value
        before = len(errors)
        value = check_type(value, old, path, errors)
        if len(errors) > before or value is None:
            return value
        for test in tests:
            test(value, path, errors)
        if rules and len(errors) == before:
            for rule in rules:
                message = rule.violation(value, None if old is _ABSENT else old)
                if message is not None:
                    errors.append(_rule_error(path, rule, value, message))
        return value

    return check


def _rule_error(path: Path, rule: Rule, value: Any, message: str) -> FieldError:
    field = Path(path, rule.field_path).text
    if rule.reason == "FieldValueForbidden":
        return field_errors.forbidden_field(field, message)
    if rule.reason == "FieldValueRequired":
        return required(field, message)
    for name in filter(None, rule.field_path.split(".")):  # report the invalid value; a real server says "object"
        value = value.get(name) if isinstance(value, dict) else None
    reported = json_type(value) if isinstance(value, (dict, list, type(None))) else value
    return invalid(field, reported, message)


_SCALARS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def _type_check(schema: Mapping[str, Any], where: str) -> Check:
    nullable = bool(schema.get("nullable"))
    if schema.get("x-kubernetes-int-or-string"):
        return _scalar("integer or string", (int, str), nullable)
    match schema.get("type"):
        case "object":
            return _object(schema, where, nullable)
        case "array":
            return _array(schema, where, nullable)
        case str(name) if name in _SCALARS:
            return _scalar(name, _SCALARS[name], nullable)
        case None if schema.get("x-kubernetes-preserve-unknown-fields"):
            return lambda value, _old, _path, _errors: value
        case None:
            raise ValueError(f"{where}.type: Required value: must not be empty for specified object fields")
        case other:
            raise ValueError(f'{where}.type: Unsupported value: "{other}"')


def _scalar(name: str, types: tuple[type, ...], nullable: bool) -> Check:
    def check(value: Any, _old: Any, path: Path, errors: list[FieldError]) -> Any:
        if type(value) in types or (value is None and nullable):
            return value
        if type(value) is float and int in types and value.is_integer():
            return int(value)
        errors.append(wrong_type(path.text, json_type(value), name))
        return value

    return check


def _object(schema: Mapping[str, Any], where: str, nullable: bool) -> Check:
    fields = _Fields.compile(schema, where)
    required_fields = tuple(schema.get("required", ()))

    def check(value: Any, old: Any, path: Path, errors: list[FieldError]) -> Any:
        if value is old:
            return value
        if type(value) is not dict:
            if not (value is None and nullable):
                errors.append(wrong_type(path.text, json_type(value), "object"))
            return value
        value = fields.prune(value, old if type(old) is dict else {}, path, errors)
        value = fields.fill_defaults(value, path, errors)
        for name in required_fields:
            if name not in value:
                errors.append(required(Path(path, f".{name}").text))
        return value

    return check


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of an object.

    Attributes:
        named: check, path step, whether null is replaced by a default, and the types of values that need no check,
            for each field in the schema.
        defaults: default values.
        others: check of fields that are not in the schema, if they are allowed.
        accepted: types of values of such fields that need no check.
        keeps_others: fields that are not in the schema are kept unchecked.
    """

    named: Mapping[str, tuple[Check, str, bool, tuple[type, ...]]]
    defaults: Mapping[str, Any]
    others: Check | None
    accepted: tuple[type, ...]
    keeps_others: bool

    @classmethod
    def compile(cls, schema: Mapping[str, Any], where: str) -> "_Fields":
        properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
        if properties and extra:
            raise ValueError(f"{where}: properties and additionalProperties are mutually exclusive")
        named = {
            name: (
                _compile(child, f"{where}.properties[{name}]"),
                f".{name}",
                "default" in child and not child.get("nullable"),
                _accepted_types(child),
            )
            for name, child in properties.items()
        }
        defaults = {name: child["default"] for name, child in properties.items() if "default" in child}
        others = _compile(extra, f"{where}.additionalProperties") if isinstance(extra, Mapping) else None
        keeps = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or extra is True
        accepted = _accepted_types(extra) if isinstance(extra, Mapping) else ()
        return cls(named, defaults, others, accepted, keeps)

    def prune(self, value: Object, before: Object, path: Path, errors: list[FieldError]) -> Object:
        """Return `value` with checked fields and without those that the schema does not allow."""
        changed: Object | None = None
        for name, item in value.items():
            old_item = before.get(name, _ABSENT)
            field = self.named.get(name)
            if field is not None:
                if item is old_item:
                    continue
                check, step, null_is_absent, accepted = field
                if type(item) in accepted:
                    continue
                after = _ABSENT if item is None and null_is_absent else check(item, old_item, Path(path, step), errors)
            elif self.others is not None:
                if type(item) in self.accepted:
                    continue
                after = self.others(item, old_item, Path(path, f".{name}"), errors)
            else:
                after = item if self.keeps_others else _ABSENT
            if after is not item:
                changed = dict(value) if changed is None else changed
                if after is _ABSENT:
                    del changed[name]
                else:
                    changed[name] = after
        return value if changed is None else changed

    def fill_defaults(self, value: Object, path: Path, errors: list[FieldError]) -> Object:
        """Return `value` with the defaults of missing fields."""
        absent = [name for name in self.defaults if name not in value]
        if not absent:
            return value
        filled = dict(value)
        for name in absent:
            check, step, _, _ = self.named[name]
            filled[name] = check(self.defaults[name], _ABSENT, Path(path, step), errors)
        return filled


def _accepted_types(schema: Mapping[str, Any]) -> tuple[type, ...]:
    """Return the types whose values a schema accepts without any further check."""
    if set(schema) - _ANNOTATIONS - {"type", "nullable", "default"}:
        return ()
    return _SCALARS.get(schema.get("type", ""), ())


def _array(schema: Mapping[str, Any], where: str, nullable: bool) -> Check:
    if "items" not in schema:
        raise ValueError(f"{where}.items: Required value: must be specified")
    check_item = _compile(schema["items"], f"{where}.items")
    keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
    unique = schema.get("x-kubernetes-list-type") == "set"

    def check(value: Any, old: Any, path: Path, errors: list[FieldError]) -> Any:
        if value is old:
            return value
        if type(value) is not list:
            if not (value is None and nullable):
                errors.append(wrong_type(path.text, json_type(value), "array"))
            return value
        before = old if type(old) is list else []
        checked = []
        for index, item in enumerate(value):
            old_item = before[index] if index < len(before) else _ABSENT
            if item is not old_item:
                item = check_item(item, old_item, Path(path, f"[{index}]"), errors)
            checked.append(item)
        if keys or unique:
            _check_unique(checked, keys, path, errors)
        return value if all(map(_is, checked, value)) else checked

    return check


def _is(left: object, right: object) -> bool:
    return left is right


def _check_unique(items: list[Any], keys: tuple[str, ...], path: Path, errors: list[FieldError]) -> None:
    if _are_distinct(items, keys):
        return
    identities: list[Any] = []
    for index, item in enumerate(items):
        identity = {key: item.get(key) for key in keys} if keys and isinstance(item, dict) else item
        if identity in identities:
            errors.append(field_errors.duplicate(Path(path, f"[{index}]").text, identity))
        identities.append(identity)


def _are_distinct(items: Sequence[Any], keys: tuple[str, ...]) -> bool:
    """Return True if all items differ; False if two are equal, or if only comparing each pair can tell."""
    try:
        identities = {tuple([item.get(key) for key in keys]) for item in items} if keys else set(items)
    except (AttributeError, TypeError):  # an item of a wrong type, or one that has no hash
        return False
    return len(identities) == len(items)
