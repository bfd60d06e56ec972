"""Differences between a recording and what the fake answered."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.conformance.recording import SECTIONS, Recording


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two servers disagree.

    Attributes:
        case: section and name, such as `cases/loading/good`.
        place: path inside the answer, such as `[0].json.error.type`.
        real: the recorded value; `<absent>` if the real server sends none.
        fake: the fake's value.
    """

    case: str
    place: str
    real: Any
    fake: Any

    def __str__(self) -> str:
        return f"{self.case} {self.place}: real {_short(self.real)}, fake {_short(self.fake)}"


ABSENT = "<absent>"
_FRAME = re.compile(r'\n\n  File "<path>", line \d+, in \w+\n    [A-Z]+ \S+')
"""Place in the server's source, which FastAPI puts into the text of an invalid body."""
_SET = re.compile(r"\{('\w+'(?:, '\w+')*)\}")


def differences(real: Recording, fake: Recording) -> list[Difference]:
    """Return all differences in entries that both answered the same requests for, in the order of the recording."""
    result: list[Difference] = []
    for section in SECTIONS:
        recorded, played = getattr(real, section), getattr(fake, section)
        for name in recorded:
            if real.request_digests[f"{section}/{name}"] == fake.request_digests.get(f"{section}/{name}"):
                places = different(recorded[name], played[name], "")
                result += [Difference(f"{section}/{name}", *place) for place in places]
    return result


def different(real: Any, fake: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield place and both values wherever two JSON values differ; `place` is put before each."""
    if isinstance(real, dict) and isinstance(fake, dict):
        for key in [*real, *(key for key in fake if key not in real)]:
            yield from different(real.get(key, ABSENT), fake.get(key, ABSENT), f"{place}.{key}")
    elif isinstance(real, list) and isinstance(fake, list) and len(real) == len(fake):
        for index, (one, other) in enumerate(zip(real, fake, strict=True)):
            yield from different(one, other, f"{place}[{index}]")
    elif isinstance(real, str) and isinstance(fake, str) and _comparable(real, place) == _comparable(fake, place):
        return
    elif real != fake or isinstance(real, bool) != isinstance(fake, bool):
        yield place, real, fake


def _comparable(text: str, place: str) -> str:
    """Return a text without what is chance: Python's order of a set, in it or in an `allow`, and lines of source."""
    if place.endswith(".headers.allow"):
        return ", ".join(sorted(text.split(", ")))
    text = _FRAME.sub("", text)
    return _SET.sub(lambda found: "{" + ", ".join(sorted(found[1].split(", "))) + "}", text)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:157]}…"
