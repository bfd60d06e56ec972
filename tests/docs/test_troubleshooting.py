"""Every cause in docs/troubleshooting.md is reproduced by the adapter and scenario in its row."""

import re
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import pytest

from twin.runs.run import simulate_and_judge
from twin.scenario import load
from twin.trace.lines import AdapterLine

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
ROW = re.compile(r"^\| `(?P<reason>\w+)` \|.*\| `(?P<scenario>[\w/-]+)` \| `(?P<adapter>[\w-]+)` \|$", re.MULTILINE)
CAUSES = [tuple(found.groups()) for found in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


@lru_cache
def reasons(scenario: str) -> dict[str, set[str]]:
    """Return the condition reasons of each adapter."""
    findings = simulate_and_judge(load(ROOT / "scenarios" / f"{scenario}.yaml"))
    assert findings.passed, findings.verdict()
    found = defaultdict(set)
    for line in findings.lines:
        if isinstance(line, AdapterLine):
            found[line.object.partition("/")[2]] |= {reason for status, reason in line.conditions.values()}
    return found


@pytest.mark.parametrize(("reason", "scenario", "adapter"), CAUSES, ids=[f"{each[2]}" for each in CAUSES])
def test_a_cause_is_reproduced_by_its_adapter(reason: str, scenario: str, adapter: str) -> None:
    assert reason in reasons(scenario)[adapter]


def test_every_adapter_of_these_scenarios_is_on_the_page() -> None:
    told = {(scenario, adapter) for _, scenario, adapter in CAUSES}
    for scenario in {each[1] for each in CAUSES}:
        names = {template.name for template in load(ROOT / "scenarios" / f"{scenario}.yaml").adapters}
        assert {name for name in names if (scenario, name) not in told} <= {"fits-{i}"}
