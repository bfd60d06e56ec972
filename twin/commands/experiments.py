"""What the commands for many runs share: their options, and how their refusals are said."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from twin.commands.common import UsageError

if TYPE_CHECKING:
    from twin.experiments.execution.executors import Execute

File = Annotated[Path, typer.Argument(metavar="FILE", help="A scenario file.", show_default=False)]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override a value in all runs, repeatable.")
]
Jobs = Annotated[int, typer.Option(min=0, help="Processes; 0: as many as there are processors.")]
EngineName = Annotated[Literal["joblib", "dask", "ray"], typer.Option(help="What spreads the runs.")]
Address = Annotated[str, typer.Option(metavar="URL", help="A Dask scheduler or Ray cluster that is there already.")]


@contextmanager
def workers_of(engine: Literal["joblib", "dask", "ray"], jobs: int, address: str) -> Iterator["Execute"]:
    """An executor for as long as the context lasts."""
    from twin.experiments.execution.executors import executor
    from twin.experiments.execution.runner import jobs_here

    with executor(engine, jobs or jobs_here(), address) as execute:
        yield execute


@contextmanager
def experiment_faults() -> Iterator[None]:
    """What can be wrong with an experiment, as lines for a person."""
    from twin.experiments.design import DesignErrors
    from twin.experiments.execution.executors import EngineError
    from twin.experiments.execution.results import StoreError
    from twin.runs.folder import FolderError

    try:
        yield
    except DesignErrors as errors:
        raise UsageError(*errors.args) from None
    except (EngineError, FolderError, StoreError) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{error.filename or 'the results'}: cannot be written: {error.strerror or error}") from None


def share_of(option: str, text: str) -> float:
    """`5%` or `0.05`."""
    body, percent, rest = text.strip().partition("%")
    try:
        value = float(body) / (100 if percent else 1)
    except ValueError:
        value = 0.0
    if rest or not 0 < value < 1:
        raise UsageError(
            f"{option} {text}: is no share; allowed: more than 0 % and less than 100 %, such as 5% or 0.05"
        )
    return value
