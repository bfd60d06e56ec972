"""Overrides (`--set PATH=VALUE`), applied to a scenario before it is validated.

A path consists of keys and list indices separated by dots (`faults.0.probability`). For keys with dots the longest
matching key is used (`vary.controller.retry.base`). Missing mappings are created.
"""

from collections.abc import Mapping
from typing import Any

from twin.scenario.errors import Path, Problem, ScenarioErrors, choices
from twin.scenario.yaml.positions import Document, value_of


def apply_overrides(document: Document, overrides: Mapping[str, str]) -> list[Problem]:
    """Apply every override to the document, and return the errors in their paths and values."""
    problems: list[Problem] = []
    for text, value in overrides.items():
        try:
            parsed = value_of(value, "--set")
        except ScenarioErrors as error:
            problems += [Problem("--set", 0, 0, text, problem.message, problem.allowed) for problem in error.problems]
            continue
        result = set_path(document.value, text, parsed)
        if isinstance(result, Problem):
            problems.append(result)
        else:
            document.value, path = result
            document.overridden.append(path)
    return problems


def set_path(value: Any, text: str, new: Any) -> tuple[Any, Path] | Problem:
    """Return a copy of `value` with `new` at the path `text`, and that path."""
    steps = text.split(".")
    if not all(steps):
        return Problem("--set", 0, 0, text, "is not a path", "allowed: keys and list indices with dots between")
    return _placed(value, steps, new, (), text)


def _placed(value: Any, steps: list[str], new: Any, parents: Path, text: str) -> tuple[Any, Path] | Problem:
    if not steps:
        return new, parents
    if isinstance(value, list):
        if not steps[0].isdecimal() or int(steps[0]) >= len(value):
            message = f'"{steps[0]}" is not an index of a list of {len(value)}'
            return Problem("--set", 0, 0, text, message, choices("", map(str, range(min(len(value), 20)))))
        index = int(steps[0])
        inner = _placed(value[index], steps[1:], new, (*parents, index), text)
        return inner if isinstance(inner, Problem) else ([*value[:index], inner[0], *value[index + 1 :]], inner[1])
    if value is not None and not isinstance(value, dict):
        message = f'"{".".join(map(str, parents))}" is a plain value and has no fields'
        return Problem("--set", 0, 0, text, message, "allowed: a path to a key of a mapping or an item of a list")
    mapping: dict[str, Any] = value or {}
    length = next((n for n in range(len(steps), 0, -1) if ".".join(steps[:n]) in mapping), 1)
    key = ".".join(steps[:length])
    inner = _placed(mapping.get(key), steps[length:], new, (*parents, key), text)
    return inner if isinstance(inner, Problem) else ({**mapping, key: inner[0]}, inner[1])
