"""Any input is either a valid scenario or refused with its errors; nothing else is raised."""

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from twin.scenario import ScenarioErrors, load, resolved

ROOT = Path(__file__).parents[3]
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    float("inf"),
    "",
    "all",
    "5s",
    [],
    {},
    [None],
    ["a"],
    {"a": 1},
    10**30,
    "[",
    "ü",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a scenario with its manifests inline, as plain values, and a folder for files."""
    scenario = load(ROOT / "tests/data/mixed.yaml")
    return YAML(typ="safe").load(resolved(scenario)), tmp_path_factory.mktemp("mess") / "s.yaml"


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def with_at(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    key, *rest = path
    inner = with_at(value[key], tuple(rest), new)
    return {**value, key: inner} if isinstance(value, dict) else [*value[:key], inner, *value[key + 1 :]]


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_scenario_loads_or_its_errors_are_listed(whole: Any, data: st.DataObject) -> None:
    value, file = whole
    place = data.draw(st.sampled_from(places(value)))
    out = io.StringIO()
    YAML(typ="safe").dump(with_at(value, place, data.draw(st.sampled_from(ODD))), out)
    file.write_text(out.getvalue())
    try:
        scenario = load(file)
    except ScenarioErrors as error:
        told = error.problems
    else:
        file.write_text(resolved(scenario))
        assert load(file) == scenario
        return
    assert told
    assert all(problem.message and "\n" not in str(problem) for problem in told)
