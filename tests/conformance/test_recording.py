"""Recordings: written, read, merged, refused; and the differences between two of them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import conform, recording
from tests.conformance.comparison.compare import differences
from tests.conformance.comparison.kinds import by_kind
from tests.conformance.recording import Recording, merge, path_of, read, write
from tests.conformance.recording_files import RecordingError

GOOD: dict[str, Any] = {
    "format": 3,
    "version": "1.2.3",
    "request_digests": {"cases/a": "d", "startup/s": "d"},
    "startup": {"s": {"exit": 1, "error": ""}},
    "lifecycle": {},
    "cases": {"a": [{"status": 200}]},
}


def _cases(digest: str = "digest", **answers: Any) -> Recording:
    return Recording("1.0.0", {f"cases/{name}": digest for name in answers}, answers)


def test_differences_name_the_place_and_both_values() -> None:
    real = _cases(a=[{"status": 400, "json": {"error": {"type": "X", "code": 1}}}])
    fake = _cases(a=[{"status": 400, "json": {"error": {"type": "Y"}}}])
    assert [str(difference) for difference in differences(real, fake)] == [
        "cases/a [0].json.error.type: real 'X', fake 'Y'",
        "cases/a [0].json.error.code: real 1, fake '<absent>'",
    ]


def test_true_is_not_one() -> None:
    assert differences(_cases(a=[{"x": True}]), _cases(a=[{"x": 1}]))


def test_answers_to_different_requests_are_not_compared() -> None:
    assert not differences(_cases("old", a=[{"x": 1}]), _cases("new", a=[{"x": 2}]))


def test_a_kind_counts_its_places_and_a_status_hides_what_follows_from_it() -> None:
    real = _cases(a=[{"status": 200, "json": {"x": 1}}], b=[{"status": 200, "json": {"x": 1}}, {"status": 400}])
    fake = _cases(a=[{"status": 200, "json": {}}], b=[{"status": 200, "json": {}}, {"status": 500, "json": {}}])
    titles = [(kind.places, kind.title) for kind in by_kind(differences(real, fake))]
    assert titles == [(2, "[].json.x: fake has none"), (1, "cases/b [].status: real 400, fake 500")]


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / path_of("1.2.3").name
    path.write_text(json.dumps(GOOD))
    first = read(path)
    write(first, path)
    assert read(path) == first


def test_merging_keeps_what_was_not_played_again_and_drops_what_left_the_table() -> None:
    old = _cases("old", kept=[1], replaced=[1], gone=[1])
    merged = merge(old, _cases("new", replaced=[2]), ["cases/kept", "cases/replaced"])
    assert merged == Recording("1.0.0", {"cases/kept": "old", "cases/replaced": "new"}, {"kept": [1], "replaced": [2]})


DAMAGED = [
    ("", "is not a recording"),
    ("[]", "is not a recording"),
    ("{}", "is not a recording"),
    (json.dumps(GOOD)[:-5], "is not a recording"),
    (json.dumps({**GOOD, "cases": []}), "cases is not an object"),
    (json.dumps({**GOOD, "cases": {"a": None}}), "cases/a: Expected `array`, got `null`"),
    (json.dumps({**GOOD, "startup": {"s": 7}}), "startup/s: Expected `object`, got `int`"),
    (json.dumps({**GOOD, "startup": {"s": {"exit": "1", "error": ""}}}), r"startup/s: Expected `int .*\$\.exit"),
    (json.dumps({**GOOD, "cases": {"a": [{}]}}), "cases/a: an answer needs a status or an error"),
    (json.dumps({**GOOD, "cases": {"a": [{"status": "200"}]}}), r"cases/a: Expected `int`, got `str` - at `\$\[0\]"),
    (json.dumps({**GOOD, "cases": {"a": [{"status": 200, "headers": {"x": 1}}]}}), r"\$\[0\]\.headers"),
    (json.dumps({**GOOD, "cases": {"a": [{"status": 200, "sttus": 1}]}}), "cases/a: .*unknown field `sttus`"),
    (json.dumps({**GOOD, "request_digests": {}, "cases": {}, "startup": {}}), "it is empty"),
    (json.dumps({**GOOD, "format": True}), "has format True"),
    (json.dumps({**GOOD, "version": 1.2}), "its version is not a text: 1.2"),
    ("[" * 100_000, "is not a recording"),
    (json.dumps({**GOOD, "format": 9}), "has format 9"),
    (json.dumps({**GOOD, "version": "1.2.4"}), "is a recording of 1.2.4"),
    (json.dumps({**GOOD, "cases": {}}), "is damaged at cases/a"),
    (None, "File not found"),
]


@pytest.mark.parametrize(("text", "message"), DAMAGED)
def test_a_damaged_recording_is_refused_by_name(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / path_of("1.2.3").name
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecordingError, match=message) as refusal:
        read(path)
    assert str(path) in str(refusal.value)


def test_a_recording_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / path_of("1.2.3").name
    path.mkdir()
    with pytest.raises(RecordingError, match=r"vllm-1\.2\.3\.json is not a recording: .*Is a directory"):
        read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "vllm-1.2.3.json is not a recording"),
        (json.dumps({**GOOD, "version": "1.2.4"}), "vllm-1.2.3.json is a recording of 1.2.4"),
        (json.dumps({**GOOD, "cases": {}}), "vllm-1.2.3.json is damaged at cases/a"),
    ],
)
def test_conform_refuses_a_recording_that_is_damaged_or_of_another_version_in_one_line(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vllm-1.2.3.json").write_text(text)
    monkeypatch.setattr(recording, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["conform", "1.2.3"])
    assert conform.main() == 2
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1
    assert message in printed[0]
