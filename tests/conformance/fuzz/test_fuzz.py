"""Random bodies get from the fake what they got from a real vLLM: the same class of status, the same type of error."""

import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.fuzz import answers, conform, schema
from tests.conformance.fuzz.answers import Answer, Recording, read_answer
from tests.conformance.fuzz.bodies import COUNTS, Body, bodies, body
from tests.conformance.fuzz.schema import Schema
from tests.conformance.recording_files import RecordingError

NEWEST = "0.32.0"


@pytest.mark.parametrize("version", answers.versions())
def test_random_bodies_are_answered_as_the_real_server_answered_them(version: str) -> None:
    compared = conform.compare(version)
    different = [each for each in compared if not each.agrees]
    assert not [str(each) for each in different if not each.reason]
    assert {each.reason for each in different} == set(conform.EXPLAINED.values())
    assert not [each.body.name for each in compared if each.has_other_fields]
    assert len(compared) >= 5000


@pytest.fixture(scope="module")
def known() -> Schema:
    return schema.read(NEWEST)


@pytest.fixture(scope="module")
def listed(known: Schema) -> list[Body]:
    return list(bodies(known))


def test_every_field_of_the_schema_is_sent(known: Schema, listed: list[Body]) -> None:
    sent: Counter[tuple[str, str]] = Counter()
    for each in listed:
        try:
            value = json.loads(each.content)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            sent.update((each.route, name) for name in value)
    seldom = [(route, name) for route in COUNTS for name in known.fields(route) if sent[route, name] < 4]
    assert not seldom


def test_a_body_depends_on_its_route_and_number_alone(known: Schema, listed: list[Body]) -> None:
    assert body(known, "/tokenize", 7) in listed
    assert len({each.content for each in listed}) > 4000


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ((200, "application/json", b'{"a": [1, null]}'), Answer(200, shape=".a:list .a[]:integer .a[]:null :object")),
        ((200, "", b"Success"), Answer(200, shape="text")),
        (
            (200, "text/event-stream", b'data: {"choices": []}\n\ndata: [DONE]\n\n'),
            Answer(200, shape=".choices:0 .choices:list :object"),
        ),
        (
            (200, "text/event-stream", b'data: {"a": 1}\n\ndata: {"error": {"type": "T", "message": "m"}}\n\n'),
            Answer(200, "T", "m"),
        ),
        ((400, "application/json", b'{"error": {"type": "T", "message": "m"}}'), Answer(400, "T", "m")),
        ((400, "application/json", b'{"detail": "d"}'), Answer(400, "", "d")),
        ((500, "text/plain", b"Internal Server Error"), Answer(500, "", "Internal Server Error")),
    ],
)
def test_an_answer_is_its_status_and_its_error(response: tuple[int, str, bytes], answer: Answer) -> None:
    assert read_answer(*response) == answer


def _document(**changes: Any) -> bytes:
    document = {"format": 1, "version": "1.2.3", "generator": 1, "asked": {}, "shapes": [], "answers": {}, **changes}
    return gzip.compress(json.dumps(document).encode(), mtime=0)


DAMAGED = [
    (b"", "is not a recording"),
    (b"{}", "is not a recording"),
    (_document()[:-9], "is not a recording"),
    (_document(answers=[]), "is not a recording"),
    (_document(format=9), "has format 9"),
    (_document(version="1.2.4"), "is a recording of 1.2.4"),
    (_document(generator=0), "answers bodies of generator 0"),
    (None, "File not found"),
]


@pytest.mark.parametrize(("content", "message"), DAMAGED)
def test_a_damaged_recording_of_random_bodies_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    monkeypatch.setattr(answers, "FOLDER", tmp_path)
    if content is not None:
        answers.path_of("1.2.3").write_bytes(content)
    with pytest.raises(RecordingError, match=message) as refusal:
        answers.read("1.2.3")
    assert str(answers.path_of("1.2.3")) in str(refusal.value)


def test_a_recording_of_other_bodies_is_refused_by_name(known: Schema) -> None:
    asked = [body(known, "/tokenize", index) for index in range(3)]
    recording = Recording(NEWEST).with_route(asked, {each.name: Answer(200) for each in asked})
    conform.check_asked(recording, asked)
    with pytest.raises(RecordingError, match="answers other bodies of /tokenize"):
        conform.check_asked(recording, asked[:2])


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"version": "1.2.3"}', '{"version": "1", "routes": {}, "definitions": {}}'],
    ids=["empty", "a list", "a version only", "another version"],
)
def test_a_damaged_schema_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(schema, "FILES", replace(schema.FILES, folder=tmp_path))
    schema.FILES.path("1.2.3").write_text(content)
    with pytest.raises(RecordingError, match=r"vllm-1\.2\.3\.json is "):
        schema.read("1.2.3")
