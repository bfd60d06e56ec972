"""Validation rules of CustomResourceDefinitions in CEL, evaluated by a library.

Functions that the library does not have (Kubernetes' own extensions, such as `isURL`) are refused by name when the CRD
is registered. Language: https://github.com/google/cel-spec (doc/langdef.md).
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import cel

_VARIABLES = frozenset({"self", "oldSelf"})
_FUNCTIONS = frozenset(
    {"size", "matches", "startsWith", "endsWith", "contains", "int", "uint", "double", "string", "bool", "bytes", "dyn"}
)
"""Functions that the library evaluates as Kubernetes does; macros (`has`, `all`, `exists`, …) are not functions."""
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
"""Variables that macros bind."""
_NAMES = ("name", "generateName")
_SELF = re.compile(r"\b(?:self|oldSelf)\b(?:\.(\w+))?")


@cache
def _library() -> ModuleType:
    """Import the library without its command line, whose dependencies take far longer to import than the library."""
    command_line = "cel.cli"
    known = sys.modules.setdefault(command_line, ModuleType(command_line))
    try:
        import cel
    finally:
        if not known.__dict__.get("__file__"):
            del sys.modules[command_line]
    return cel


def compile_expression(text: str) -> "cel.Program":
    """Return the program of an expression over `self` and `oldSelf`.

    Raises:
        ValueError: if the expression is not valid CEL or uses unsupported functions or variables.
    """
    program: cel.Program = _library().compile(text)
    for name in program.functions():
        if name.isidentifier() and name not in _FUNCTIONS and not name.startswith("_"):
            raise ValueError(f"undeclared reference to function '{name}'")
    for name in program.variables():
        if name not in _VARIABLES and name not in _BOUND.findall(text):
            raise ValueError(f"undeclared reference to '{name}'")
    return program


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `x-kubernetes-validations`.

    Attributes:
        text: the expression.
        program: the compiled expression.
        message: message of a violation.
        reason: reason of the field error.
        field_path: path of the field to report, relative to the value.
        transition: the rule uses `oldSelf`, so it applies only if there is an old value.
        fields: fields of `self` that the rule reads; empty if it reads `self` itself.
    """

    text: str
    program: "cel.Program"
    message: str
    reason: str = "FieldValueInvalid"
    field_path: str = ""
    transition: bool = False
    fields: frozenset[str] = frozenset()

    @classmethod
    def compile(cls, rule: Mapping[str, Any], where: str) -> "Rule":
        """Compile a rule of a CRD.

        Raises:
            ValueError: if the rule cannot be compiled.
        """
        text = rule["rule"].strip()
        for unknown in sorted(set(rule) - {"rule", "message", "reason", "fieldPath"}):
            raise ValueError(f"{where}.x-kubernetes-validations: {unknown} is not supported")
        try:
            program = compile_expression(text)
        except ValueError as error:
            message = str(error).splitlines()[0]  # the other lines show the position and all tokens
            raise ValueError(f"{where}.x-kubernetes-validations: {message}") from error
        return cls(
            text,
            program,
            rule.get("message") or f"failed rule: {text}",
            rule.get("reason", "FieldValueInvalid"),
            rule.get("fieldPath", ""),
            "oldSelf" in program.variables(),
            _fields(text),
        )

    def violation(self, value: Any, old: Any) -> str | None:
        """Return the message if `value` violates the rule, otherwise None."""
        if self.transition and old is None:
            return None
        current, previous = self._visible(value), self._visible(old)
        if current == previous and not self.transition:  # the fields were valid before
            return None
        try:
            is_valid = self.program.execute({"self": current, "oldSelf": previous})
        except KeyError as error:
            return f"rule evaluation error: no such key: {error.args[0]} (rule: {self.text})"
        except (TypeError, IndexError, RuntimeError, ValueError) as error:
            return f"rule evaluation error: {error} (rule: {self.text})"
        return None if is_valid is True else self.message

    def _visible(self, value: Any) -> Any:
        """Return the fields of a value that the rule reads; of metadata only the name, as on real servers."""
        if not self.fields or not isinstance(value, dict):
            return value
        visible = {name: value[name] for name in self.fields if name in value}
        if "metadata" in visible and "apiVersion" in value:
            visible["metadata"] = {name: visible["metadata"][name] for name in _NAMES if name in visible["metadata"]}
        return visible


def _fields(text: str) -> frozenset[str]:
    names = _SELF.findall(text)
    return frozenset() if "" in names else frozenset(names)
