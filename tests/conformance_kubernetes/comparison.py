"""Differences between a recorded story and the same story in the twin, and which of them are accepted."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import zip_longest
from typing import Any

from tests.conformance_kubernetes.stage import Step


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where the twin's story is not the recorded one; `step` is a title."""

    story: str
    step: str
    place: str
    real: Any
    twin: Any

    def __str__(self) -> str:
        return f"{self.story} / {self.step} / {self.place}: real {self.real!r}, twin {self.twin!r}"


@dataclass(frozen=True, slots=True)
class Known:
    """An accepted difference.

    Attributes:
        story: pattern of the story's name.
        place: pattern of the object and field, such as `Pod *: spec.priority`.
        reason: why it is accepted.
    """

    story: str
    place: str
    reason: str

    def explains(self, difference: Difference) -> bool:
        return fnmatchcase(difference.story, self.story) and fnmatchcase(difference.place, self.place)


def differences(story: str, real: Sequence[Step], twin: Sequence[Step]) -> list[Difference]:
    """Return every difference of a story, in order."""
    found = []
    for recorded, played in zip_longest(real, twin):
        if recorded is None or played is None:
            step = recorded or played
            found.append(Difference(story, step.title, "steps", recorded is not None, played is not None))
            continue
        if recorded.title != played.title:
            found.append(Difference(story, recorded.title, "title", recorded.title, played.title))
        for place, first, second in _compare(list(recorded.refusals), list(played.refusals), "refusals"):
            found.append(Difference(story, recorded.title, place, first, second))
        for name in sorted({*recorded.state, *played.state}):
            places = _compare(recorded.state.get(name), played.state.get(name), name)
            found += [Difference(story, recorded.title, place, first, second) for place, first, second in places]
    return found


def judge(found: Sequence[Difference], known: Sequence[Known]) -> tuple[list[Difference], Mapping[Known, int]]:
    """Return the differences that no entry explains, and how many each entry explains."""
    counts: Counter[Known] = Counter(dict.fromkeys(known, 0))
    unexplained = []
    for difference in found:
        entry = next((item for item in known if item.explains(difference)), None)
        if entry is None:
            unexplained.append(difference)
        else:
            counts[entry] += 1
    return unexplained, counts


def _compare(real: Any, twin: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the innermost differing places of two values."""
    if isinstance(real, dict) and isinstance(twin, dict):
        for key in sorted({*real, *twin}):
            yield from _compare(
                real.get(key), twin.get(key), f"{place}: {key}" if ":" not in place else f"{place}.{key}"
            )
    elif isinstance(real, list) and isinstance(twin, list) and len(real) == len(twin):
        for first, second in zip(real, twin, strict=True):
            yield from _compare(first, second, place)
    elif real != twin:
        yield place, real, twin
