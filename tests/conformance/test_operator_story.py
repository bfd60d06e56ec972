"""The operator's story on two real servers, as recorded: broken adapters are Failed within one pass over the pods."""

import json
from typing import Any

import pytest

from tests.conformance.operator_story import BROKEN, PODS, RECORDINGS

STORIES = sorted(RECORDINGS.glob("operator-*.json"))
_ONE_PASS = {"high-rank": ("AdapterExceedsLimits", PODS), "missing": ("ArtifactNotFound", PODS)}
"""Reason and loads where another pod might have taken it; all others are the adapter's own fault."""


def story(path: Any) -> dict[str, Any]:
    steps: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return steps


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_on_a_real_server_broken_adapters_are_failed_within_one_pass(path: Any) -> None:
    state = story(path)["broken ones"]
    assert {name: state[name]["phase"] for name in BROKEN} == dict.fromkeys(BROKEN, "Failed")
    seen = {name: (state[name]["reason"], state[name]["refused"]) for name in BROKEN}
    assert seen == {name: _ONE_PASS.get(name, ("InvalidAdapter", 1)) for name in BROKEN}


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_on_a_real_server_good_adapters_serve_on_every_pod_after_each_step(path: Any) -> None:
    for step, state in story(path).items():
        for name in state.keys() - BROKEN.keys():
            assert (state[name]["phase"], state[name]["instances"]) == ("Running", PODS), (step, name)
    assert story(path)["deletion"] == {}
