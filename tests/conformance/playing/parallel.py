"""Plays the table to the fake as several releases at once: in processes, a piece of the table at a time."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TypeVar

from tests.conformance.playing.play import Place, play, play_cases
from tests.conformance.recording import Recording, merge
from tests.conformance.servers.engines import fake_engine, fake_flags, fork_server_of_the_fake
from tests.conformance.servers.in_process import serving_in_process
from tests.conformance.servers.processes import ForkServer
from tests.conformance.table import TABLE, Selection

_Item = TypeVar("_Item")

_WORKERS_PER_CPU = 4
"""Most of the time a player waits: for the end of a server, or for a timeout."""
_ON_SOCKETS = (
    *("cases/routing/", "cases/authentication/"),
    *(f"cases/unusual/{group}/" for group in ("method", "query", "key", "header")),
)
"""Cases about paths, methods and headers; the others are played in this process and in virtual time."""
_CASES = 150
_STARTS = 8
"""Most cases and most start-ups of one piece."""


def play_to_fakes(chosen: Mapping[str, Selection]) -> dict[str, Recording]:
    """Return what the fake answers as each release, to the entries chosen for it."""
    tasks = [(version, [*piece.digests()]) for version, selection in chosen.items() for piece in _pieces(selection)]
    tasks.sort(key=lambda task: not task[1][0].startswith("lifecycle/"))  # the longest waits first
    names = {version: selection.digests() for version, selection in chosen.items()}
    workers = min(len(tasks), _WORKERS_PER_CPU * (os.cpu_count() or 1)) or 1
    played = {version: Recording(version, {}, {}) for version in chosen}
    with (
        tempfile.TemporaryDirectory(prefix="conformance-") as folder,
        ProcessPoolExecutor(workers, get_context("fork"), _begin, (folder,)) as pool,
    ):
        for part in pool.map(_play, *zip(*tasks, strict=True)):
            played[part.version] = merge(played[part.version], part, names[part.version])
    return played


def _pieces(selection: Selection) -> Iterator[Selection]:
    """Yield pieces that need no server in common, the long ones first."""
    stories = (Selection(lifecycle=[name]) for name in selection.lifecycle)
    yield from stories
    for on_sockets in (True, False):
        cases = [case for case in selection.cases if _needs_sockets(f"cases/{case.name}") is on_sockets]
        for part in Selection(cases).parts():
            yield from (Selection(cases=cases) for cases in _in_slices(part.cases, _CASES))
    yield from (Selection(startup=names) for names in _in_slices(selection.startup, _STARTS))


def _in_slices(items: Sequence[_Item], most: int) -> Iterator[list[_Item]]:
    rest = iter(items)
    while piece := list(islice(rest, most)):
        yield piece


_forks: ForkServer
_folder: Path


def _begin(folder: str) -> None:
    """Prepare a worker process: every one has its own fork server and folder."""
    global _forks, _folder
    _forks = fork_server_of_the_fake()
    Finalize(None, _forks.close, exitpriority=1)
    _folder = Path(folder) / str(os.getpid())
    _folder.mkdir()


def _play(version: str, names: list[str]) -> Recording:
    selection = TABLE.where(names)
    if any(_needs_sockets(name) for name in names):
        return play(fake_engine(_forks, version), version, selection, _folder, _ignore)
    place = Place.make(_folder, fake_flags(version)[0])
    answers = play_cases(partial(serving_in_process, version), selection.cases, place, _ignore)
    return Recording(version, selection.digests(), answers)


def _needs_sockets(name: str) -> bool:
    return not name.startswith("cases/") or name.startswith(_ON_SOCKETS)


def _ignore(progress: str) -> None:
    """Report nothing: a piece takes seconds."""
