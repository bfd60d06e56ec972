"""Unit tests and stories of the operator, in one process by pytest; not a test."""

import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import Phase, settings

from tests.mutants.applying import ROOT
from tests.mutants.checks import QUIETLY
from tests.mutants.generated.line_tracer import Lines, LineTracer

_PACKAGES = (
    "api",
    "cache",
    "client",
    "demand",
    "engine",
    "metrics",
    "policies",
    "rebalance",
    "reconcile",
    "requests",
    "runtime",
)
_ALONE = ("test_small_decisions.py", "test_backoff.py", "test_operator_stop.py")
_SERVED = ("test_operator_errors.py",)
"""Stories of the operator against a served API, in which its own code raises errors."""
_LEFT_OUT = ("test_crashes.py", "test_races.py")
"""Stories that take minutes: the operator is killed at each point of its life, and its whole life in hard times."""
Began = Callable[[str], None]
"""Called with the name of a test that begins."""


def files() -> list[Path]:
    """Return the files with tests of the operator, without those of the sidecar and of the command line."""
    unit = ROOT / "tests/controller"
    found = [file for package in _PACKAGES for file in sorted((unit / package).glob("test_*.py"))]
    found += [unit / name for name in _ALONE]
    found += [ROOT / "tests/contract" / name for name in _SERVED]
    return [
        *found,
        *(file for file in sorted((ROOT / "tests/harness").glob("test_*.py")) if file.name not in _LEFT_OUT),
    ]


class _Recorder:
    """pytest plug-in that notes the time and lines of each test; those of a module's import count for all its tests."""

    def __init__(self) -> None:
        self.costs: dict[str, float] = {}
        self.lines: dict[str, Lines] = {}
        self.imported: dict[str, Lines] = {}
        self.failed: list[str] = []
        self._tracer = LineTracer()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        self._tracer.start()
        yield
        lines = self._tracer.stop()
        if isinstance(collector, pytest.Module):
            self.imported[collector.nodeid] = lines

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        began = process_time()
        self._tracer.start()
        yield
        self.lines[item.nodeid] = self._tracer.stop()
        self.costs[item.nodeid] = process_time() - began

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def record(file: Path) -> Iterator[tuple[str, float, Lines, bool]]:
    """Run a file; yield (test, CPU seconds, lines, whether it failed)."""
    recorder = _Recorder()
    _run([file], recorder)
    for test, lines in recorder.lines.items():
        imported = recorder.imported.get(test.partition("::")[0], {})
        files = {*lines, *imported}
        together = {name: lines.get(name, frozenset()) | imported.get(name, frozenset()) for name in files}
        yield test, recorder.costs[test], together, test in recorder.failed


class _Selection:
    """pytest plug-in that runs chosen tests in their order, until one fails."""

    def __init__(self, order: Collection[str], began: Began) -> None:
        self.failed = ""
        self._places = {test: place for place, test in enumerate(order)}
        self._began = began

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self._places]
        items.sort(key=lambda item: self._places[item.nodeid])

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._began(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


def first_failure(order: Collection[str], began: Began) -> str:
    """Run these tests in this order; return the name of the first that fails, or an empty text."""
    selection = _Selection(order, began)
    names = dict.fromkeys(test.partition("::")[0] for test in order)
    ended = _run([ROOT / name for name in names], selection)
    return selection.failed or (f"pytest ended with {ended!r}" if ended else "")


def _run(paths: list[Path], plugin: Any) -> int | pytest.ExitCode:
    """Run pytest; hypothesis draws the same examples each time, keeps none, and does not reduce them."""
    quick = settings(derandomize=True, database=None, phases=(Phase.explicit, Phase.generate), deadline=None)
    settings.register_profile("mutants", quick)
    os.environ.pop("PYTEST_ADDOPTS", None)  # options for the run that this one is a part of
    with tempfile.TemporaryDirectory() as folder:
        options = (f"--basetemp={folder}/tests", f"--rootdir={ROOT}", "--hypothesis-profile=mutants")
        return pytest.main([*QUIETLY, *options, *map(str, paths)], [plugin])
