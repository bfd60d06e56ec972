"""Progress on a terminal, on standard error; elsewhere nothing is printed, so that pipes and logs stay clean.

rich follows `NO_COLOR` and the width of the terminal.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from formats.durations import format_clock

if TYPE_CHECKING:
    from rich.console import Console

    from twin.scenario import Scenario

DRAWING = "drawing the report"


@contextmanager
def progress_bar(scenario: "Scenario", *, quiet: bool) -> Iterator[Callable[[float], None] | None]:
    """Show simulated time, and the time that the rest of the simulation takes."""
    console = None if quiet else _terminal()
    if console is None:
        yield None
        return
    from rich.markup import escape

    whole = format_clock(scenario.duration)

    def text(t: float) -> str:
        return f"{format_clock(t)} of {whole}" if t < scenario.duration else DRAWING

    with _bar(console, escape(scenario.name), scenario.duration) as update:
        yield lambda t: update(t, text(t))


@contextmanager
def share_bar(title: str) -> Iterator[Callable[[float, str], None]]:
    """Show the share of a task that is done, with a text, and the time left."""
    console = _terminal()
    if console is None:
        yield lambda _share, _text: None
        return
    from rich.markup import escape

    with _bar(console, escape(title), 1.0) as update:
        yield update


@contextmanager
def busy(text: str, *, quiet: bool = False) -> Iterator[None]:
    """Show what a command does for seconds, where no share of it is known."""
    console = None if quiet else _terminal()
    if console is None:
        yield
        return
    from rich.markup import escape

    with console.status(escape(text)):
        yield


@contextmanager
def _bar(console: "Console", title: str, total: float) -> Iterator[Callable[[float, str], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=total, text="")
        yield lambda done, text: progress.update(task, completed=done, text=text)


def _terminal() -> "Console | None":
    """Return a console on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    console = Console(stderr=True)
    return console if console.is_terminal else None
