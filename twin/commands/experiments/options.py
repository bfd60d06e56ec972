"""Options and errors that the commands of this package share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from twin.commands.common import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from twin.experiments.execution.executors import Executor
    from twin.experiments.execution.results import ResultStore

    Workers = AbstractContextManager[Executor]

File = Annotated[Path, typer.Argument(metavar="FILE", help="Scenario file.", show_default=False)]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override a value in all runs; repeatable.")
]
Jobs = Annotated[int, typer.Option(min=0, help="Number of processes (0: number of processors).")]
ExecutorName = Annotated[
    Literal["joblib", "dask", "ray"], typer.Option("--executor", help="Backend that runs the simulations.")
]
Address = Annotated[str, typer.Option(metavar="URL", help="Address of a running Dask scheduler or Ray cluster.")]
Checkout = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Git checkout with the operator to run, instead of this one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@contextmanager
def open_executor(name: Literal["joblib", "dask", "ray"], jobs: int, address: str) -> Iterator["Executor"]:
    """Open the executor that the options describe."""
    from twin.experiments.execution import executors
    from twin.experiments.execution.runner import default_jobs

    with executors.open_executor(name, jobs or default_jobs(), address) as execute:
        yield execute


@contextmanager
def kept_runs(store: "ResultStore") -> Iterator[None]:
    """Add what is stored, and how to continue, to the message of an interruption or of an executor's failure."""
    from twin.experiments.execution.errors import ExecutorError

    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_kept(store)) from None
    except ExecutorError as error:
        raise UsageError(f"{error}; {_kept(store)}") from None


def _kept(store: "ResultStore") -> str:
    return f"{store.path} contains {len(store):,} finished runs; run the same command again to continue"


def all_runs_in(path: Path) -> str:
    """Return what is kept when an experiment is interrupted after its last run."""
    return f"{path} contains all runs; run the same command again for the result"


@contextmanager
def usage_errors() -> Iterator[None]:
    """Map the errors of an experiment to `UsageError`."""
    from twin.experiments.design import DesignErrors
    from twin.experiments.execution.errors import ExecutorError
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
    """Parse `5%` or `0.05`."""
    body, percent, rest = text.strip().partition("%")
    try:
        value = float(body) / (100 if percent else 1)
    except ValueError:
        value = 0.0
    if rest or not 0 < value < 1:
        raise UsageError(f"{option} {text}: is not a share; allowed: above 0 % and below 100 %, for example 5% or 0.05")
    return value


def resolve_checkout(folder: Path | None) -> str:
    """Return the absolute path of a checkout whose operator can be run; or an empty text."""
    from twin.experiments.execution.worktree import checkout_error

    if folder is None:
        return ""
    error = checkout_error(str(folder.resolve()))
    if error:
        raise UsageError(f"--checkout {folder}: {error}; allowed: the folder of a checkout")
    return str(folder.resolve())


def experiment_path(out: Path, scenario: str, kind: str, paths: list[str]) -> Path:
    """Return the path of an experiment's results, without suffix: OUT/SCENARIO/KIND-PATHS."""
    return out / scenario / f"{kind}-{'+'.join(paths)}"[:80]
