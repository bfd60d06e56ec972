"""The part of CEL that validation rules of CustomResourceDefinitions use, compiled to closures.

Known: `self`, `oldSelf`, field access, indexing, `has()`, `size()`, the string methods `startsWith`, `endsWith`,
`contains`, `matches` and `size`, the macros `all` and `exists`, `in`, comparison, `&&`, `||`, `!`, `?:`, `+`, `-`,
literals and lists. All else is refused when the CRD is registered, by name and place, not when an object meets it.
Language: https://github.com/google/cel-spec (doc/langdef.md).
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Scope = Mapping[str, Any]
Expression = Callable[[Scope], Any]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>\d+(?:\.\d+)?)
      | (?P<raw>r(?:"[^"]*"|'[^']*'))
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<name>[A-Za-z_]\w*)
      | (?P<symbol>&&|\|\||==|!=|<=|>=|[-+!<>?:.,()\[\]])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}
_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda item, of: item in of,
}
_METHODS: dict[str, Callable[..., Any]] = {
    "startsWith": lambda text, prefix: text.startswith(prefix),
    "endsWith": lambda text, suffix: text.endswith(suffix),
    "contains": lambda text, part: part in text,
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
    "size": lambda value: len(value),
}
_ARITY = {"size": 0}
_LITERALS = {"true": True, "false": False, "null": None}


class EvaluationError(Exception):
    """A rule could not be evaluated for a value, e.g. because a field is not there."""


def compile_expression(text: str, names: frozenset[str] = frozenset({"self", "oldSelf"})) -> Expression:
    """The closure of an expression over `names`.

    Raises:
        ValueError: it is not CEL, or uses what this evaluator does not know; says what and where.
    """
    parser = _Parser(text, names)
    found = parser.ternary()
    parser.expect_end()
    return found


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `x-kubernetes-validations`."""

    text: str
    expression: Expression
    message: str
    reason: str = "FieldValueInvalid"
    field_path: str = ""
    transition: bool = False
    """It speaks of `oldSelf`, so it is only asked where there is an old value."""

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
            expression = compile_expression(text)
        except ValueError as error:
            raise ValueError(f"{where}.x-kubernetes-validations: {error}") from error
        return cls(
            text,
            expression,
            rule.get("message") or f"failed rule: {text}",
            rule.get("reason", "FieldValueInvalid"),
            rule.get("fieldPath", ""),
            re.search(r"\boldSelf\b", text) is not None,
        )

    def fault(self, value: Any, old: Any) -> str | None:
        """What to say of `value`; None if it is right."""
        if self.transition and old is None:
            return None
        try:
            return None if self.expression({"self": value, "oldSelf": old}) is True else self.message
        except EvaluationError as error:
            return f"rule evaluation error: {error} (rule: {self.text})"


class _Parser:
    """Recursive descent, one method a level of precedence; each returns a closure."""

    def __init__(self, text: str, names: frozenset[str]) -> None:
        self.text = text
        self.names = names
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise ValueError(f"cannot read CEL expression {text!r} at column {at + 1}: {text[at:].strip()[:20]!r}")
            self.tokens.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            at = match.end()
        self.tokens.append(("end", "", len(text)))
        self.place = 0

    def fail(self, problem: str) -> ValueError:
        column = self.tokens[self.place][2] + 1
        return ValueError(f"{problem} in CEL expression {self.text!r}, column {column}")

    def peek(self) -> str:
        kind, value, _ = self.tokens[self.place]
        return value if kind in ("symbol", "name") else ""

    def take(self, symbol: str) -> bool:
        if self.peek() == symbol:
            self.place += 1
            return True
        return False

    def expect(self, symbol: str) -> None:
        if not self.take(symbol):
            raise self.fail(f"expected {symbol!r}")

    def expect_end(self) -> None:
        if self.tokens[self.place][0] != "end":
            raise self.fail(f"unexpected {self.tokens[self.place][1]!r}")

    def identifier(self) -> str:
        kind, value, _ = self.tokens[self.place]
        if kind != "name":
            raise self.fail("expected a name")
        self.place += 1
        return value

    def ternary(self) -> Expression:
        condition = self.either()
        if not self.take("?"):
            return condition
        yes = self.either()
        self.expect(":")
        no = self.ternary()
        return lambda scope: yes(scope) if _truth(condition(scope)) else no(scope)

    def either(self) -> Expression:
        terms = [self.both()]
        while self.take("||"):
            terms.append(self.both())
        return terms[0] if len(terms) == 1 else _junction(terms, decisive=True)

    def both(self) -> Expression:
        terms = [self.relation()]
        while self.take("&&"):
            terms.append(self.relation())
        return terms[0] if len(terms) == 1 else _junction(terms, decisive=False)

    def relation(self) -> Expression:
        left = self.sum()
        while self.peek() in _RELATIONS:
            relate = _RELATIONS[self.peek()]
            self.place += 1
            left = _binary(relate, left, self.sum())
        return left

    def sum(self) -> Expression:
        left = self.unary()
        while self.peek() in ("+", "-"):
            operate = operator.add if self.peek() == "+" else operator.sub
            self.place += 1
            left = _binary(operate, left, self.unary())
        return left

    def unary(self) -> Expression:
        if self.take("!"):
            negated = self.unary()
            return lambda scope: not _truth(negated(scope))
        if self.take("-"):
            number = self.unary()
            return lambda scope: -number(scope)
        return self.member()

    def member(self) -> Expression:
        value = self.primary()
        while True:
            if self.take("."):
                name = self.identifier()
                value = self.method(value, name) if self.take("(") else _Select(value, name)
            elif self.take("["):
                key = self.ternary()
                self.expect("]")
                value = _item(value, key)
            else:
                return value

    def method(self, target: Expression, name: str) -> Expression:
        if name in ("all", "exists"):
            return self.macro(target, name)
        if name not in _METHODS:
            raise self.fail(f"undeclared reference to method {name!r}")
        arguments = self.arguments()
        if len(arguments) != _ARITY.get(name, 1):
            raise self.fail(f"{name} takes {_ARITY.get(name, 1)} argument(s), not {len(arguments)}")
        return _call(_METHODS[name], [target, *arguments])

    def macro(self, target: Expression, name: str) -> Expression:
        variable = self.identifier()
        self.expect(",")
        outer, self.names = self.names, self.names | {variable}
        body = self.ternary()
        self.names = outer
        self.expect(")")
        fold: Callable[[Any], bool] = all if name == "all" else any
        return lambda scope: fold(_truth(body({**scope, variable: item})) for item in _iterable(target(scope)))

    def arguments(self, closing: str = ")") -> list[Expression]:
        found: list[Expression] = []
        while not self.take(closing):
            if found:
                self.expect(",")
            found.append(self.ternary())
        return found

    def primary(self) -> Expression:
        kind, value, _ = self.tokens[self.place]
        self.place += 1
        if kind in ("number", "string", "raw"):
            literal = _literal(kind, value)
            return lambda _scope: literal
        if kind == "name":
            return self.named(value)
        if value == "(":
            inner = self.ternary()
            self.expect(")")
            return inner
        if value == "[":
            items = self.arguments("]")
            return lambda scope: [item(scope) for item in items]
        self.place -= 1
        raise self.fail(f"unexpected {value!r}" if value else "unexpected end")

    def named(self, name: str) -> Expression:
        if name in _LITERALS:
            literal = _LITERALS[name]
            return lambda _scope: literal
        if self.take("("):
            if name == "has":
                return self.has()
            if name == "size":
                return _call(_METHODS["size"], self.arguments())
            raise self.fail(f"undeclared reference to function {name!r}")
        if name not in self.names:
            self.place -= 1
            raise self.fail(f"undeclared reference to {name!r}")
        return lambda scope: scope[name]

    def has(self) -> Expression:
        field = self.member()
        if not isinstance(field, _Select):
            raise self.fail("has() takes a field, as in has(self.x)")
        self.expect(")")
        return field.present


def _literal(kind: str, text: str) -> Any:
    if kind == "number":
        return float(text) if "." in text else int(text)
    if kind == "raw":
        return text[2:-1]
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text[1:-1])


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise EvaluationError(f"no such overload: a condition must be a bool, not {value!r}")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise EvaluationError("no such overload: only an object has fields")
    return value


def _iterable(value: Any) -> Any:
    if not isinstance(value, (list, Mapping)):
        raise EvaluationError("no such overload: only a list or a map can be gone through")
    return value


@dataclass(frozen=True, slots=True)
class _Select:
    """Field access; a class, so that `has()` can ask for presence instead."""

    target: Expression
    name: str

    def __call__(self, scope: Scope) -> Any:
        found = _mapping(self.target(scope))
        if self.name not in found:
            raise EvaluationError(f"no such key: {self.name}")
        return found[self.name]

    def present(self, scope: Scope) -> bool:
        return self.name in _mapping(self.target(scope))


def _item(target: Expression, key: Expression) -> Expression:
    def item(scope: Scope) -> Any:
        try:
            return target(scope)[key(scope)]
        except (LookupError, TypeError) as error:
            raise EvaluationError(f"no such key: {key(scope)!r}") from error

    return item


def _call(function: Callable[..., Any], arguments: list[Expression]) -> Expression:
    def call(scope: Scope) -> Any:
        try:
            return function(*(argument(scope) for argument in arguments))
        except (TypeError, AttributeError) as error:
            raise EvaluationError(f"no such overload: {error}") from error

    return call


def _binary(function: Callable[[Any, Any], Any], left: Expression, right: Expression) -> Expression:
    return _call(function, [left, right])


def _junction(terms: list[Expression], *, decisive: bool) -> Expression:
    """`||` (decisive: true) and `&&`: a term that decides makes up for another that cannot be evaluated."""

    def junction(scope: Scope) -> bool:
        failure: EvaluationError | None = None
        for term in terms:
            try:
                if _truth(term(scope)) is decisive:
                    return decisive
            except EvaluationError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return not decisive

    return junction
