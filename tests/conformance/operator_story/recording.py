"""The file of one release's story: after each step the adapters whose state has changed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from tests.conformance.operator_story.story import AdapterState, State
from tests.conformance.recording import FOLDER
from tests.conformance.recording_files import Files

Changes = dict[str, dict[str, dict[str, Any] | None]]
"""Step to adapter to its new state, None if it is gone."""
FILES = Files(FOLDER, "operator", "conform-operator", 1, dict[str, AdapterState | None])


def changes(steps: Mapping[str, State]) -> Changes:
    """Return what each step has changed."""
    result: Changes = {}
    before: dict[str, dict[str, Any]] = {}
    for step, state in steps.items():
        after = {name: asdict(adapter) for name, adapter in state.items()}
        changed = {name: one for name, one in after.items() if one != before.get(name)}
        result[step] = {**changed, **dict.fromkeys(sorted(before.keys() - after.keys()))}
        before = after
    return result


def write(version: str, recorded: Changes) -> None:
    """Write a recording, one state a line."""
    lines = []
    for step, adapters in recorded.items():
        states = [f"    {json.dumps(name)}: {json.dumps(state)}" for name, state in sorted(adapters.items())]
        lines.append(f"  {json.dumps(step)}: {{\n" + ",\n".join(states) + "\n  }")
    head = f'{{"format": {FILES.format}, "version": {json.dumps(version)}, "steps": {{\n'
    FILES.path(version).write_text(head + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


def read(version: str) -> Changes:
    """Read a recording.

    Raises:
        RecordingError: if the file is missing, damaged, or of another version than its name says.
    """
    steps: Changes = FILES.read(version, "steps")["steps"]
    present: set[str] = set()
    for step, changed in steps.items():
        gone = {name for name, state in changed.items() if state is None}
        if not gone <= present:
            raise FILES.damaged(version, f"{step}: {min(gone - present)} is gone before it came")
        present = (present | changed.keys()) - gone
    return steps


def differences(real: Changes, twin: Changes) -> Iterator[str]:
    """Yield a line for each value that differs, in the order of the story."""
    for step in dict.fromkeys((*real, *twin)):
        ours, theirs = twin.get(step, {}), real.get(step, {})
        for name in sorted({*ours, *theirs}):
            one, two = theirs.get(name) or {}, ours.get(name) or {}
            for field in dict.fromkeys((*one, *two)):
                if one.get(field) != two.get(field):
                    yield f"{step}: {name}.{field}: real {one.get(field)!r}, twin {two.get(field)!r}"
