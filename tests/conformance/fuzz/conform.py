"""`make conform-fuzz`: plays the random bodies to the fake, and lists what it answers otherwise than real vLLM."""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tests.conformance.adapters.artifacts import make_all
from tests.conformance.fuzz import answers as recorded
from tests.conformance.fuzz import schema
from tests.conformance.fuzz.answers import Answer, Recording
from tests.conformance.fuzz.bodies import Body, bodies
from tests.conformance.fuzz.fake import play_to_fake
from tests.conformance.recording_files import RecordingError

EXPLAINED: Mapping[bytes, str] = {
    b"\\ud800": "half of a surrogate pair, which no answer in UTF-8 can hold, is read as a question mark",
    b'{"choice": ["a", "a"]}, "allowed_token_ids": [11]': "no allowed token fits, which a server finds as it samples",
    b'{"regex": "\\\\p{L}"}': "classes of Unicode characters are not supported",
}
"""Bodies that the fake answers otherwise: what they have in common, and the reason."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two answers to one body."""

    body: Body
    real: Answer
    fake: Answer

    @property
    def agrees(self) -> bool:
        return self.real.agrees(self.fake)

    @property
    def has_other_fields(self) -> bool:
        """Fields differ. Those of responses and messages are not compared: an empty text has none there."""
        by_chance = self.body.route.startswith(("/v1/responses", "/v1/messages"))
        return self.agrees and not by_chance and self.real.shape != self.fake.shape

    @property
    def reason(self) -> str:
        """Why the answers differ; empty if it is not known."""
        return next((reason for part, reason in EXPLAINED.items() if part in self.body.content), "")

    def __str__(self) -> str:
        return f"{self.body.name}: real {self.real}, fake {self.fake}"


def compare(version: str) -> list[Compared]:
    """Return the answers of a release and of the fake to every recorded body.

    Raises:
        RecordingError: if the recording is of other bodies.
    """
    recording = recorded.read(version)
    asked = list(bodies(schema.read(version)))
    check_asked(recording, asked)
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        make_all(Path(name))
        played = play_to_fake(version, asked, Path(name))
    return [Compared(body, recording.answers[body.route][body.label], played[body.name]) for body in asked]


def check_asked(recording: Recording, asked: list[Body]) -> None:
    """Check that a recording answers these bodies.

    Raises:
        RecordingError: if it answers others.
    """
    for route, group in groupby(asked, key=lambda body: body.route):
        listed = list(group)
        labels = {body.label for body in listed}
        if recording.asked.get(route) != recorded.digest(listed) or set(recording.answers[route]) != labels:
            path = recorded.path_of(recording.version)
            raise RecordingError(f"{path} answers other bodies of {route}; record them with `make record-fuzz`")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.fuzz.conform", description=__doc__)
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="releases; without any, all that are recorded")
    parser.add_argument("--bodies", action="store_true", help="print the bodies, too")
    options = parser.parse_args()
    total = 0
    for version in options.versions or recorded.versions():
        try:
            compared = compare(version)
        except RecordingError as error:
            print(error, file=sys.stderr)
            return 2
        different = [each for each in compared if not each.agrees]
        for each in different:
            print(f"{each}{f'  [{each.reason}]' if each.reason else ''}")
            if options.bodies:
                print(f"    {each.body.content[:600].decode(errors='replace')}")
        other_fields = [each for each in compared if each.has_other_fields]
        for each in other_fields:
            print(f"{each.body.name}: other fields: {each.real.differing_fields(each.fake)}")
        total += sum(not each.reason for each in different) + len(other_fields)
        print(_summary(version, compared))
    return 1 if total else 0


def _summary(version: str, compared: list[Compared]) -> str:
    classes = Counter(f"{each.real.status // 100}xx" if each.real.status else each.real.type for each in compared)
    listed = ", ".join(f"{count} {name}" for name, count in sorted(classes.items()))
    different = [each for each in compared if not each.agrees]
    unexplained = sum(not each.reason for each in different)
    fields = sum(each.has_other_fields for each in compared)
    words = sum(each.agrees and each.real.message != each.fake.message for each in compared)
    return (
        f"vLLM {version}: {len(compared)} bodies ({listed}), {len(different)} answered with another status or error"
        f" type, {unexplained} of them without a known reason; {fields} with other fields, {words} in other words"
    )


if __name__ == "__main__":
    sys.exit(main())
