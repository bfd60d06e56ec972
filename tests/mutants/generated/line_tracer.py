"""Records the lines of `controller/` that run; not a test."""

import sys
import threading
from collections import defaultdict
from collections.abc import Mapping
from types import CodeType, FrameType
from typing import Any

from tests.mutants.applying import ROOT

Lines = Mapping[str, frozenset[int]]
"""Files below `controller/` to their lines."""

_FOLDER = str(ROOT / "controller") + "/"


class LineTracer:
    """A trace function that sees each line of a function once, and no other package at all."""

    def __init__(self) -> None:
        self._remaining: dict[int, set[int]] = {}
        """Identity of a code object to its lines that have not run; empty for other packages."""
        self._codes: dict[int, CodeType] = {}

    def start(self) -> None:
        threading.settrace(self._call)
        sys.settrace(self._call)

    def stop(self) -> Lines:
        """Stop, and return the lines that have run since `start`."""
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        lines: dict[str, set[int]] = defaultdict(set)
        for identity, code in self._codes.items():
            if code.co_filename.startswith(_FOLDER):
                lines[code.co_filename.removeprefix(_FOLDER)] |= _lines_of(code) - self._remaining[identity]
        self._remaining, self._codes = {}, {}
        return {file: frozenset(numbers) for file, numbers in lines.items() if numbers}

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        remaining = self._remaining.get(id(code))
        if remaining is None:
            self._codes[id(code)] = code  # keeps its identity
            remaining = _lines_of(code) if code.co_filename.startswith(_FOLDER) else set()
            self._remaining[id(code)] = remaining
        return self._line if remaining else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self._remaining[id(frame.f_code)].discard(frame.f_lineno)
        return self._line


def _lines_of(code: CodeType) -> set[int]:
    return {line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno}
