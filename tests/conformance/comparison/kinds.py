"""Groups differences by kind, so that one line shows one fault and how far it reaches.

A kind is a place without its indices, and what is wrong there. Where a step's status differs, the rest of that step
follows from it: only the status is counted, by the group of cases.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.conformance.comparison.compare import ABSENT, Difference

_EXAMPLES = 3


@dataclass(slots=True)
class Kind:
    """Differences of one kind.

    Attributes:
        cases: names of the cases that have it, each once, in order.
        examples: the first differences, with values.
    """

    title: str
    places: int = 0
    cases: dict[str, None] = field(default_factory=dict)
    examples: list[Difference] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.places} places in {len(self.cases)} cases: {self.title}"]
        return "\n".join([*lines, *(f"    {example}" for example in self.examples)])


def by_kind(differences: Iterable[Difference]) -> list[Kind]:
    """Return the kinds, the most frequent first."""
    kinds: dict[str, Kind] = {}
    status_differs: set[tuple[str, str]] = set()
    for difference in differences:
        step = difference.case, difference.place.split(".")[0]
        if difference.place.endswith(("].status", "].error")):
            status_differs.add(step)
        elif step in status_differs:
            continue
        kind = kinds.setdefault(title := _title(difference), Kind(title))
        kind.places += 1
        kind.cases[difference.case] = None
        if len(kind.examples) < _EXAMPLES and difference.case not in (example.case for example in kind.examples):
            kind.examples.append(difference)
    return sorted(kinds.values(), key=lambda kind: -kind.places)


def _title(difference: Difference) -> str:
    place = re.sub(r"\[\d+\]", "[]", difference.place)
    if place.endswith(("].status", "].error")):
        group = "/".join(difference.case.split("/")[:3])
        return f"{group} {place}: real {difference.real}, fake {difference.fake}"
    if difference.fake == ABSENT:
        return f"{place}: fake has none"
    if difference.real == ABSENT:
        return f"{place}: only the fake has it"
    return f"{place}: other value"
