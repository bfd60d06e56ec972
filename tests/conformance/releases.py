"""Part of the table that each release is recorded for."""

from collections.abc import Mapping

from formats.engine_releases import parse_release
from tests.conformance.table import TABLE, Selection, starting_with

OPERATORS = (
    *("startup/", "lifecycle/", "cases/loading/", "cases/unloading/", "cases/listing/", "cases/metrics/"),
    *("cases/routing/", "cases/authentication/", "cases/completions/model/", "cases/chat/model/"),
)
"""Entries that an operator depends on: start-ups, life and death, adapters, metrics, routes, wrong model names."""

_WITHOUT_TIMEOUT = ("lifecycle/sigterm-while-", "lifecycle/e", "lifecycle/resident-", "lifecycle/in-place-")
"""The stories of a release that has no `--shutdown-timeout`."""
PARTS: Mapping[str, tuple[str, ...]] = {
    "0.16.0": (*(prefix for prefix in OPERATORS if prefix != "lifecycle/"), *_WITHOUT_TIMEOUT),
    "0.20.2": OPERATORS,
    "0.24.0": OPERATORS,
}
"""First words of the recorded entries of each release that is not recorded for the whole table."""

SINCE: Mapping[str, tuple[int, ...]] = {"cases/scale-out/": (0, 32)}
"""First release whose server takes the flags of these entries."""


def part_of(version: str) -> Selection:
    """Return the part of the table that a release is recorded for."""
    part = starting_with(*PARTS[version]) if version in PARTS else TABLE
    later = tuple(prefix for prefix, release in SINCE.items() if parse_release(version) < release)
    return part.where([name for name in part.digests() if not name.startswith(later)]) if later else part
