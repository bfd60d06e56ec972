"""The file of one release's story: after each step the adapters whose state has changed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.conformance.operator_story.story import State
from tests.conformance.recording import FOLDER, RecordingError

Changes = dict[str, dict[str, dict[str, Any] | None]]
"""Step to adapter to its new state, None if it is gone."""
_FORMAT = 1


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


def path_of(version: str) -> Path:
    return FOLDER / f"operator-{version}.json"


def versions() -> list[str]:
    """Return the releases with a recording, oldest first."""
    names = [path.stem.removeprefix("operator-") for path in FOLDER.glob("operator-*.json")]
    return sorted(names, key=lambda version: [int(part) for part in version.split(".")])


def write(version: str, recorded: Changes) -> None:
    """Write a recording, one state a line."""
    lines = []
    for step, adapters in recorded.items():
        states = [f"    {json.dumps(name)}: {json.dumps(state)}" for name, state in sorted(adapters.items())]
        lines.append(f"  {json.dumps(step)}: {{\n" + ",\n".join(states) + "\n  }")
    head = f'{{"format": {_FORMAT}, "version": {json.dumps(version)}, "steps": {{\n'
    path_of(version).write_text(head + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


def read(version: str) -> Changes:
    """Read a recording.

    Raises:
        RecordingError: if the file is missing, damaged, or of another version than its name says.
    """
    path = path_of(version)
    try:
        document = json.loads(path.read_bytes())
        if (document["format"], document["version"]) != (_FORMAT, version):
            raise RecordingError(f"{path} has format {document['format']} and version {document['version']}")
        steps: Changes = document["steps"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"{path} is not a recording of the operator's story: {error!r}") from error
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
