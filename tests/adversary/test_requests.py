"""Twenty thousand generated requests: none ends a server, none is answered with a 500 of its own."""

import resource
from pathlib import Path

from tests.adversary.fuzz import Report, fuzz_engine, fuzz_served_api, fuzz_sidecar

SEED = 16
MAX_RESIDENT = 512 << 10
"""KiB of the whole test process, which has loaded the twin, FastAPI and numpy as well."""


def check(report: Report, count: int) -> None:
    assert report.faults == []
    assert sum(report.statuses.values()) == count
    assert report.statuses[200] > count / 20, report.statuses  # the requests are not all refused at the door
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < MAX_RESIDENT


def test_requests_to_the_served_api(tmp_path: Path) -> None:
    check(fuzz_served_api(13_000, SEED, tmp_path), 13_000)


def test_requests_to_the_fake_engine() -> None:
    check(fuzz_engine(3_000, SEED), 3_000)


def test_requests_to_the_sidecar(tmp_path: Path) -> None:
    check(fuzz_sidecar(4_000, SEED, tmp_path), 4_000)
