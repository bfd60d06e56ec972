"""The generator of mistakes: its operators and its samples."""

import pytest

from tests.mutants.applying import ROOT
from tests.mutants.generated.equivalent import EQUIVALENT
from tests.mutants.generated.operators import mutations
from tests.mutants.generated.sample import all_mutations, draw, every_mutation, key

CASES = [
    ("boundary", "return a < b", {"return a <= b"}),
    ("comparison", "return a in b", {"return a not in b"}),
    ("and/or", "return a and b", {"return (a or b)"}),
    ("dropped condition", "return a and b and c", {"return (b and c)", "return (a and c)", "return (a and b)"}),
    ("dropped not", "return not a", {"return a"}),
    ("condition", "if a: b()", {"if True: b()", "if False: b()"}),
    ("dropped filter", "return [x for x in a if x]", {"return [x for x in a if True]"}),
    ("number", "return a[0]", {"return a[1]"}),
    ("arithmetic", "return a + b", {"return (a - b)"}),
    ("wrong function", "return min(a)", {"return max(a)"}),
    ("swapped arguments", "return f(a, b, c=1)", {"return f(b, a, c=1)"}),
    ("stale copy", "return replace(a, b=1)", {"return a"}),
    ("stale copy", "return a.pop(b, None)", {"return a.get(b, None)"}),
    ("dropped await", "await f()", {"pass"}),
    ("dropped statement", "f()", {"pass"}),
    ("dropped assignment", "self.a = b", {"pass"}),
    ("wrong key", "return meta.uid", {"return meta.name"}),
    ("dropped statement", "self.log.info(a)", set()),
    ("arithmetic", "self.log.info(a, attempt=b + 1)", set()),
]


@pytest.mark.parametrize(("operator", "statement", "expected"), CASES, ids=[f"{op}: {text}" for op, text, _ in CASES])
def test_an_operator_changes_one_place(operator: str, statement: str, expected: set[str]) -> None:
    source = f"async def example(a, b, c):\n    {statement}\n".encode()
    made = {item.apply(source).decode() for item in mutations("example.py", source) if item.operator == operator}
    assert {text.splitlines()[1].strip() for text in made} == expected


def test_every_mistake_is_python_and_a_sample_depends_on_its_seed_alone() -> None:
    every = all_mutations()
    assert len(every) > 3000
    for mutation in draw(200, 1):
        compile(mutation.apply((ROOT / "controller" / mutation.file).read_bytes()), mutation.file, "exec")
    assert draw(20, 1) == draw(20, 1) != draw(20, 2)


def test_every_mistake_that_is_listed_as_equivalent_can_still_be_made() -> None:
    assert set(EQUIVALENT) <= {key(mutation) for mutation in every_mutation()}
