"""The whole table, parts of it, and a digest of what each entry asks.

An entry's name has its section first: `cases/loading/good`, `startup/max-loras-zero`, `lifecycle/engine-core-killed`.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from tests.conformance.cases import CASES
from tests.conformance.exchange import Case, Request
from tests.conformance.profiles import PROFILES
from tests.conformance.stories.lifecycle import STORIES
from tests.conformance.stories.startup import REFUSALS


@dataclass(frozen=True, slots=True)
class Selection:
    """Part of the table.

    Attributes:
        startup: names of start-up refusals.
        lifecycle: names of stories.
    """

    cases: Sequence[Case] = ()
    startup: Sequence[str] = ()
    lifecycle: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.cases) + len(self.startup) + len(self.lifecycle)

    def where(self, names: Sequence[str]) -> "Selection":
        """Return the entries with these names, section included."""
        chosen = frozenset(names)
        return Selection(
            [case for case in self.cases if f"cases/{case.name}" in chosen],
            [name for name in self.startup if f"startup/{name}" in chosen],
            [name for name in self.lifecycle if f"lifecycle/{name}" in chosen],
        )

    def parts(self) -> Iterator["Selection"]:
        """Yield pieces that need no server in common: the cases of each profile, each start-up, each story."""
        for _, cases in groupby(sorted(self.cases, key=lambda case: case.profile), key=lambda case: case.profile):
            yield Selection(cases=list(cases))
        for name in self.startup:
            yield Selection(startup=[name])
        for name in self.lifecycle:
            yield Selection(lifecycle=[name])

    def digests(self) -> dict[str, str]:
        """Return a digest of what each entry asks, by name; a story is known by its name alone."""
        return {
            **{f"cases/{case.name}": _digest(_requests(case)) for case in self.cases},
            **{f"startup/{name}": _digest(REFUSALS[name]) for name in self.startup},
            **{f"lifecycle/{name}": _digest(name) for name in self.lifecycle},
        }


TABLE = Selection(CASES, tuple(REFUSALS), tuple(STORIES))


def starting_with(*prefixes: str) -> Selection:
    """Return the entries whose name starts with one of `prefixes`, section included, such as `cases/chat`."""
    return TABLE.where([name for name in TABLE.digests() if name.startswith(prefixes)])


def not_in(request_digests: Mapping[str, str]) -> Selection:
    """Return the entries that a recording lacks, or that ask for something else now.

    Args:
        request_digests: the recording's.
    """
    return TABLE.where([name for name, digest in TABLE.digests().items() if request_digests.get(name) != digest])


def _requests(case: Case) -> object:
    profile = PROFILES[case.profile]
    return [profile.flags, sorted(profile.environment.items()), *(_fields(step) for step in case.steps)]


def _fields(request: Request) -> list[tuple[str, object]]:
    """Return a request's fields that are not the default, so that a new field leaves old digests alone."""
    plain = Request(request.method, request.path)
    fields = [(field.name, getattr(request, field.name)) for field in dataclasses.fields(request)]
    given = [(name, value) for name, value in fields if value != getattr(plain, name)]
    return [("to", f"{request.method} {request.path}"), *given]


def _digest(requests: object) -> str:
    return hashlib.sha256(repr(requests).encode()).hexdigest()[:12]
