"""Recordings: for each story the steps, and in each step the objects that have changed since the step before."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conformance_kubernetes.api import Object
from tests.conformance_kubernetes.stage import Step

_FOLDER = Path(__file__).parent / "recordings"


def path_of(version: str, story: str) -> Path:
    """Return the file of a story."""
    return _FOLDER / version / f"{story}.json"


def versions() -> list[str]:
    """Return the releases of which there are recordings."""
    return sorted(folder.name for folder in _FOLDER.iterdir() if folder.is_dir())


def read(version: str) -> Mapping[str, Sequence[Step]]:
    """Return the recorded steps of each story."""
    return {path.stem: decode(json.loads(path.read_text())) for path in sorted((_FOLDER / version).glob("*.json"))}


def write(version: str, story: str, steps: Sequence[Step]) -> None:
    """Write the file of a story."""
    path = path_of(version, story)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{_text(encode(steps))}\n")


def encode(steps: Sequence[Step]) -> list[Object]:
    """Return steps as they are written."""
    encoded, state = [], dict[str, list[Object]]()
    for step in steps:
        changed = {name: items for name, items in step.state.items() if state.get(name) != items}
        body: Object = {"step": step.title, "refusals": list(step.refusals), "changed": changed}
        body["gone"] = [name for name in state if name not in step.state]
        encoded.append({key: value for key, value in body.items() if value})
        state = dict(step.state)
    return encoded


def decode(written: Sequence[Object]) -> list[Step]:
    """Return the steps of a file."""
    steps, state = [], dict[str, list[Object]]()
    for body in written:
        state = {**state, **body.get("changed", {})}
        for name in body.get("gone", ()):
            del state[name]
        steps.append(Step(body["step"], body.get("refusals", []), state))
    return steps


def _text(steps: Sequence[Object]) -> str:
    """Return JSON with one object of the cluster a line."""
    return "[\n" + ",\n".join(_step_text(step) for step in steps) + "\n]"


def _step_text(step: Object) -> str:
    lines = [f'  "step": {json.dumps(step["step"])}']
    for key in ("refusals", "gone"):
        lines += [f'  "{key}": {json.dumps(step[key])}'] if key in step else []
    if "changed" in step:
        objects = [f"   {json.dumps(name)}: {_items(items)}" for name, items in step["changed"].items()]
        lines.append('  "changed": {\n' + ",\n".join(objects) + "\n  }")
    return " {\n" + ",\n".join(lines) + "\n }"


def _items(items: Sequence[Object]) -> str:
    return "[" + ", ".join(json.dumps(item, ensure_ascii=False) for item in items) + "]"
