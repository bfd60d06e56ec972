"""Lines of the operator that each check runs, so that a mistake meets only what reaches it; not a test.

They are recorded once, with the operator as it is, and kept in the user's cache folder as long as the code is the same.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

from tests.mutants.applying import ROOT
from tests.mutants.generated import unit_tests
from tests.mutants.generated.children import Ending, Tell, limit_step, run_all
from tests.mutants.generated.line_tracer import Lines, LineTracer
from tests.mutants.generated.operators import Mutation
from tests.mutants.generated.user_checks import Check
from tests.mutants.records import Records
from twin.experiments.execution.results import code_digest, folder_digest

CACHE = Path.home() / ".cache/lora-twin/mutants"
_LONGEST = 300
"""CPU seconds for one check while its lines are recorded."""


@dataclass(frozen=True, slots=True)
class Reach:
    """One check or test of the operator as it is."""

    cost: float
    """CPU seconds while its lines were recorded."""
    lines: Lines
    record: str = ""
    """Digest of the records of its simulations."""
    wrong: str = ""
    """Finding of the check on the operator as it is, which has to be empty."""

    def meets(self, mutation: Mutation) -> bool:
        """Return whether a line of the replaced text has run."""
        last = mutation.line + mutation.old.count("\n")
        lines = self.lines.get(mutation.file, frozenset())
        return any(line in lines for line in range(mutation.line, last + 1))


@dataclass(frozen=True, slots=True)
class ReachTable:
    """Both kinds of checks by name."""

    user: Mapping[str, Reach]
    tests: Mapping[str, Reach]
    modules: Sequence[str] = ()
    """Modules that the checks import, without tests."""

    def wrong(self) -> list[str]:
        """Return what the operator as it is was accused of."""
        entries = [*self.user.items(), *self.tests.items()]
        return [f"{name}: {entry.wrong}" for name, entry in entries if entry.wrong]


@dataclass(frozen=True, slots=True)
class _Recording:
    """A check of a user, or a file of tests."""

    name: str
    check: Check | None
    file: Path | None


def reach_table(
    checks: Mapping[str, Check], test_files: Sequence[Path], jobs: int, file: Path | None = None
) -> ReachTable:
    """Return what was recorded before, with what is missing recorded in `jobs` processes at a time.

    `file`: an earlier table, taken as it is; None for that of the current code.
    """
    file = file or CACHE / f"{_digest()}.json"
    table = _read(file) if file.exists() else ReachTable({}, {})
    known = {name.partition("::")[0] for name in table.tests}
    missing = [_Recording(name, check, None) for name, check in checks.items() if name not in table.user]
    missing += [
        _Recording(name, None, path) for path in test_files if (name := path.relative_to(ROOT).as_posix()) not in known
    ]
    for ending in run_all(missing, _record, jobs):
        table = _with(table, ending)
        _write(file, table)
    return replace(table, user={name: table.user[name] for name in checks})


def _digest() -> str:
    tests = (ROOT / "tests" / name for name in ("controller", "harness", "mutants", "twin/faults"))
    scenarios = folder_digest(ROOT / "scenarios", *tests)
    worlds = (ROOT / "tests/twin/worlds.py").read_bytes()
    return hashlib.sha256(f"{code_digest()} {scenarios} {worlds!r}".encode()).hexdigest()[:16]


def _record(item: _Recording, tell: Tell) -> None:
    """Run one check or one file with a tracer, and tell what ran."""
    limit_step(_LONGEST)
    if item.file is not None:
        for test, cost, lines, failed in unit_tests.record(item.file):
            tell(["tests", test, cost, _plain(lines), "", "failed" if failed else ""])
        return
    assert item.check is not None
    records, tracer, began = Records(), LineTracer(), process_time()
    with tempfile.TemporaryDirectory() as folder:
        tracer.start()
        wrong = item.check(Path(folder), records)
        lines = tracer.stop()
    tell(["user", item.name, process_time() - began, _plain(lines), records.digest(), wrong])
    tell(["modules", _modules()])


def _modules() -> list[str]:
    return sorted(name for name in sys.modules if name.split(".")[0] in ("controller", "twin", "fake_vllm", "formats"))


def _with(table: ReachTable, ending: Ending[_Recording]) -> ReachTable:
    user, tests, modules = dict(table.user), dict(table.tests), set(table.modules)
    for kind, *rest in ending.told:
        if kind == "modules":
            modules |= set(rest[0])
        else:
            name, *values = rest
            (user if kind == "user" else tests)[name] = _reach(values)
    if ending.death:
        name = ending.job.name
        (user if ending.job.check is not None else tests)[name] = Reach(0.0, {}, wrong=ending.death)
    return ReachTable(user, tests, sorted(modules))


def _plain(lines: Lines) -> dict[str, list[int]]:
    return {file: sorted(numbers) for file, numbers in lines.items()}


def _reach(values: list[object]) -> Reach:
    cost, lines, record, wrong = values
    assert isinstance(cost, float)
    assert isinstance(lines, dict)
    return Reach(cost, {file: frozenset(numbers) for file, numbers in lines.items()}, str(record), str(wrong))


def _read(file: Path) -> ReachTable:
    data = json.loads(file.read_text())
    sides = ({name: _reach(values) for name, values in data[side].items()} for side in ("user", "tests"))
    return ReachTable(*sides, data["modules"])


def _write(file: Path, table: ReachTable) -> None:
    data = {
        side: {name: [e.cost, _plain(e.lines), e.record, ""] for name, e in entries.items() if not e.wrong}
        for side, entries in (("user", table.user), ("tests", table.tests))
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(data | {"modules": list(table.modules)}))
    fresh.replace(file)
