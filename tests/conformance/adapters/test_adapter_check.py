"""The fake's check of an adapter folder, held against what real servers answered to a load of it."""

import re
from pathlib import Path
from typing import Any

import pytest

from fake_vllm.engine.versions import VersionQuirks
from fake_vllm.http.sanitize import sanitize
from fake_vllm.peft.base_model import ModelShape
from fake_vllm.peft.folder import AdapterCheck, read_adapter
from fake_vllm.peft.rules import AdapterRefusedError
from tests.conformance import recording
from tests.conformance.adapters.artifacts import CATALOGUE, make_all
from tests.conformance.playing.masking import Masker

MODEL = str(Path(__file__).parents[1] / "data" / "tiny")
RANK = 16
_WRAPPED = re.compile(
    r"Call to add_lora method failed: (?:Worker failed with error '(?P<worker>.*)', please check the stack trace above"
    r" for the root cause|(?P<text>.*))",
    re.DOTALL,
)
_SET = re.compile(r"\{('\w+'(?:, '\w+')*)\}")


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapters") / "loras"
    make_all(root)
    return root


@pytest.mark.parametrize("version", recording.versions())
def test_every_folder_is_taken_or_refused_as_the_release_did(version: str, loras: Path) -> None:
    cases = recording.read(recording.path_of(version)).cases
    quirks = VersionQuirks.of(version)
    check = AdapterCheck(ModelShape.read(MODEL), RANK, quirks.peft)
    masker = Masker({str(loras): "<loras>"})
    recorded = {name: cases[f"loading/folder/{name}"][0] for name in CATALOGUE if f"loading/folder/{name}" in cases}
    assert recorded
    expected = {name: _outcome(answer) for name, answer in recorded.items()}
    assert {name: _judged(loras / name, check, masker, quirks.hides_paths) for name in recorded} == expected


def _outcome(answer: dict[str, Any]) -> str:
    """Return `taken`, `not found`, or the text of the refusal, without what a server puts around it."""
    if answer["status"] in (200, 404):
        return "taken" if answer["status"] == 200 else "not found"
    message = answer["json"]["error"]["message"]
    wrapped = _WRAPPED.fullmatch(message)
    return _comparable(next(text for text in wrapped.groups() if text is not None) if wrapped else message)


def _judged(folder: Path, check: AdapterCheck, masker: Masker, hides_paths: bool) -> str:
    try:
        return "not found" if read_adapter(folder, check) is None else "taken"
    except AdapterRefusedError as error:
        return _comparable(masker.text(sanitize(f" {error} ", hides_paths=hides_paths)))


def _comparable(text: str) -> str:
    """Return a text with the names of each set in order, which is chance in vLLM."""
    return _SET.sub(lambda match: str(sorted(match[1].split(", "))), text).strip()
