"""`docs/promises.md` can be believed: each row names tests or scenarios that are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/promises.md"
_REFERENCE = re.compile(r"`((?:tests|scenarios)/[^`]+)`")


def rows(page: str) -> list[tuple[str, str]]:
    """(promise, what holds it) of each row of each table."""
    cells = [line.strip().strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    assert all(len(row) == 3 for row in cells), [row for row in cells if len(row) != 3]
    found = [(row[0].strip(), row[2].strip()) for row in cells]
    return [(promise, held) for promise, held in found if promise not in ("promise", "---")]


@cache
def defined(path: str) -> frozenset[str]:
    """Names of tests at the top of a module."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = {getattr(node, "name", "") for node in tree.body}
    names |= {ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)}
    return frozenset(name for name in names if name.lower().startswith("test"))


def missing(held: str) -> str:
    """Return the error in what a row names; empty if there is no error."""
    references = _REFERENCE.findall(held)
    if not references:
        return "names no test and no scenario"
    for reference in references:
        path, _, name = reference.partition("::")
        if not (ROOT / path).is_file():
            return f"{path} is not there"
        if path.startswith("tests/") and name not in defined(path):
            return f"{path} has no {name or 'test that is named'}"
    return ""


def test_every_promise_is_held_by_something_that_is_there() -> None:
    promises = rows(PAGE.read_text(encoding="utf-8"))
    assert len(promises) >= 120
    assert {promise: wrong for promise, held in promises if (wrong := missing(held))} == {}


@pytest.mark.parametrize(
    ("held", "wrong"),
    [
        ("a hope", "names no test and no scenario"),
        ("`tests/nowhere.py::test_x`", "tests/nowhere.py is not there"),
        ("`tests/test_promises.py::test_x`", "tests/test_promises.py has no test_x"),
        ("`tests/test_promises.py`", "tests/test_promises.py has no test that is named"),
        ("`scenarios/none.yaml`", "scenarios/none.yaml is not there"),
        ("`scenarios/burst.yaml`, `tests/test_promises.py::test_a_row_of_another_shape_is_found`", ""),
        ("`tests/test_promises.py::missing`", "tests/test_promises.py has no missing"),
    ],
)
def test_a_row_that_names_nothing_that_is_there_is_found(held: str, wrong: str) -> None:
    assert missing(held) == wrong


def test_a_row_of_another_shape_is_found() -> None:
    with pytest.raises(AssertionError):
        rows("| promise | held by |\n")
