"""Label selectors: the string form and `metav1.LabelSelector`, as predicates on labels.

The grammar is that of `k8s.io/apimachinery/pkg/labels`: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`,
`!a`, `a>1`, `a<1`, joined by commas.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from formats.errors import FormatError, quoted

Labels = Mapping[str, str]
LabelPredicate = Callable[[Labels], bool]

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
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)


class Requirement(Protocol):
    """A `metav1.LabelSelectorRequirement`: one entry of `matchExpressions`."""

    @property
    def key(self) -> str: ...
    @property
    def operator(self) -> str:
        """`In`, `NotIn`, `Exists` or `DoesNotExist`."""
        ...

    @property
    def values(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Expression:
    """A requirement as a plain value."""

    key: str
    operator: str
    values: Sequence[str] = ()


def compile_selector(match_labels: Labels, match_expressions: Iterable[Requirement] = ()) -> LabelPredicate:
    """Return the predicate of a `metav1.LabelSelector`; the empty selector matches everything.

    Raises:
        FormatError: if an operator is unknown.
    """
    predicates = [_in(key, frozenset([value])) for key, value in match_labels.items()]
    predicates += [_expression(requirement) for requirement in match_expressions]
    return _all(predicates)


def selector_text(match_labels: Labels, match_expressions: Iterable[Requirement] = ()) -> str:
    """Return the string form of a `metav1.LabelSelector`, in order of keys.

    Raises:
        FormatError: if an operator is unknown.
    """
    texts = [(key, f"{key}={value}") for key, value in match_labels.items()]
    texts += [(requirement.key, _expression_text(requirement)) for requirement in match_expressions]
    return ",".join(text for _, text in sorted(texts))


@lru_cache(maxsize=1024)
def parse_selector(text: str) -> LabelPredicate:
    """Return the predicate of a selector's string form; the empty text matches everything.

    Raises:
        FormatError: if `text` is not a selector.
    """
    predicates: list[LabelPredicate] = []
    position = 0
    while position < len(text):
        match = _REQUIREMENT.match(text, position)
        if match is None or match.end() == position:
            message = f"unable to parse requirement: found {text[position:]!r} in label selector {text!r}"
            raise FormatError(message)
        predicates.append(_requirement(match))
        position = match.end()
    return _all(predicates)


def _requirement(match: re.Match[str]) -> LabelPredicate:
    if absent := match["absent"]:
        return _absent(absent)
    key = match["key"]
    if match["set"]:
        values = frozenset(value.strip() for value in match["values"].split(","))
        return _in(key, values) if match["set"] == "in" else _not_in(key, values)
    if match["order"]:
        return _compared(key, match["order"], int(match["number"]))
    if match["operator"] is None:
        return _exists(key)
    value = frozenset([match["value"]])
    return _not_in(key, value) if match["operator"] == "!=" else _in(key, value)


def _expression(requirement: Requirement) -> LabelPredicate:
    match requirement.operator:
        case "In":
            return _in(requirement.key, frozenset(requirement.values))
        case "NotIn":
            return _not_in(requirement.key, frozenset(requirement.values))
        case "Exists":
            return _exists(requirement.key)
        case "DoesNotExist":
            return _absent(requirement.key)
    raise FormatError(f"{quoted(requirement.operator)} is not a valid label selector operator")


def _expression_text(requirement: Requirement) -> str:
    key, values = requirement.key, ",".join(sorted(requirement.values))
    match requirement.operator:
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "Exists":
            return key
        case "DoesNotExist":
            return f"!{key}"
    raise FormatError(f"{quoted(requirement.operator)} is not a valid label selector operator")


def _in(key: str, values: frozenset[str]) -> LabelPredicate:
    return lambda labels: labels.get(key) in values


def _not_in(key: str, values: frozenset[str]) -> LabelPredicate:
    return lambda labels: labels.get(key) not in values


def _exists(key: str) -> LabelPredicate:
    return lambda labels: key in labels


def _absent(key: str) -> LabelPredicate:
    return lambda labels: key not in labels


def _compared(key: str, order: str, number: int) -> LabelPredicate:
    """Return a predicate that is true for labels that are whole numbers above (or below) `number`."""

    def matches(labels: Labels) -> bool:
        text = labels.get(key, "")
        if not _INTEGER.fullmatch(text):
            return False
        return int(text) > number if order == ">" else int(text) < number

    return matches


def _all(predicates: Sequence[LabelPredicate]) -> LabelPredicate:
    if len(predicates) == 1:
        return predicates[0]
    fixed = tuple(predicates)
    return lambda labels: all(predicate(labels) for predicate in fixed)
