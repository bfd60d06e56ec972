"""Twenty thousand generated requests: none ends a server, none is answered with a 500 of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adversary.fuzz import Report, fuzz_engine, fuzz_served_api, fuzz_sidecar
from tests.adversary.memory import resident_mib

SEED = 16
MAX_GROWTH = 200
"""MiB that a test's servers and worlds may add to the process."""


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    before = resident_mib()
    yield
    assert resident_mib() - before < MAX_GROWTH


def check(report: Report, count: int) -> None:
    assert report.faults == []
    assert sum(report.statuses.values()) == count
    assert report.statuses[200] > count / 20, report.statuses  # the requests are not all refused at the door


def test_requests_to_the_served_api(tmp_path: Path) -> None:
    check(fuzz_served_api(13_000, SEED, tmp_path), 13_000)


def test_requests_to_the_fake_engine() -> None:
    check(fuzz_engine(3_000, SEED), 3_000)


def test_requests_to_the_sidecar(tmp_path: Path) -> None:
    check(fuzz_sidecar(4_000, SEED, tmp_path), 4_000)
