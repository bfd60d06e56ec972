"""Invariant 10: which engines and operators it accuses, and which not."""

from pathlib import Path
from typing import Any

import pytest

from controller.reconcile import replica_state
from fake_vllm.engine.adapters.registry import LoraRegistry
from fake_vllm.engine.lora import LoraIdentity
from fake_vllm.engine.runner import ModelRunner
from tests.mutants.weights import WEIGHT_WORLDS, changed_artifact, mixed


@pytest.mark.parametrize("name", WEIGHT_WORLDS)
def test_a_correct_operator_is_not_accused_when_an_artifact_changes_under_traffic(name: str, tmp_path: Path) -> None:
    assert WEIGHT_WORLDS[name](tmp_path) == ""


def test_an_engine_that_lists_an_adapter_and_answers_from_the_base_model_is_accused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def base(self: LoraRegistry, _: str) -> LoraIdentity:
        return self._base

    monkeypatch.setattr(LoraRegistry, "identify", base)
    _, wrong = changed_artifact(tmp_path, image="vllm/vllm-openai:v0.32.0")
    assert wrong.startswith("10: default/a-0 default/")
    assert "while the engine listed" in wrong


def test_an_operator_that_takes_any_artifact_for_the_wanted_one_is_accused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_state, "artifact_of", lambda _: "the same")
    _, wrong = changed_artifact(tmp_path, image="vllm/vllm-openai:v0.32.0")
    assert wrong.startswith("10: ")
    assert "though it says that it serves" in wrong


def test_an_engine_that_keeps_its_prefix_cache_when_told_to_reset_it_is_accused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretend(*_: Any, **__: Any) -> bool:
        return True

    monkeypatch.setattr(ModelRunner, "reset_prefix_cache", pretend)
    lines, wrong = changed_artifact(tmp_path, env={"VLLM_SERVER_DEV_MODE": "1"})
    assert mixed(lines)
    assert wrong.startswith("10: ")
    assert "answers with cached prefixes of" in wrong
