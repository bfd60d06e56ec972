"""Hostile JSON values, and documents with some of their values replaced by them. Deterministic for a generator."""

import json
from copy import deepcopy
from random import Random
from typing import Any

_DEEP = 100_000
"""Levels of nesting: more than any recursive parser can follow."""

ODD_TEXTS = (
    "", " ", "abc", "-1", "0", "1e400", "NaN", "inf", "1.5", "9" * 40, "99999999999999999999Gi", "1" * 5000, "٣", "²",
    "a" * 300, "A_B", "..", "../../etc", "/", "%", "%2e%2e", "\x00", "\n", "\ud800", "\u202e", "ä", "😀", "=", ",",
    "a=b=c",
    "in (", "{}", "[]", "null", "true", "2026-13-45T99:99:99Z", "2026-01-01T00:00:00Z", "http://[::1", "-", "--help",
    "default", "kube-system", "system:masters", "*",
)  # fmt: skip
"""Texts that some parser of numbers, names, paths, selectors or times takes badly."""


def odd_value(rng: Random, depth: int = 0) -> Any:
    """Return any JSON value; containers hold further ones."""
    match rng.randrange(13):
        case 0:
            return None
        case 1:
            return rng.choice((True, False))
        case 2:
            return rng.choice((0, 1, -1, 2, 7, 300, -(2**31), 2**31, 2**63, 10**30))
        case 3:
            return rng.choice((0.0, -0.5, 1.5, 1e308, 5e-324))
        case 4 | 5 | 6 | 7:
            return rng.choice(ODD_TEXTS)
        case 8 | 9:
            return [] if depth > 2 else [odd_value(rng, depth + 1) for _ in range(rng.randrange(3))]
        case 10 | 11:
            return (
                {} if depth > 2 else {rng.choice(ODD_TEXTS): odd_value(rng, depth + 1) for _ in range(rng.randrange(3))}
            )
    return nested(rng.choice((20, 200)))


def nested(levels: int) -> Any:
    """Return a list in a list, and so on."""
    value: Any = []
    for _ in range(levels):
        value = [value] if levels % 2 else {"a": value}
    return value


def mutated(rng: Random, document: Any, changes: int) -> Any:
    """Return a copy of a document in which `changes` values are replaced, removed, or added."""
    result = deepcopy(document)
    for _ in range(changes):
        result = _change(rng, result)
    return result


def _change(rng: Random, document: Any) -> Any:
    """Replace one value; each level of the document is as likely as the next."""
    parent, key, value = None, None, document
    while isinstance(value, (dict, list)) and value and (parent is None or rng.random() < 0.75):
        parent, key = value, rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        value = parent[key]
    if parent is None:
        return odd_value(rng)
    match rng.randrange(8):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            parent[rng.choice(ODD_TEXTS)] = odd_value(rng)
        case 1 if isinstance(parent, list):
            parent.append(odd_value(rng))
        case _:
            parent[key] = odd_value(rng)
    return document


def encoded(rng: Random, value: Any) -> bytes:
    """Return a value as JSON, seldom as bytes that are no JSON, or nested beyond what a parser can follow."""
    if rng.random() < 0.97:
        return json.dumps(value).encode()
    return rng.choice(
        (
            b"",
            b"{",
            b"\xff\xfe\x00",
            b"null",
            b"[" * _DEEP,
            b'{"a":' * _DEEP,
            b"[" * _DEEP + b"]" * _DEEP,
            b'{"metadata":' * 900 + b"{}" + b"}" * 900,
            b'{"a": 1, "a": 2}',
            b'{"spec": NaN}',
            b'"\\ud800"',
            json.dumps(value).encode("utf-16"),
            json.dumps(value).encode()[:-1],
        )
    )
