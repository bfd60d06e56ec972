"""Predicates on objects for lists and watches: label selectors, field selectors, and both with a namespace.

The same few selectors are used over and over, so that parsed ones are cached.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from formats.errors import FormatError
from formats.label_selectors import Expression, LabelPredicate, compile_selector, parse_selector
from twin.apiserver.meta.errors import Object, bad_request

Predicate = Callable[[Object], bool]


def labels(text: str) -> LabelPredicate:
    """Return the predicate of a label selector's string form; the empty one matches all labels.

    Raises:
        ApiError: 400 if the text is not a selector.
    """
    try:
        return parse_selector(text)
    except FormatError as error:
        raise bad_request(error.message) from error


def label_selector(selector: Mapping[str, Any]) -> LabelPredicate:
    """Return the predicate of a `metav1.LabelSelector`; the empty one matches all labels.

    Raises:
        ApiError: 400 if an operator is unknown.
    """
    expressions = [
        Expression(expression.get("key") or "", expression.get("operator") or "", expression.get("values") or ())
        for expression in selector.get("matchExpressions") or ()
    ]
    try:
        return compile_selector(selector.get("matchLabels") or {}, expressions)
    except FormatError as error:
        raise bad_request(error.message) from error


@lru_cache(maxsize=1024)
def fields(text: str) -> Predicate:
    """Return the predicate of a field selector: `metadata.name=x,spec.nodeName!=`.

    A real server supports some fields of each kind; here any path of names is supported, an absent one is "".

    Raises:
        ApiError: 400 if the text is not a selector.
    """
    terms: list[tuple[tuple[str, ...], str, bool]] = []
    for term in filter(None, text.split(",")):
        match = re.fullmatch(r"([\w.-]+?)(==|!=|=)(.*)", term)
        if match is None:
            raise bad_request(f"invalid selector: {text!r}; can't understand {term!r}")
        path, operator, value = match.groups()
        terms.append((tuple(path.split(".")), value, operator != "!="))
    fixed = tuple(terms)
    return lambda obj: all((_field(obj, path) == value) is equal for path, value, equal in fixed)


def _field(obj: Any, path: tuple[str, ...]) -> str:
    for name in path:
        if not isinstance(obj, dict) or name not in obj:
            return ""
        obj = obj[name]
    if isinstance(obj, bool):
        return "true" if obj else "false"
    return str(obj)


def predicate(namespace: str, label_text: str, field_text: str) -> Predicate | None:
    """Return the condition for an object to be listed or watched; None if every object is."""
    conditions: list[Predicate] = []
    if namespace:
        conditions.append(lambda obj: obj["metadata"].get("namespace") == namespace)
    if label_text:
        selects = labels(label_text)
        conditions.append(lambda obj: selects(obj["metadata"].get("labels") or {}))
    if field_text:
        conditions.append(fields(field_text))
    if not conditions:
        return None
    if len(conditions) == 1:
        return conditions[0]
    return lambda obj: all(condition(obj) for condition in conditions)
