"""Simple commands of a POSIX shell script, with quotes and variables resolved.

Covers what container commands use: quotes, line continuations, comments, `;`, `&&`, `||`, `|`, assignments, `export`,
redirections, `$NAME`, `${NAME}`, `${NAME:-default}`, `$1`, `$@`, `$((…))` and word splitting. Command substitutions
stay as they are, and so do unset variables, since the image may set them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from formats.engine_command.arithmetic import arithmetic_value
from formats.errors import FormatError

_VARIABLE = re.compile(r"\$(?:(?P<name>[A-Za-z_]\w*|[0-9@*])|\{(?P<braced>[A-Za-z_]\w*|[0-9@*])(?P<rest>[^{}]*)\})")
_DEFAULT = re.compile(r":?([-=+])(.*)", re.DOTALL)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_REDIRECTION = re.compile(r"[<>]+[&|]?-?\s*")
_KEYWORDS = ("{", "!", "then", "do", "else", "if", "while", "exec", "command", "nohup", "time")


@dataclass(frozen=True, slots=True)
class SimpleCommand:
    """The words of one command, and the environment that it runs in."""

    words: tuple[str, ...]
    env: Mapping[str, str]


def simple_commands(script: str, env: Mapping[str, str], parameters: Sequence[str] = ()) -> list[SimpleCommand]:
    """Return the commands of a script in order; `parameters` are `$0`, `$1` and so on.

    Raises:
        FormatError: if a quote is not closed.
    """
    return list(_Reader(script, dict(env), parameters).commands())


class _Reader:
    """Reads a script from left to right; assignments take effect for the commands that follow."""

    def __init__(self, script: str, env: dict[str, str], parameters: Sequence[str]) -> None:
        self._script = script
        self._env = env
        self._parameters = parameters
        self._position = 0
        self._words: list[str] = []
        self._word: str | None = None
        self._redirected = False
        """True if the next word is the target of a redirection."""

    def commands(self) -> Iterator[SimpleCommand]:
        while self._position < len(self._script):
            char = self._script[self._position]
            if char in "\n;&|()":
                self._position += 1
                yield from self._end_command()
            else:
                self._read(char)
        yield from self._end_command()

    def _read(self, char: str) -> None:
        script, position = self._script, self._position
        if char == "\\":
            if script[position + 1 : position + 2] != "\n":
                self._append(script[position + 1 : position + 2])
            self._position += 2
        elif char in "'\"":
            self._quoted(char)
        elif char in "$`":
            self._split(self._expansion())
        elif char.isspace():
            self._end_word()
            self._position += 1
        elif char == "#" and self._word is None:
            end = script.find("\n", position)
            self._position = len(script) if end < 0 else end
        elif char in "<>":
            self._redirect()
        else:
            self._append(char)
            self._position += 1

    def _quoted(self, quote: str) -> None:
        self._append("")
        self._position += 1
        while self._script[self._position : self._position + 1] != quote:
            char = self._script[self._position : self._position + 1]
            if not char:
                raise FormatError(f"the shell command cannot be read: no closing {quote}")
            if quote == '"' and char in "$`":
                if self._script.startswith('$@"', self._position) and not self._word:
                    self._position += 2
                    self._fields(list(self._parameters[1:]))
                else:
                    self._append(self._expansion())
                continue
            if quote == '"' and char == "\\" and self._script[self._position + 1 : self._position + 2] in '$`"\\\n':
                self._position += 1
                char = self._script[self._position].replace("\n", "")
            self._append(char)
            self._position += 1
        self._position += 1

    def _expansion(self) -> str:
        """Return the value of the `$...` or backquoted text at the position, and go behind it."""
        start = self._position
        match = _VARIABLE.match(self._script, start)
        if match is not None:
            self._position = match.end()
            return self._value(match)
        self._position = self._substitution_end(start)
        text = self._script[start : self._position]
        if text.startswith("$((") and text.endswith("))"):
            expression = _VARIABLE.sub(self._value, text[3:-2])
            number = arithmetic_value(expression, self._env)
            return text if number is None else str(number)
        return text

    def _substitution_end(self, start: int) -> int:
        if self._script[start] == "`":
            return self._script.find("`", start + 1) + 1 or len(self._script)
        if not self._script.startswith("$(", start):
            return start + 1
        depth = 0
        for position in range(start + 1, len(self._script)):
            depth += {"(": 1, ")": -1}.get(self._script[position], 0)
            if not depth:
                return position + 1
        return len(self._script)

    def _value(self, match: re.Match[str]) -> str:
        name = match["name"] or match["braced"]
        if name in ("@", "*"):
            return " ".join(self._parameters[1:])
        value = self._env.get(name)
        if name.isdecimal():
            value = self._parameters[int(name)] if int(name) < len(self._parameters) else ""
        default = _DEFAULT.fullmatch(match["rest"] or "")
        if default is None:
            return match[0] if value is None or match["rest"] else value
        if default[1] == "+":
            return default[2] if value else ""
        return value or default[2]

    def _split(self, value: str) -> None:
        """Append the value of an unquoted expansion: white space separates words, but not in an assignment."""
        if (self._word is not None and _ASSIGNMENT.match(self._word)) or value.startswith(("$(", "`")):
            self._append(value)
        else:
            if value[:1].isspace():
                self._end_word()
            self._fields(value.split())
            if value[-1:].isspace():
                self._end_word()

    def _fields(self, fields: Sequence[str]) -> None:
        for index, field in enumerate(fields):
            if index:
                self._end_word()
            self._append(field)

    def _redirect(self) -> None:
        if self._word is not None and self._word.isdecimal():
            self._word = None
        self._end_word()
        match = _REDIRECTION.match(self._script, self._position)
        self._position = match.end() if match is not None else self._position + 1
        self._redirected = True

    def _append(self, text: str) -> None:
        self._word = (self._word or "") + text

    def _end_word(self) -> None:
        if self._word is not None and not self._redirected:
            self._words.append(self._word)
        if self._word is not None:
            self._redirected = False
        self._word = None

    def _end_command(self) -> Iterator[SimpleCommand]:
        self._end_word()
        words, self._words, self._redirected = self._words, [], False
        assigned: dict[str, str] = {}
        while words and ((match := _ASSIGNMENT.fullmatch(words[0])) or words[0] in _KEYWORDS):
            if match is not None:
                assigned[match[1]] = match[2]
            words = words[1:]
        if words[:1] == ["export"]:
            assigned.update(
                (match[1], match[2]) for match in map(_ASSIGNMENT.fullmatch, words[1:]) if match is not None
            )
            words = []
        if words:
            yield SimpleCommand(tuple(words), {**self._env, **assigned})
        else:
            self._env.update(assigned)
