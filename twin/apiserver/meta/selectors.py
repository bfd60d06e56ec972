"""Label and field selectors: from their text (or a LabelSelector object) to a predicate.

The grammar is that of `k8s.io/apimachinery/pkg/labels`: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`,
`!a`, `a>1`, `a<1`, joined by commas. Parsed selectors are remembered, since the same few are used over and over.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from twin.apiserver.meta.errors import Object, bad_request

Labels = Mapping[str, str]
LabelPredicate = Callable[[Labels], bool]
Predicate = Callable[[Object], bool]

_REQUIREMENT = re.compile(
    r"""\s*(?:
        !\s*(?P<absent>[\w./-]+)
      | (?P<key>[\w./-]+)\s*(?:
            (?P<set>in|notin)\s*\((?P<values>[^()]*)\)
          | (?P<operator>==|=|!=)\s*(?P<value>[\w.-]*)
          | (?P<order>[<>])\s*(?P<number>-?\d+)
        )?
    )\s*(?:,|$)""",
    re.VERBOSE,
)


def _in(key: str, values: frozenset[str]) -> LabelPredicate:
    return lambda labels: labels.get(key) in values


def _not_in(key: str, values: frozenset[str]) -> LabelPredicate:
    return lambda labels: labels.get(key) not in values


def _exists(key: str) -> LabelPredicate:
    return lambda labels: key in labels


def _absent(key: str) -> LabelPredicate:
    return lambda labels: key not in labels


def _beyond(key: str, order: str, number: int) -> LabelPredicate:
    """Whether the label is a whole number above (or below) `number`."""

    def holds(labels: Labels) -> bool:
        text = labels.get(key, "")
        if not re.fullmatch(r"[+-]?\d+", text, re.ASCII):
            return False
        return int(text) > number if order == ">" else int(text) < number

    return holds


def _all(requirements: list[LabelPredicate]) -> LabelPredicate:
    if len(requirements) == 1:
        return requirements[0]
    found = tuple(requirements)
    return lambda labels: all(requirement(labels) for requirement in found)


@lru_cache(maxsize=1024)
def labels(text: str) -> LabelPredicate:
    """The predicate on an object's labels that a label selector stands for; the empty one matches all.

    Raises:
        ApiError: 400, the text is no selector.
    """
    requirements: list[LabelPredicate] = []
    at = 0
    while at < len(text):
        match = _REQUIREMENT.match(text, at)
        if match is None or match.end() == at:
            raise bad_request(f"unable to parse requirement: found {text[at:]!r} in label selector {text!r}")
        requirements.append(_requirement(match))
        at = match.end()
    return _all(requirements)


def _requirement(match: re.Match[str]) -> LabelPredicate:
    if absent := match["absent"]:
        return _absent(absent)
    key = match["key"]
    if match["set"]:
        values = frozenset(value.strip() for value in match["values"].split(","))
        return _in(key, values) if match["set"] == "in" else _not_in(key, values)
    if match["order"]:
        return _beyond(key, match["order"], int(match["number"]))
    if match["operator"] is None:
        return _exists(key)
    value = frozenset([match["value"]])
    return _not_in(key, value) if match["operator"] == "!=" else _in(key, value)


def label_selector(selector: Mapping[str, Any]) -> LabelPredicate:
    """The predicate of a `metav1.LabelSelector` (`matchLabels`, `matchExpressions`); the empty one matches all."""
    requirements = [_in(key, frozenset([value])) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], frozenset(expression.get("values") or ())
        match expression["operator"]:
            case "In":
                requirements.append(_in(key, values))
            case "NotIn":
                requirements.append(_not_in(key, values))
            case "Exists":
                requirements.append(_exists(key))
            case "DoesNotExist":
                requirements.append(_absent(key))
            case other:
                raise bad_request(f'"{other}" is not a valid label selector operator')
    return _all(requirements)


@lru_cache(maxsize=1024)
def fields(text: str) -> Predicate:
    """The predicate on an object that a field selector stands for: `metadata.name=x,spec.nodeName!=`.

    A real server knows some fields of each kind; here any path of names can be asked for, an absent one is "".
    """
    terms: list[tuple[tuple[str, ...], str, bool]] = []
    for term in filter(None, text.split(",")):
        match = re.fullmatch(r"([\w.-]+?)(==|!=|=)(.*)", term)
        if match is None:
            raise bad_request(f"invalid selector: {text!r}; can't understand {term!r}")
        path, operator, value = match.groups()
        terms.append((tuple(path.split(".")), value, operator != "!="))
    found = tuple(terms)
    return lambda obj: all((_field(obj, path) == value) is wanted for path, value, wanted in found)


def _field(obj: Any, path: tuple[str, ...]) -> str:
    for name in path:
        if not isinstance(obj, dict) or name not in obj:
            return ""
        obj = obj[name]
    if isinstance(obj, bool):
        return "true" if obj else "false"
    return str(obj)


def predicate(namespace: str, label_text: str, field_text: str) -> Predicate | None:
    """What an object must satisfy to be listed or watched; None if every object does."""
    tests: list[Predicate] = []
    if namespace:
        tests.append(lambda obj: obj["metadata"].get("namespace") == namespace)
    if label_text:
        wanted = labels(label_text)
        tests.append(lambda obj: wanted(obj["metadata"].get("labels") or {}))
    if field_text:
        tests.append(fields(field_text))
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda obj: all(test(obj) for test in tests)
