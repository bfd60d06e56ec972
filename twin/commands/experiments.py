"""What the commands for many runs share: their options, and how their refusals are said."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from twin.commands.common import UsageError

if TYPE_CHECKING:
    from twin.experiments.execution.executors import Executor

File = Annotated[Path, typer.Argument(metavar="FILE", help="A scenario file.", show_default=False)]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override a value in all runs, repeatable.")
]
Jobs = Annotated[int, typer.Option(min=0, help="Processes; 0: as many as there are processors.")]
ExecutorName = Annotated[Literal["joblib", "dask", "ray"], typer.Option(help="What spreads the runs.")]
Address = Annotated[str, typer.Option(metavar="URL", help="A Dask scheduler or Ray cluster that is there already.")]


@contextmanager
def open_executor(engine: Literal["joblib", "dask", "ray"], jobs: int, address: str) -> Iterator["Executor"]:
    """An executor for as long as the context lasts."""
    from twin.experiments.execution.executors import executor
    from twin.experiments.execution.runner import default_jobs

    with executor(engine, jobs or default_jobs(), address) as execute:
        yield execute


@contextmanager
def usage_errors() -> Iterator[None]:
    """What can be wrong with an experiment, as lines for a person."""
    from twin.experiments.design import DesignErrors
    from twin.experiments.execution.executors import ExecutorError
    from twin.experiments.execution.results import StoreError
    from twin.runs.folder import FolderError

    try:
        yield
    except DesignErrors as errors:
        raise UsageError(*errors.args) from None
    except (ExecutorError, FolderError, StoreError) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{error.filename or 'the results'}: cannot be written: {error.strerror or error}") from None


def parse_share(option: str, text: str) -> float:
    """`5%` or `0.05`."""
    body, percent, rest = text.strip().partition("%")
    try:
        value = float(body) / (100 if percent else 1)
    except ValueError:
        value = 0.0
    if rest or not 0 < value < 1:
        raise UsageError(f"{option} {text}: is not a share; allowed: above 0 % and below 100 %, for example 5% or 0.05")
    return value
