"""Answers to the random bodies: status, error type, first words of the message; packed, one file for each release."""

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from tests.conformance.fuzz.bodies import GENERATOR, Body
from tests.conformance.fuzz.shapes import shape_of
from tests.conformance.recording_files import RecordingError, check_entries, check_head, refusals

FOLDER = Path(__file__).parent / "answers"
_FORMAT = 1
BROKEN = "broken"
"""In place of a content type, and as type of an error: a stream that ends in the middle."""
_WORDS = 80  # characters of a message
_Packed = tuple[int, str, str, Annotated[int, msgspec.Meta(ge=0)]]
"""Status, type, message, and number of the shape."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer of a server to one body.

    Attributes:
        status: 0 if there was no answer.
        type: type of the error, of its event in a stream; `broken` for a stream without its end; `died` if the body
            ended the server; empty without an error.
        message: first words of the error; with `died`, the exit code.
        shape: fields of a successful answer and their types; empty for an error.
    """

    status: int
    type: str = ""
    message: str = ""
    shape: str = ""

    def agrees(self, other: "Answer") -> bool:
        """Return whether the class of the status and the type of the error are the same."""
        return (self.status // 100, self.type) == (other.status // 100, other.type)

    def differing_fields(self, other: "Answer") -> str:
        """Return the fields that one of two answers has alone, marked with `-` if it is this one, else with `+`."""
        one, two = set(self.shape.split()), set(other.shape.split())
        return " ".join([*(f"-{word}" for word in sorted(one - two)), *(f"+{word}" for word in sorted(two - one))])

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.status), self.type, repr(self.message) if self.message else "")))


@dataclass(frozen=True, slots=True)
class Recording:
    """Answers of one release.

    Attributes:
        generator: number of the way in which the bodies were made.
        asked: digest of a route's bodies, by route.
        answers: by route and label of the body.
    """

    version: str
    generator: int = GENERATOR
    asked: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Mapping[str, Answer]] = field(default_factory=dict)

    def with_route(self, bodies: list[Body], answers: Mapping[str, Answer]) -> "Recording":
        """Return the recording with the answers to all bodies of one route."""
        route = bodies[0].route
        return Recording(
            self.version,
            self.generator,
            {**self.asked, route: digest(bodies)},
            {**self.answers, route: {body.label: answers[body.name] for body in bodies}},
        )


def digest(bodies: Iterable[Body]) -> str:
    """Return a digest of bodies, to recognize that they are no longer those that were recorded."""
    sha = hashlib.sha256()
    for body in bodies:
        sha.update(len(body.content).to_bytes(8, "big") + body.content)
    return sha.hexdigest()[:16]


def read_answer(status: int, content_type: str, content: bytes) -> Answer:
    """Return the answer that a response holds."""
    if content_type == BROKEN:
        return Answer(status, BROKEN)
    if content_type.startswith("text/event-stream"):
        for line in content.decode().split("\n"):
            if line.startswith("data: {") and (answer := _error_of(status, json.loads(line[6:]))).type:
                return answer
    if status < 400:
        return Answer(status, shape=shape_of(content_type, content))
    try:
        return _error_of(status, json.loads(content))
    except ValueError:
        return Answer(status, "", _first_words(content.decode(errors="replace")))


def _error_of(status: int, value: Any) -> Answer:
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict):
        return Answer(status, error["type"], _first_words(error["message"]))
    detail = value.get("detail") if isinstance(value, dict) else None
    return Answer(status, "", _first_words(str(detail)) if detail is not None else "")


def _first_words(message: str) -> str:
    return message[:_WORDS].encode(errors="replace").decode()


def path_of(version: str) -> Path:
    return FOLDER / f"vllm-{version}.json.gz"


def versions() -> list[str]:
    """Return the releases that have a recording, oldest first."""
    names = [path.name.removeprefix("vllm-").removesuffix(".json.gz") for path in FOLDER.glob("vllm-*.json.gz")]
    return sorted(names, key=lambda version: [int(part) for part in version.split(".")])


def write(recording: Recording) -> None:
    """Write a recording; the same answers give the same bytes."""
    FOLDER.mkdir(exist_ok=True)
    shapes = sorted({answer.shape for answers in recording.answers.values() for answer in answers.values()})
    number = {shape: index for index, shape in enumerate(shapes)}
    document = {
        "format": _FORMAT,
        "version": recording.version,
        "generator": recording.generator,
        "asked": recording.asked,
        "shapes": shapes,
        "answers": {
            route: {
                label: [answer.status, answer.type, answer.message, number[answer.shape]]
                for label, answer in answers.items()
            }
            for route, answers in recording.answers.items()
        },
    }
    packed = gzip.compress(json.dumps(document, sort_keys=True).encode(), mtime=0)
    temporary = path_of(recording.version).with_suffix(".part")
    temporary.write_bytes(packed)
    temporary.rename(path_of(recording.version))


def read(version: str) -> Recording:
    """Read the recording of a release.

    Raises:
        RecordingError: if the file is missing, damaged, of another version than its name says, or of other bodies.
    """
    path = path_of(version)
    with refusals(path, f"make record-fuzz VLLM={version}"):
        document = json.loads(gzip.decompress(path.read_bytes()))
        check_head(path, document, _FORMAT)
        check_entries(document["asked"], "asked", str)
        check_entries(document["answers"], "answers", dict[str, _Packed])
        shapes, generator = msgspec.convert((document["shapes"], document["generator"]), tuple[list[str], int])
        answers = {
            route: {label: Answer(*item[:3], shape=shapes[item[3]]) for label, item in items.items()}
            for route, items in document["answers"].items()
        }
        recording = Recording(version, generator, document["asked"], answers)
    if recording.generator != GENERATOR:
        raise RecordingError(
            f"{path} answers bodies of generator {recording.generator}; this checkout makes those of {GENERATOR}"
        )
    if not recording.answers or recording.answers.keys() != recording.asked.keys():
        raise RecordingError(f"{path} has no answers to what it asked; make it again with `make record-fuzz`")
    return recording
