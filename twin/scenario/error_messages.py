"""Conversion of pydantic's validation errors into `Problem`s with positions and allowed values."""

import re
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from twin.scenario.errors import Path, Problem, choices
from twin.scenario.renamed import present_field, rename_hint
from twin.scenario.yaml.positions import Document


def explain(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """Return one problem for each validation error."""
    return [_problem(detail, document, model) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails, document: Document, model: type[BaseModel]) -> Problem:
    kind, loc = detail["type"], detail["loc"]
    context: Mapping[str, Any] = detail.get("ctx") or {}
    path = _path(loc, document.value, kind)
    if kind == "scenario":
        place = (*path, *context["at"])
        return document.problem(place, context["message"], context["allowed"], key=context["key"])
    if kind == "extra_forbidden":
        return _unknown(path, document, _annotation_at(model, loc[:-1]))
    if kind == "missing":
        return document.problem(path[:-1], f'"{path[-1]}" is missing', "it is required")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_tag(path, kind, context, document)
    formatter = _MESSAGES.get(kind)
    message, allowed = formatter(detail.get("input"), context) if formatter else (detail["msg"], "")
    return document.problem(path, message, allowed)


def _path(loc: tuple[str | int, ...], value: Any, kind: str) -> Path:
    """Return the path in the file: `loc` without the tags of unions."""
    path: list[str | int] = []
    for index, step in enumerate(loc):
        keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        if step in keys:
            value = value[step]
        elif not (kind == "missing" and index == len(loc) - 1):
            continue
        path.append(step)
    return tuple(path)


def _unknown(path: Path, document: Document, annotation: Any) -> Problem:
    name = str(path[-1])
    message = f'unknown field "{name}"'
    fields = (
        [field.alias or key for key, field in annotation.model_fields.items()]
        if isinstance(annotation, type) and issubclass(annotation, BaseModel)
        else []
    )
    present = present_field(path)
    allowed = rename_hint(present) if present is not None and present in fields else choices(name, fields)
    return document.problem(path, message, allowed, key=True)


def _wrong_tag(path: Path, kind: str, context: Mapping[str, Any], document: Document) -> Problem:
    expected = re.findall(r"'([^']*)'", str(context.get("expected_tags", "")))
    key = str(context.get("discriminator", "kind")).strip("'")
    if kind == "union_tag_not_found":
        return document.problem(path, f'"{key}" is missing', "it is required; see `twin faults`")
    tag = context["tag"]
    return document.problem((*path, key), f'unknown fault "{tag}"', choices(tag, expected))


def _annotation_at(annotation: Any, loc: tuple[str | int, ...]) -> Any:
    """Return the type of the model at `loc`."""
    for step in loc:
        annotation = _step(_bare(annotation), step)
    return _bare(annotation)


def _bare(annotation: Any) -> Any:
    """Return a type without `Annotated` and without an optional `None`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not NoneType]
        if len(members) == 1:
            return _bare(members[0])
    return annotation


def _step(annotation: Any, step: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        return next((field.annotation for key, field in fields if step in (key, field.alias)), None)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return next((member for member in arguments if _tag(member) == step), None)
    if origin is tuple or origin is list:
        return arguments[0]
    return arguments[1] if origin is dict else None


def _tag(member: Any) -> Any:
    for note in get_args(member)[1:]:
        if isinstance(note, Tag):
            return note.tag
    bare = _bare(member)
    kind = getattr(bare, "model_fields", {}).get("kind")
    return get_args(kind.annotation)[0] if kind is not None and get_origin(kind.annotation) is Literal else None


def _rendered(value: object) -> str:
    match value:
        case str():
            return f'"{value}"'
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict() | list():
            return "a mapping" if isinstance(value, dict) else "a list"
    return str(value)


_Formatter = Callable[[Any, Mapping[str, Any]], tuple[str, str]]


def _type(allowed: str) -> _Formatter:
    return lambda value, _: (f"is {_rendered(value)}", f"allowed: {allowed}")


def _bound(sign: str, key: str) -> _Formatter:
    return lambda value, context: (f"is {_rendered(value)}", f"allowed: {sign} {context[key]:g}")


def _text(value: Any, _: Mapping[str, Any]) -> tuple[str, str]:
    hint = " (in quotes)" if isinstance(value, int | float) else ""
    return f"is {_rendered(value)}", f"allowed: a string{hint}"


def _literal(value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    expected = re.findall(r"'([^']*)'", str(context["expected"]))
    return f"is {_rendered(value)}", choices(value, expected)


_MESSAGES: dict[str, _Formatter] = {
    **dict.fromkeys(("int_type", "int_from_float", "int_parsing"), _type("a whole number")),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), _type("a number")),
    "bool_type": _type("true or false"),
    "string_type": _text,
    "string_too_short": _type("a non-empty string"),
    "string_pattern_mismatch": lambda v, c: (f"is {_rendered(v)}", f"allowed: a string that matches {c['pattern']}"),
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), _type("a mapping")),
    **dict.fromkeys(("tuple_type", "list_type"), _type("a list")),
    "too_short": lambda _, c: ("is empty", f"allowed: at least {c['min_length']}"),
    "literal_error": _literal,
    "greater_than_equal": _bound("at least", "ge"),
    "greater_than": _bound("more than", "gt"),
    "less_than_equal": _bound("at most", "le"),
    "less_than": _bound("less than", "lt"),
}
