"""Requests of the clients, and what they got from a real server, as JSON files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tests.conformance.clients.driver import Step
from tests.conformance.clients.proxy import Sent
from tests.conformance.recording_files import Files, check_entries, refusals

FILES = Files(
    Path(__file__).parent / "outcomes", "vllm", "record-clients", entries=dict[str, Any] | list[Any] | str | None
)
REQUESTS = Path(__file__).parent / "requests.json"


def write(version: str, steps: list[Step]) -> None:
    """Write the requests and the outcomes of a release, one step a line."""
    path = FILES.path(version)
    path.parent.mkdir(exist_ok=True)
    lines = [f"  {json.dumps(step.name)}: {json.dumps(step.outcome)}" for step in steps]
    path.write_text(f'{{"version": "{version}", "outcomes": {{\n' + ",\n".join(lines) + "\n}}\n", encoding="utf-8")
    lines = [f"  {json.dumps(step.name)}: {json.dumps(step.sent)}" for step in steps]
    REQUESTS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read(version: str) -> Mapping[str, Any]:
    """Return the outcome of each step.

    Raises:
        RecordingError: if the file is missing, damaged, or of another version than its name says.
    """
    outcomes: Mapping[str, Any] = FILES.read(version, "outcomes")["outcomes"]
    return outcomes


def requests() -> Mapping[str, list[Sent]]:
    """Return the requests of each step.

    Raises:
        RecordingError: if the file is missing or damaged.
    """
    with refusals(REQUESTS, "make record-clients VLLM=VERSION"):
        sent: Mapping[str, list[Sent]] = json.loads(REQUESTS.read_bytes())
        check_entries(sent, "requests", list[_Request])
    return sent


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    """One of the `Sent`."""

    method: str
    path: str
    json: dict[str, Any] | UnsetType = UNSET
