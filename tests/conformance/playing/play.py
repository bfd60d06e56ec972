"""Plays entries of the table to one engine."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

import httpx

from tests.conformance.adapters.artifacts import make_all
from tests.conformance.exchange import Case, Profile
from tests.conformance.playing.masking import Masker
from tests.conformance.playing.player import Answer, Player
from tests.conformance.profiles import PROFILES
from tests.conformance.recording import Recording
from tests.conformance.servers.engines import Engine, serving
from tests.conformance.stories import lifecycle, startup
from tests.conformance.table import Selection

_DEATH = "EngineCore encountered an issue"
"""Part of the error of every request whose engine core has died, see vLLM's `v1/engine/exceptions.py`."""

Report = Callable[[str], None]
"""Receives lines that tell how far a play is."""


class Server(Protocol):
    """A server that answers; `client` sends requests to it."""

    @property
    def client(self) -> httpx.Client: ...

    def survives(self) -> bool:
        """Return whether the server stays healthy; wait for its end if it does not."""
        ...


Serve = Callable[[Profile], AbstractContextManager[Server]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a play takes place.

    Attributes:
        loras: folder of the adapters.
        logs: folder of the servers' output.
        masker: masks the answers.
    """

    loras: Path
    logs: Path
    masker: Masker

    @classmethod
    def make(cls, folder: Path, model: str) -> "Place":
        """Return the place in `folder`; its adapters are made unless they are there."""
        loras = folder / "loras"
        if not loras.exists():
            make_all(loras)
        return cls(loras, folder, Masker({str(loras): "<loras>", model: "<model>", str(folder): "<folder>"}))


def play(engine: Engine, version: str, selection: Selection, folder: Path, report: Report) -> Recording:
    """Return what the engine answers to the selected cases, and how it starts and ends.

    Args:
        folder: for the adapters, which are made unless they are there, and for the logs of servers.
        report: told about each profile and each story.
    """
    place = Place.make(folder, engine.model)

    def serve(profile: Profile) -> AbstractContextManager[Server]:
        return serving(engine, profile, folder / f"{profile.name}.log")

    answers = play_cases(serve, selection.cases, place, report)
    if names := [*selection.startup, *selection.lifecycle]:
        report(", ".join(names))
    starts = startup.play(engine, selection.startup, place.masker, place.loras, folder)
    stories = lifecycle.play(engine, selection.lifecycle, place.masker, place.loras, folder)
    return Recording(version, selection.digests(), answers, starts, stories)


def play_cases(serve: Serve, cases: Sequence[Case], place: Place, report: Report) -> Mapping[str, list[Answer]]:
    """Return the answers to cases, each played to a server of its profile."""
    answers: dict[str, list[Answer]] = {}
    ordered = sorted(cases, key=lambda case: case.profile)
    for profile, group in groupby(ordered, key=lambda case: case.profile):
        answers |= _play_profile(serve, PROFILES[profile], list(group), place, report)
    return answers


def _play_profile(
    serve: Serve, profile: Profile, cases: list[Case], place: Place, report: Report
) -> dict[str, list[Answer]]:
    """Play the cases of one profile; a case that ends the server is followed by a new server."""
    headers = {"authorization": f"Bearer {profile.api_key}"} if profile.api_key else {}
    answers: dict[str, list[Answer]] = {}
    waiting = deque(cases)
    while waiting:
        report(f"{profile.name}: {len(answers)} of {len(cases)} cases")
        with serve(profile) as server:
            player = Player(server.client, str(place.loras), place.masker, headers)
            while waiting:
                case = waiting.popleft()
                answers[case.name] = player.play(case)
                if _may_have_died(answers[case.name]) and not server.survives():
                    break
    return answers


def _may_have_died(answers: Iterable[Answer]) -> bool:
    """Return whether an engine that has just died could have given these answers."""
    return any("error" in answer or _DEATH in json.dumps(answer) for answer in answers)
