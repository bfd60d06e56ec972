"""Sizes of what the operator keeps in memory: it must not grow with what has gone; not a test."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.harness.story import ADAPTERS, run_story
from tests.twin.worlds import MODEL, adapters
from twin.sim.simulation import Simulation

_KEPT = ("_deleted", "_counts", "_delayed", "metrics", "_metrics", "_log", "log", "_clock")
"""Attributes that are bounded by a number of their own, or by time, or are not the operator's."""
_IMPATIENT = {"additionalConfig": {"timeout": "5s"}}


def sizes(root: Any) -> Counter[str]:
    """Return the number of entries in the collections that an object of the operator refers to, by their path."""
    counts: Counter[str] = Counter()
    seen: dict[int, Any] = {}
    for path, value in _collections(root, type(root).__name__, seen):
        counts[path] += len(value)
    return counts


def _collections(value: Any, path: str, seen: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    if id(value) in seen:
        return
    seen[id(value)] = value
    if hasattr(value, "__len__") and not isinstance(value, str | bytes | tuple):
        yield path, value
        for item in list(value.values()) if isinstance(value, Mapping) else ():
            yield from _collections(item, f"{path}[]", seen)
    if type(value).__module__.startswith("controller.") and "controller.api" not in type(value).__module__:
        for name, item in _fields(value).items():
            if name not in _KEPT:
                yield from _collections(item, f"{path}.{name}", seen)


def _fields(value: Any) -> dict[str, Any]:
    slots = {name: getattr(value, name) for name in getattr(type(value), "__slots__", ()) if hasattr(value, name)}
    return slots | getattr(value, "__dict__", {})


def nothing_is_kept(folder: Path) -> str:
    """Adapters come and go, and all pods are replaced: it keeps what it kept before the first came.

    One is refused, one times out, one lacks its Secret, none can be published, and writes fail for a while.
    """
    kept: list[Counter[str]] = []

    def look(simulation: Simulation) -> None:
        kept.append(sizes(simulation.replicas[0]._operator._controller))  # type: ignore[union-attr]

    def leave(simulation: Simulation) -> None:
        for item in simulation.store.list(ADAPTERS, namespace="default").items:
            simulation.store.delete(ADAPTERS, "default", item["metadata"]["name"])

    sections: dict[str, Any] = {
        "adapters": [
            adapters(2, name=f"{policy}-{{i}}", arrive={"at": "30s"}, spec={"schedulerName": policy} | _IMPATIENT)
            for policy in ("default", "load-aware", "bin-pack")
        ]
        + [adapters(1, name="keyed", arrive={"at": "30s"}, spec={"apiKeySecretRef": {"name": "none", "key": "key"}})],
        "faults": [
            {"kind": "invalid-adapter", "adapters": ["default-0"], "from": "1s"},
            {"kind": "timeout", "adapters": ["bin-pack-1"], "from": "1s", "until": "50s"},
            {"kind": "api-forbidden", "resources": ["services"], "from": "28s", "until": "100s"},
            {"kind": "api-error", "resources": ["modeladapters"], "probability": 0.5, "from": "29s", "until": "40s"},
        ],
        "edits": [
            {"at": f"{at}s", "of": f"Deployment/{MODEL}", "patch": {"spec": {"replicas": replicas}}}
            for at, replicas in ((90, 0), (95, 3))
        ],
        "duration": "2m",
    }
    run_story(folder, (25, look), (80, leave), (119, look), **sections)
    grown = {path: (kept[0][path], size) for path, size in kept[1].items() if size > kept[0][path]}
    return f"it keeps more than before the first came: {grown}" if grown else ""
