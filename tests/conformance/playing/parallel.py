"""Plays the table to the fake as several releases at once: in processes, a piece of the table at a time."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TypeVar

from tests.conformance.playing.play import play
from tests.conformance.recording import Recording, merge
from tests.conformance.servers.engines import fake_engine, fork_server_of_the_fake
from tests.conformance.servers.processes import ForkServer
from tests.conformance.table import TABLE, Selection

_Item = TypeVar("_Item")

_WORKERS_PER_CPU = 2
"""Half of the time a player waits: for the end of a server, or for a timeout."""
_CASES = 150
_STARTS = 8
"""Most cases and most start-ups of one piece."""


def play_to_fakes(versions: Sequence[str], selection: Selection) -> dict[str, Recording]:
    """Return what the fake answers as each of the releases."""
    pieces = [[*piece.digests()] for piece in _pieces(selection)]
    tasks = [(version, piece) for piece in pieces for version in versions]
    workers = min(len(tasks), _WORKERS_PER_CPU * (os.cpu_count() or 1)) or 1
    played = {version: Recording(version, {}, {}) for version in versions}
    with (
        tempfile.TemporaryDirectory(prefix="conformance-") as folder,
        ProcessPoolExecutor(workers, get_context("fork"), _begin, (folder,)) as pool,
    ):
        for part in pool.map(_play, *zip(*tasks, strict=True)):
            played[part.version] = merge(played[part.version], part, selection.digests())
    return played


def _pieces(selection: Selection) -> Iterator[Selection]:
    """Yield pieces that need no server in common, the long ones first."""
    stories = (Selection(lifecycle=[name]) for name in selection.lifecycle)
    yield from stories
    for part in Selection(selection.cases).parts():
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
    return play(fake_engine(_forks, version), version, TABLE.where(names), _folder, lambda _: None)
