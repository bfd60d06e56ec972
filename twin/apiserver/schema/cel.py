"""Validation rules of CustomResourceDefinitions, and expressions of policies, in CEL, evaluated by a library.

Functions that the library does not have (Kubernetes' own extensions, such as `isURL`) are refused by name when the CRD
is registered. Language: https://github.com/google/cel-spec (doc/langdef.md).
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import cel

_VARIABLES = frozenset({"self", "oldSelf"})
_POLICY_VARIABLES = frozenset({"object", "oldObject", "request", "params", "variables"})
_FUNCTIONS = frozenset(
    {"size", "matches", "startsWith", "endsWith", "contains", "int", "uint", "double", "string", "bool", "bytes", "dyn"}
)
"""Functions that the library evaluates as Kubernetes does; macros (`has`, `all`, `exists`, …) are not functions."""
_OPTIONAL_FUNCTIONS = frozenset({"hasValue", "value", "orValue"})
"""Functions of an optional `oldSelf`."""
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
"""Variables that macros bind."""
_NAMES = ("name", "generateName")
_RULE_FIELDS = {"rule", "message", "reason", "fieldPath", "optionalOldSelf"}
_RESULTS_KEPT = 20_000
_encode = msgspec.json.Encoder().encode
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


def compile_expression(text: str, *, optional_old: bool = False) -> "cel.Program":
    """Return the program of an expression over `self` and `oldSelf`, which may be an optional value.

    Raises:
        ValueError: if the expression is not valid CEL or uses unsupported functions or variables.
    """
    return _compiled(text, _FUNCTIONS | _OPTIONAL_FUNCTIONS if optional_old else _FUNCTIONS, _VARIABLES)


def _compiled(text: str, functions: frozenset[str], variables: frozenset[str]) -> "cel.Program":
    program: cel.Program = _library().compile(text)
    for name in program.functions():
        if name.isidentifier() and name not in functions and not name.startswith("_"):
            raise ValueError(f"undeclared reference to function '{name}'")
    for name in program.variables():
        if name not in variables and name not in _BOUND.findall(text):
            raise ValueError(f"undeclared reference to '{name}'")
    return program


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Result of an expression of a policy; `error` says why it has no value."""

    value: Any = None
    error: str = ""

    @property
    def is_true(self) -> bool:
        """True if the expression holds."""
        return self.value is True


@dataclass(frozen=True, slots=True)
class PolicyExpression:
    """A compiled expression over the variables of a ValidatingAdmissionPolicy."""

    program: "cel.Program"

    def evaluate(self, values: Mapping[str, Any]) -> Evaluation:
        """Run the program."""
        try:
            return Evaluation(self.program.execute(dict(values)))
        except KeyError as error:
            return Evaluation(error=f"no such key: {error.args[0]}")
        except (TypeError, IndexError, RuntimeError, ValueError) as error:
            return Evaluation(error=str(error))


@lru_cache(maxsize=256)
def compile_policy(text: str) -> PolicyExpression:
    """Return the program of an expression of a policy.

    Raises:
        ValueError: if the expression is not valid CEL or uses unsupported functions or variables.
    """
    return PolicyExpression(_compiled(text, _FUNCTIONS, _POLICY_VARIABLES))


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
        optional_old: `oldSelf` is an optional value, so the rule applies to creations too (`optionalOldSelf`).
        fields: fields of `self` that the rule reads; empty if it reads `self` itself.
        results: violation by value and old value, as JSON: writes of an object seldom change what its rules read.
    """

    text: str
    program: "cel.Program"
    message: str
    reason: str = "FieldValueInvalid"
    field_path: str = ""
    transition: bool = False
    optional_old: bool = False
    fields: frozenset[str] = frozenset()
    results: dict[bytes, str | None] = field(default_factory=dict, compare=False)

    @classmethod
    def compile(cls, rule: Mapping[str, Any], where: str) -> "Rule":
        """Compile a rule of a CRD.

        Raises:
            ValueError: if the rule cannot be compiled.
        """
        text = rule["rule"].strip()
        for unknown in sorted(set(rule) - _RULE_FIELDS):
            raise ValueError(f"{where}.x-kubernetes-validations: {unknown} is not supported")
        optional_old = bool(rule.get("optionalOldSelf"))
        try:
            program = compile_expression(text, optional_old=optional_old)
        except ValueError as error:
            message = str(error).splitlines()[0]  # the other lines show the position and all tokens
            raise ValueError(f"{where}.x-kubernetes-validations: {message}") from error
        return cls(
            text,
            program,
            rule.get("message") or f"failed rule: {text}",
            rule.get("reason", "FieldValueInvalid"),
            rule.get("fieldPath", ""),
            transition="oldSelf" in program.variables(),
            optional_old=optional_old,
            fields=_fields(text),
        )

    def violation(self, value: Any, old: Any) -> str | None:
        """Return the message if `value` violates the rule, otherwise None."""
        if self.transition and old is None and not self.optional_old:
            return None
        current, previous = self._visible(value), self._visible(old)
        if current == previous and not self.transition and not _is_object(value):  # as valid as it was before
            return None
        key = _encode((current, previous))
        if key not in self.results:
            if len(self.results) >= _RESULTS_KEPT:
                self.results.clear()
            self.results[key] = self.evaluate(current, previous)
        return self.results[key]

    def evaluate(self, current: Any, previous: Any) -> str | None:
        """Run the program on the visible parts of a value and its old value; return a message, or None if valid."""
        if self.optional_old:
            optional = _library().OptionalValue
            previous = optional.none() if previous is None else optional.of(previous)
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
        if "metadata" in visible and _is_object(value):
            visible["metadata"] = {name: visible["metadata"][name] for name in _NAMES if name in visible["metadata"]}
        return visible


def _is_object(value: Any) -> bool:
    """Return whether the value is a whole Kubernetes object.

    Each write changes an object's metadata, so that its rules are evaluated each time. The rules of a field are not,
    while the field stays the same.
    """
    return isinstance(value, dict) and "apiVersion" in value and "metadata" in value


def _fields(text: str) -> frozenset[str]:
    names = _SELF.findall(text)
    return frozenset() if "" in names else frozenset(names)
