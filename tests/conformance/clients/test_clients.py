"""Outcomes of well-known clients on a real vLLM are recorded, and compared place by place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.clients import outcomes
from tests.conformance.clients.conform import differences
from tests.conformance.clients.driver import CLIENTS, Step
from tests.conformance.recording_files import RecordingError
from tests.conformance.table import TABLE

SENT = [{"method": "GET", "path": "/v1/models"}]


@pytest.mark.parametrize("version", outcomes.FILES.versions())
def test_every_recorded_step_has_its_requests_in_the_table(version: str) -> None:
    recorded = outcomes.read(version)
    assert {name.split("/")[0] for name in recorded} == set(CLIENTS)
    assert set(recorded) == set(outcomes.requests())
    assert {f"clients/{name}" for name, sent in outcomes.requests().items() if sent} <= {c.name for c in TABLE.cases}


def test_every_client_was_installed() -> None:
    recorded = outcomes.read(outcomes.FILES.versions()[-1])
    raised = {name: outcome["raises"] for name, outcome in recorded.items() if "raises" in (outcome or ())}
    assert not {name: error for name, error in raised.items() if error.startswith("builtins.")}


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ([Step("c/s", SENT, {"a": 1})], []),
        ([Step("c/s", SENT, {"a": 2})], ["c/s got.a: real 1, fake 2"]),
        ([Step("c/s", [], {"a": 1})], ["c/s sent: real [{'method': 'GET', 'path': '/v1/models'}], fake []"]),
        ([], ["c/s : real {'a': 1}, fake '<absent>'"]),
        ([Step("c/s", SENT, {"a": 1}), Step("c/t", [], 1)], ["c/t : real '<absent>', fake 1"]),
    ],
)
def test_differences_name_the_step_and_the_place(steps: list[Step], found: list[str]) -> None:
    assert [str(each) for each in differences({"c/s": {"a": 1}}, {"c/s": SENT}, steps)] == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a recording"),
        ("[]", "is not a recording"),
        ('{"version": "1.2.3"}', "is not a recording"),
        ('{"version": "1.2.4", "outcomes": {}}', r"is a recording of 1\.2\.4"),
        (None, "File not found"),
    ],
)
def test_damaged_outcomes_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, message: str
) -> None:
    monkeypatch.setattr(outcomes, "FILES", replace(outcomes.FILES, folder=tmp_path))
    path = outcomes.FILES.path("1.2.3")
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecordingError, match=message) as refusal:
        outcomes.read("1.2.3")
    assert str(path) in str(refusal.value)
