"""Text that a regular expression matches."""

import re
import warnings
from collections.abc import Iterable
from random import Random
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from fake_vllm.openai.structured.errors import ConstraintError

_PRINTABLE = [chr(code) for code in range(32, 127)]
_ANY = [*"abcdefghijklmnopqrstuvwxyz"]
_CLASSES = {
    constants.CATEGORY_DIGIT: [*"0123456789"],
    constants.CATEGORY_WORD: [*"abcdefghijklmnopqrstuvwxyz0123456789_"],
    constants.CATEGORY_SPACE: [" "],
}
_NEGATED = {
    constants.CATEGORY_NOT_DIGIT: constants.CATEGORY_DIGIT,
    constants.CATEGORY_NOT_WORD: constants.CATEGORY_WORD,
    constants.CATEGORY_NOT_SPACE: constants.CATEGORY_SPACE,
}
_MORE = 4
"""Repetitions of an unlimited repeat, in addition to the smallest number."""


def generate(pattern: str, random: Random) -> str:
    """Return a text that matches all of `pattern`.

    Raises:
        ConstraintError: if the pattern cannot be read.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # about a client's pattern
            parsed = parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        position = getattr(error, "pos", None)
        raise ConstraintError(getattr(error, "msg", str(error)), pattern, position or 0) from None
    return _Generator(random).sequence(parsed)


class _Generator:
    """Makes one text, and remembers the groups that a pattern refers back to."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._groups: dict[int, str] = {}

    def sequence(self, items: Iterable[tuple[Any, Any]]) -> str:
        return "".join(self._item(kind, value) for kind, value in items)

    def _item(self, kind: Any, value: Any) -> str:
        match kind:
            case constants.LITERAL:
                return chr(value)
            case constants.NOT_LITERAL:
                return str(self._random.choice([char for char in _ANY if char != chr(value)]))
            case constants.ANY:
                return str(self._random.choice(_ANY))
            case constants.IN:
                return str(self._random.choice(_members(value)))
            case constants.BRANCH:
                return self.sequence(self._random.choice(value[1]))
            case constants.SUBPATTERN:
                return self._group(value[0], value[-1])
            case constants.MAX_REPEAT | constants.MIN_REPEAT | constants.POSSESSIVE_REPEAT:
                return self._repeat(*value)
            case constants.GROUPREF:
                return self._groups.get(value, "")
            case constants.ASSERT | constants.ASSERT_NOT:
                raise ConstraintError("look-around, including look-ahead and look-behind, is not supported")
            case constants.ATOMIC_GROUP:
                return self.sequence(value)
            case _:  # anchors have no text
                return ""

    def _group(self, number: int | None, items: Iterable[tuple[Any, Any]]) -> str:
        text = self.sequence(items)
        if number is not None:
            self._groups[number] = text
        return text

    def _repeat(self, least: int, most: Any, items: Any) -> str:
        count = self._random.randint(least, max(least, min(int(most), least + _MORE)))
        return "".join(self.sequence(items) for _ in range(count))


def _members(parts: list[tuple[Any, Any]]) -> list[str]:
    """Return the characters of a class, printable ones if it is negated."""
    negated = parts[0][0] is constants.NEGATE
    members: list[str] = []
    for kind, value in parts[1:] if negated else parts:
        if kind is constants.LITERAL:
            members.append(chr(value))
        elif kind is constants.RANGE:
            low, high = value
            members += [chr(code) for code in range(low, min(high, low + 255) + 1)]
        elif value in _NEGATED:
            excluded = _CLASSES[_NEGATED[value]]
            members += [char for char in _ANY if char not in excluded] or ["-"]
        else:
            members += _CLASSES.get(value, _ANY)
    if not negated:
        return members
    return [char for char in _ANY if char not in members] or [c for c in _PRINTABLE if c not in members] or [" "]
