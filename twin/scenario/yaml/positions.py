"""YAML as plain values with the line and column of each value.

Nodes are converted here instead of by the library's constructor, to keep positions, to report all duplicate keys, and
to allow no tags that construct objects. By YAML 1.2, `on` and `yes` are strings; dates are strings as well.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from twin.scenario.errors import Path, Problem, ScenarioErrors, dotted

_REPEATED = 20_000
"""Maximum number of values repeated by aliases; protects against nested aliases."""
_TAG = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Document:
    """YAML document: its value, and the positions of all parts (line and column from 1)."""

    file: str
    value: Any
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)
    overridden: list[Path] = field(default_factory=list)
    """Paths set by `--set`, which have no position in the file."""

    def where(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Return line and column of the value (or key) at `path`, or of the closest enclosing value."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, (1, 1))

    def problem(self, path: Path, message: str, allowed: str = "", *, key: bool = False) -> Problem:
        """Return an error at `path`."""
        if self._was_set(path):
            return Problem("--set", 0, 0, dotted(path), message, allowed)
        return Problem(self.file, *self.where(path, key=key), dotted(path), message, allowed)

    def _was_set(self, path: Path) -> bool:
        """Return whether `path` was set by `--set`, as a part or as a parent of an overridden path."""
        return any(
            path[: len(overridden)] == overridden
            or (path and overridden[: len(path)] == path and path not in self.values)
            for overridden in self.overridden
        )


def documents(path: File, name: str) -> list[Document]:
    """Return the non-empty documents of a file; `name` is the file's name in messages.

    Raises:
        ScenarioErrors: if the file cannot be read or is not valid YAML.
    """
    return parse(_text(path, name), name)


def parse(text: str, name: str) -> list[Document]:
    """Return the non-empty documents of a YAML text.

    Raises:
        ScenarioErrors: if it is not valid YAML, or has duplicate keys.
    """
    reader = _Reader(name)
    try:
        nodes = [node for node in YAML(typ="safe", pure=True).compose_all(text) if node is not None]
        parsed = [reader.document(node) for node in nodes]
    except MarkedYAMLError as error:
        raise ScenarioErrors([_syntax(error, name, text)]) from None
    except (YAMLError, ReaderError) as error:
        reason = getattr(error, "reason", "it cannot be parsed")
        raise ScenarioErrors([Problem(name, 1, 1, "", f"invalid YAML: {reason}")]) from None
    except RecursionError:
        raise ScenarioErrors([Problem(name, 1, 1, "", "nested too deeply to be read")]) from None
    if reader.problems:
        raise ScenarioErrors(reader.problems)
    return [document for document in parsed if document.value is not None]


def value_of(text: str, name: str) -> Any:
    """Return the value of a short YAML text from the command line.

    Raises:
        ScenarioErrors: if it is not valid YAML or has several documents.
    """
    parsed = parse(text, name)
    if len(parsed) > 1:
        raise ScenarioErrors([Problem(name, 0, 0, "", "several YAML documents", "allowed: one value")])
    return parsed[0].value if parsed else None


def _text(path: File, name: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ScenarioErrors([Problem("", 0, 0, "", f"File not found: {name}")]) from None
    except IsADirectoryError:
        message, allowed = "is a folder", "allowed: a YAML file"
    except UnicodeDecodeError as error:
        message, allowed = f"is not UTF-8 (byte {error.start})", "allowed: YAML as UTF-8 text"
    except (OSError, ValueError) as error:
        message = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        allowed = "allowed: a readable YAML file"
    raise ScenarioErrors([Problem(name, 0, 0, "", message, allowed)])


def _syntax(error: MarkedYAMLError, name: str, text: str) -> Problem:
    """Return the parser's message without its excerpt, which may contain a secret."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.split("\n")
    if "\\t" in repr(error.problem) and line <= len(lines):
        return Problem(name, line, column, "", "tabs are not allowed for indentation", "allowed: spaces")
    if "{{" in text:
        return Problem(name, line, column, "", "is a template, not YAML", "give the output of `helm template` instead")
    message = " ".join(filter(None, [error.context, error.problem]))
    return Problem(name, line, column, "", f"invalid YAML: {message}")


class _Reader:
    """Converts nodes to values and records their positions."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self._repeated = 0
        self._open: list[int] = []
        self._seen: set[int] = set()

    def document(self, node: Node) -> Document:
        document = Document(self.name, None)
        self._repeated = 0
        document.value = self._value(node, (), document)
        return document

    def _complain(self, node: Node, path: Path, message: str, allowed: str = "") -> None:
        mark = node.start_mark
        self.problems.append(Problem(self.name, mark.line + 1, mark.column + 1, dotted(path), message, allowed))

    def _value(self, node: Node, path: Path, document: Document) -> Any:
        document.values[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        position = node.start_mark.index
        self._repeated += position in self._seen
        self._seen.add(position)
        if self._repeated > _REPEATED:
            if self._repeated == _REPEATED + 1:
                self._complain(node, path, f"aliases repeat more than {_REPEATED} values", "remove nested aliases")
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if position in self._open:
            self._complain(node, path, "an anchor contains itself")
            return None
        self._open.append(position)
        try:
            if isinstance(node, SequenceNode):
                return [self._value(item, (*path, index), document) for index, item in enumerate(node.value)]
            return self._mapping(node, path, document) if isinstance(node, MappingNode) else None
        finally:
            self._open.pop()

    def _mapping(self, node: MappingNode, path: Path, document: Document) -> dict[str, Any]:
        result: dict[str, Any] = {}
        own: set[str] = set()
        for key, value in self._pairs(node, path):
            if not isinstance(key, ScalarNode):
                advice = "a template has to be rendered first, as by `helm template`"
                self._complain(key, path, "a key is not a scalar", advice)
                continue
            name = str(key.value)
            if name in own:
                self._complain(key, (*path, name), f'the key "{name}" is duplicated')
                continue
            own.add(name)
            document.keys[(*path, name)] = (key.start_mark.line + 1, key.start_mark.column + 1)
            result[name] = self._value(value, (*path, name), document)
        return result

    def _pairs(self, node: MappingNode, path: Path) -> Iterator[tuple[Node, Node]]:
        """Yield the pairs of a mapping, preceded by those merged with `<<` that it does not override."""
        named = {str(key.value) for key, _ in node.value if isinstance(key, ScalarNode)}
        for key, value in node.value:
            if str(key.tag) != f"{_TAG}merge":
                continue
            sources = value.value if isinstance(value, SequenceNode) else [value]
            for source in sources:
                if not isinstance(source, MappingNode) or source.start_mark.index in self._open:
                    self._complain(value, path, '"<<" merges something that is not a mapping')
                    continue
                for merged in self._pairs(source, path):
                    if str(merged[0].value) not in named:
                        named.add(str(merged[0].value))
                        yield merged
        yield from (pair for pair in node.value if str(pair[0].tag) != f"{_TAG}merge")

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        tag, text = str(node.tag), node.value
        match tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return _integer(text)
            case "float":
                return float(re.sub(r"^([+-]?)\.(inf|nan)$", r"\1\2", text.replace("_", ""), flags=re.IGNORECASE))
            case "str" | "timestamp" | "value":
                return text
        self._complain(node, path, f"the YAML tag {tag} is not supported", "allowed: plain values")
        return None


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    return int(digits, 0) if re.match(r"[+-]?0[xob]", digits, re.IGNORECASE) else int(digits)
