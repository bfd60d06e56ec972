"""Validation rules of CustomResourceDefinitions: CEL, evaluated by a library, refused as a real server refuses.

What the library does not know (Kubernetes' own extensions, such as `isURL`) is refused when the CRD is registered, by
name, and not when an object meets it. Language: https://github.com/google/cel-spec (doc/langdef.md).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cel

_VARIABLES = frozenset({"self", "oldSelf"})
_FUNCTIONS = frozenset(
    {"size", "matches", "startsWith", "endsWith", "contains", "int", "uint", "double", "string", "bool", "bytes", "dyn"}
)
"""What the library evaluates as Kubernetes does; macros (`has`, `all`, `exists`, …) are no functions."""
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
"""A macro binds a variable of its own."""
_NAMES = ("name", "generateName")
_SELF = re.compile(r"\b(?:self|oldSelf)\b(?:\.(\w+))?")


def compile_expression(text: str) -> cel.Program:
    """The program of an expression over `self` and `oldSelf`.

    Raises:
        ValueError: it is not CEL, or uses what is not known here; says what.
    """
    program = cel.compile(text)
    for name in program.functions():
        if name.isidentifier() and name not in _FUNCTIONS and not name.startswith("_"):
            raise ValueError(f"undeclared reference to function '{name}'")
    for name in program.variables():
        if name not in _VARIABLES and name not in _BOUND.findall(text):
            raise ValueError(f"undeclared reference to '{name}'")
    return program


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `x-kubernetes-validations`."""

    text: str
    program: cel.Program
    message: str
    reason: str = "FieldValueInvalid"
    field_path: str = ""
    transition: bool = False
    """It speaks of `oldSelf`, so it is only asked where there is an old value."""
    fields: frozenset[str] = frozenset()
    """The fields of `self` that it reads, so that no more is handed to the library; empty: it reads `self` itself."""

    @classmethod
    def compile(cls, rule: Mapping[str, Any], where: str) -> "Rule":
        """The rule as the CRD has it.

        Raises:
            ValueError: it cannot be compiled.
        """
        text = rule["rule"].strip()
        for unknown in sorted(set(rule) - {"rule", "message", "reason", "fieldPath"}):
            raise ValueError(f"{where}.x-kubernetes-validations: {unknown} is not supported")
        try:
            program = compile_expression(text)
        except ValueError as error:
            said = str(error).splitlines()[0]  # what follows draws where, and lists all tokens
            raise ValueError(f"{where}.x-kubernetes-validations: {said}") from error
        return cls(
            text,
            program,
            rule.get("message") or f"failed rule: {text}",
            rule.get("reason", "FieldValueInvalid"),
            rule.get("fieldPath", ""),
            "oldSelf" in program.variables(),
            _fields(text),
        )

    def fault(self, value: Any, old: Any) -> str | None:
        """What to say of `value`; None if it is right."""
        if self.transition and old is None:
            return None
        seen, before = self._seen(value), self._seen(old)
        if seen == before and not self.transition:  # what it reads was accepted before: no need to ask again
            return None
        try:
            holds = self.program.execute({"self": seen, "oldSelf": before})
        except KeyError as error:
            return f"rule evaluation error: no such key: {error.args[0]} (rule: {self.text})"
        except (TypeError, IndexError, RuntimeError, ValueError) as error:
            return f"rule evaluation error: {error} (rule: {self.text})"
        return None if holds is True else self.message

    def _seen(self, value: Any) -> Any:
        """What the rule sees of a value. Of an object's metadata that is the name alone, as on a real server."""
        if not self.fields or not isinstance(value, dict):
            return value
        seen = {name: value[name] for name in self.fields if name in value}
        if "metadata" in seen and "apiVersion" in value:
            seen["metadata"] = {name: seen["metadata"][name] for name in _NAMES if name in seen["metadata"]}
        return seen


def _fields(text: str) -> frozenset[str]:
    found = _SELF.findall(text)
    return frozenset() if "" in found else frozenset(found)
