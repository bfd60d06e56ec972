"""The operator's story on real vLLM servers, as recorded: what it has to show, and that the twin shows the same."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from tests.conformance.operator_story import recording, simulated
from tests.conformance.operator_story.recording import Changes
from tests.conformance.operator_story.story import BROKEN, CHANGED, ENGINES, GOOD, OTHER, State
from tests.conformance.recording_files import RecordingError
from tests.conformance.stories import prefix_cache
from twin.evaluate import invariants
from twin.trace.lines import Line

VERSIONS = recording.FILES.versions()
_ELSEWHERE = {"high-rank": "AdapterExceedsLimits", "missing": "ArtifactNotFound"}
"""Broken adapters that another pod might take, so that each pod is asked once; the others are asked once in all."""


def states(recorded: Changes, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each new state of an adapter, with its step."""
    for step, changed in recorded.items():
        if state := changed.get(name):
            yield step, state


@cache
def simulated_story(version: str) -> tuple[dict[str, State], Sequence[Line]]:
    return simulated.play(version)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_twin_plays_the_story_as_the_real_servers_did(version: str) -> None:
    steps, _ = simulated_story(version)
    assert list(recording.differences(recording.read(version), recording.changes(steps))) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_on_real_servers_a_broken_adapter_is_failed_within_one_pass_over_the_pods(version: str) -> None:
    recorded = recording.read(version)
    for name in BROKEN:
        _, state = next(states(recorded, name))
        refused = ["0 loaded, 1 refused"] * (len(ENGINES) if name in _ELSEWHERE else 1)
        assert (state["phase"], list(state["loads"].values())) == ("Failed", refused), name
        reason = _ELSEWHERE.get(name, "InvalidAdapter")
        assert (state["conditions"]["Ready"], state["warnings"]) == (f"False {reason}", ["LoadFailed"])
    _, state = next(states(recorded, "no-lora"))
    assert (state["phase"], state["conditions"]["Ready"]) == ("Failed", "False LoRANotEnabled")
    assert "--enable-lora" in state["message"]


@pytest.mark.parametrize("version", VERSIONS)
def test_on_real_servers_answers_come_from_the_artifact_in_the_spec(version: str) -> None:
    assert_right_weights(recording.read(version))


@pytest.mark.parametrize("version", prefix_cache.FILES.versions())
def test_in_the_twin_they_do_so_on_every_release_with_recorded_weights(version: str) -> None:
    steps, lines = simulated_story(version)
    assert_right_weights(recording.changes(steps))
    assert invariants.check(lines).violations == ()


def assert_right_weights(recorded: Changes) -> None:
    """Check the answers: in the development mode always; elsewhere, or the operator says that they are mixed."""
    changed, artifact = CHANGED
    for name, folder in GOOD.items():
        current = folder
        for step, state in states(recorded, name):
            current = artifact if (step, name) == ("changed artifact", changed) else current
            assert state["answers"][ENGINES[0]] == current, (step, name)
            if state["answers"][ENGINES[1]] != current:
                assert (state["answers"][ENGINES[1]], "StalePrefixCache" in state["warnings"]) == (OTHER, True)


def test_a_recording_of_another_version_is_refused_by_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "FILES", replace(recording.FILES, folder=tmp_path))
    recording.write("0.28.0", {"a step": {"it": None}})
    recording.FILES.path("0.28.0").rename(recording.FILES.path("0.29.0"))
    with pytest.raises(RecordingError, match=r"operator-0\.29\.0\.json"):
        recording.read("0.29.0")
