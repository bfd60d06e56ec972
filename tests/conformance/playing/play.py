"""Plays entries of the table to one engine."""

import json
from collections import deque
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path

from tests.conformance.adapters.artifacts import make_all
from tests.conformance.exchange import Case
from tests.conformance.playing.masking import Masker
from tests.conformance.playing.player import Answer, Player
from tests.conformance.profiles import PROFILES
from tests.conformance.recording import Recording
from tests.conformance.servers.engines import Engine, serving
from tests.conformance.stories import lifecycle, startup
from tests.conformance.table import Selection

_DEATH = "EngineCore encountered an issue"
"""Part of the error of every request whose engine core has died, see vLLM's `v1/engine/exceptions.py`."""


def play(engine: Engine, version: str, selection: Selection, folder: Path, report: Callable[[str], None]) -> Recording:
    """Return what the engine answers to the selected cases, and how it starts and ends.

    Args:
        folder: for the adapters, which are made unless they are there, and for the logs of servers.
        report: receives lines that tell how far it is.
    """
    loras = folder / "loras"
    if not loras.exists():
        make_all(loras)
    masker = Masker({str(loras): "<loras>", engine.model: "<model>", str(folder): "<folder>"})
    answers: dict[str, list[Answer]] = {}
    ordered = sorted(selection.cases, key=lambda case: case.profile)
    for profile, cases in groupby(ordered, key=lambda case: case.profile):
        answers |= _play_profile(engine, profile, list(cases), loras, masker, folder, report)
    if names := [*selection.startup, *selection.lifecycle]:
        report(", ".join(names))
    starts = startup.play(engine, selection.startup, masker, loras, folder)
    stories = lifecycle.play(engine, selection.lifecycle, masker, loras, folder)
    return Recording(version, selection.digests(), answers, starts, stories)


def _play_profile(
    engine: Engine,
    name: str,
    cases: list[Case],
    loras: Path,
    masker: Masker,
    folder: Path,
    report: Callable[[str], None],
) -> dict[str, list[Answer]]:
    """Play the cases of one profile; a case that ends the server is followed by a new server."""
    profile = PROFILES[name]
    headers = {"authorization": f"Bearer {profile.api_key}"} if profile.api_key else {}
    answers: dict[str, list[Answer]] = {}
    waiting = deque(cases)
    while waiting:
        report(f"{name}: {len(answers)} of {len(cases)} cases")
        with (
            serving(engine, profile, folder / f"{name}.log") as running,
            Player(running.url, str(loras), masker, headers) as player,
        ):
            while waiting:
                case = waiting.popleft()
                answers[case.name] = player.play(case)
                if _may_have_died(answers[case.name]) and not running.survives():
                    break
    return answers


def _may_have_died(answers: Iterable[Answer]) -> bool:
    """Return whether an engine that has just died could have given these answers."""
    return any("error" in answer or _DEATH in json.dumps(answer) for answer in answers)
