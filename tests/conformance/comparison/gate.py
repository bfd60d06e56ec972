"""Sorts differences into those that the table of known differences explains, and the others."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tests.conformance.comparison.compare import Difference


@dataclass(frozen=True)
class Known:
    """Differences that are accepted. A `*` in a pattern stands for any text.

    Attributes:
        entries: pattern of entries, section included, such as `cases/responses/*`.
        places: pattern of places in their answers, such as `[*].json.error.message`.
        reason: why the fake answers something else.
        versions: releases for which it holds; without any, all that are recorded.
    """

    entries: str
    places: str
    reason: str
    versions: tuple[str, ...] = ()

    def explains(self, version: str, difference: Difference) -> bool:
        return (
            (not self.versions or version in self.versions)
            and self._entries.fullmatch(difference.case) is not None
            and self._places.fullmatch(difference.place) is not None
        )

    @cached_property
    def _entries(self) -> re.Pattern[str]:
        return _compiled(self.entries)

    @cached_property
    def _places(self) -> re.Pattern[str]:
        return _compiled(self.places)


@dataclass(slots=True)
class Verdict:
    """Differences of one release.

    Attributes:
        explained: number of differences by the entry of the table that explains them.
    """

    version: str
    explained: dict[Known, int] = field(default_factory=dict)
    unexplained: list[Difference] = field(default_factory=list)


def judge(version: str, differences: Iterable[Difference], table: Sequence[Known]) -> Verdict:
    """Return the verdict on one release; the first entry of the table that matches explains a difference."""
    verdict = Verdict(version)
    for difference in differences:
        known = next((known for known in table if known.explains(version, difference)), None)
        if known is None:
            verdict.unexplained.append(difference)
        else:
            verdict.explained[known] = verdict.explained.get(known, 0) + 1
    return verdict


def unused(table: Sequence[Known], verdicts: Collection[Verdict]) -> list[str]:
    """Return a line for each entry of the table, and each of its releases, that explains nothing any more."""
    lines = []
    for known in table:
        for version in known.versions or ("",):
            of_version = [verdict for verdict in verdicts if version in ("", verdict.version)]
            if not any(known in verdict.explained for verdict in of_version):
                lines.append(f"{known.entries} {known.places}{f' of {version}' if version else ''}: {known.reason}")
    return lines


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
