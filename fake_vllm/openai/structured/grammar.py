"""Text of a grammar in GBNF (`root ::= "yes" | "no"`) or Lark's form (`start: "yes" | "no"`)."""

import re
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from fake_vllm.openai.structured import regex
from fake_vllm.openai.structured.errors import ConstraintError

_RULE = re.compile(r"^[?!]*([A-Za-z_][\w-]*)(?:\.\d+)?\s*(::=|:)", re.MULTILINE)
_TOKEN = re.compile(
    r"""\s+|(?P<text>"(?:\\.|[^"\\])*")i?|(?P<regex>/(?:\\.|[^/\\])+/)[a-z]*|(?P<set>\[(?:\\.|[^\]\\])*\])"""
    r"""|(?P<name>[A-Za-z_][\w-]*)|(?P<count>\{\d+(?:,\d*)?\})|(?P<sign>[()|?*+.])""",
    re.VERBOSE,
)
_COMMENT = re.compile(r"^\s*(?:#|//).*$", re.MULTILINE)
_DEEP, _DEEPEST = 12, 60  # nested rules: from here on the shortest alternative; a grammar without an end
_MORE = 3
"""Repetitions of an unlimited repeat, in addition to the smallest number."""


@dataclass(frozen=True, slots=True)
class Item:
    """One element of a rule, repeated from `least` to `most` times.

    Attributes:
        kind: `text`, `regex`, `name` or `group`.
        value: literal text, pattern or name of a rule.
        group: alternatives of a group.
    """

    kind: str
    value: str = ""
    group: "Alternatives" = ()
    least: int = 1
    most: int = 1


Alternatives: TypeAlias = tuple[tuple[Item, ...], ...]


def generate(grammar: str, random: Random) -> str:
    """Return a text of `grammar`.

    Raises:
        ConstraintError: if it cannot be read.
    """
    rules = _parse(grammar)
    start = "root" if "root" in rules else "start"
    if start not in rules:
        raise ConstraintError("no start rule: the grammar needs a rule `root` or `start`", grammar)
    return _Generator(rules, random).rule(start, 0)


class _Generator:
    def __init__(self, rules: dict[str, Alternatives], random: Random) -> None:
        self._rules = rules
        self._random = random

    def rule(self, name: str, depth: int) -> str:
        if depth > _DEEPEST:
            raise ConstraintError(f"rule {name} has no finite text")
        if name not in self._rules:
            raise ConstraintError(f"unknown name: {name}")
        return self._one_of(self._rules[name], depth)

    def _one_of(self, alternatives: Alternatives, depth: int) -> str:
        if depth >= _DEEP:
            chosen = min(alternatives, key=lambda items: sum(item.kind in ("name", "group") for item in items))
        else:
            chosen = self._random.choice(alternatives)
        return "".join(self._repeated(item, depth) for item in chosen)

    def _repeated(self, item: Item, depth: int) -> str:
        most = item.least if depth >= _DEEP else item.most
        return "".join(self._single(item, depth) for _ in range(self._random.randint(item.least, most)))

    def _single(self, item: Item, depth: int) -> str:
        match item.kind:
            case "text":
                return item.value
            case "regex":
                return regex.generate(item.value, self._random)
            case "name":
                return self.rule(item.value, depth + 1)
            case _:
                return self._one_of(item.group, depth + 1)


def _parse(grammar: str) -> dict[str, Alternatives]:
    text = _COMMENT.sub("", grammar)
    heads = list(_RULE.finditer(text))
    if not heads:
        raise ConstraintError("no rules", grammar)
    ends = [head.start() for head in heads[1:]] + [len(text)]
    rules = {}
    for head, end in zip(heads, ends, strict=True):
        parser = _Parser(_tokens(text[head.end() : end], grammar), grammar)
        rules[head[1]] = parser.alternatives()
        if rules[head[1]] == ((),):
            raise ConstraintError(f"rule {head[1]} is empty", grammar)
        parser.expect_end()
    return rules


def _tokens(text: str, grammar: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ConstraintError(f"unexpected {text[position]!r}", grammar, position)
        if match.lastgroup:
            tokens.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return tokens


class _Parser:
    """Reads the right side of one rule."""

    def __init__(self, tokens: list[tuple[str, str]], grammar: str) -> None:
        self._tokens = tokens
        self._position = 0
        self._grammar = grammar

    def alternatives(self) -> Alternatives:
        result = [self._sequence()]
        while self._accept("|"):
            result.append(self._sequence())
        return tuple(result)

    def expect_end(self) -> None:
        if self._position < len(self._tokens):
            raise ConstraintError(f"unexpected {self._tokens[self._position][1]!r}", self._grammar)

    def _sequence(self) -> tuple[Item, ...]:
        items = []
        while (item := self._item()) is not None:
            items.append(self._counted(item))
        return tuple(items)

    def _item(self) -> Item | None:
        kind, value = self._peek()
        if (kind, value) == ("sign", "("):
            self._position += 1
            group = self.alternatives()
            if not self._accept(")"):
                raise ConstraintError("missing )", self._grammar)
            return Item("group", group=group)
        if kind not in ("text", "regex", "set", "name") and value != ".":
            return None
        self._position += 1
        match kind:
            case "text":
                return Item("text", _unescape(value[1:-1]))
            case "regex":
                return Item("regex", value[1:-1])
            case "name":
                return Item("name", value)
            case _:
                return Item("regex", value)

    def _counted(self, item: Item) -> Item:
        kind, value = self._peek()
        counts = {"?": (0, 1), "*": (0, _MORE), "+": (1, 1 + _MORE)}
        if kind == "count":
            low, comma, high = value[1:-1].partition(",")
            least = int(low)
            most = int(high) if high else least + (_MORE if comma else 0)
        elif value in counts:
            least, most = counts[value]
        else:
            return item
        self._position += 1
        return Item("group", group=((item,),), least=least, most=most)

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._position] if self._position < len(self._tokens) else ("", "")

    def _accept(self, sign: str) -> bool:
        found = self._peek() == ("sign", sign)
        self._position += found
        return found


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t", "r": "\r"}.get(match[1], match[1]), text)
