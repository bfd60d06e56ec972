"""Shared parts of the commands: exit codes, error output, progress bar.

Exit codes: 0 success; 1 an expectation or an invariant failed, or a replay differs; 2 invalid input, or a disk that
refuses, with one line for each error on stderr; 70 internal error; 130 interrupted; 141 the reader of the output has
gone; 143 ended by SIGTERM.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib.util import find_spec
from typing import TYPE_CHECKING, ParamSpec

import typer

from formats.installation import install_command
from twin.commands.endings import INTERRUPTED as INTERRUPTED
from twin.commands.endings import UNUSABLE as UNUSABLE
from twin.commands.endings import guarded

if TYPE_CHECKING:
    from twin.report import RunResult

OK, FAILED, FAULT = 0, 1, 70

EXTRAS = {
    **dict.fromkeys(("scipy", "joblib", "optuna"), "lab"),
    **dict.fromkeys(("kubernetes", "yaml", "aiohttp"), "live"),
    "distributed": "dask",
    "ray": "ray",
}
"""Optional package to the extra that installs it."""

P = ParamSpec("P")


class UsageError(Exception):
    """Invalid input; each argument is one line of the error message."""


def print_errors(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def exit_code(command: Callable[P, int]) -> Callable[P, None]:
    """Wrap a command that returns its exit code; usage errors and interruptions are printed as lines."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        raise typer.Exit(guarded(lambda: _run(command, *args, **kwargs)))

    return run


def _run(command: Callable[P, int], *args: P.args, **kwargs: P.kwargs) -> int:
    try:
        return command(*args, **kwargs)
    except UsageError as refused:
        print_errors(*refused.args)
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        print_errors(f"twin: package {package} is required: {install_command(EXTRAS[package])}")
    return UNUSABLE


def require(*packages: str) -> None:
    """Refuse a command before it begins if it will need optional packages that are not installed.

    Raises:
        UsageError: with one command that installs them all.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        extras = ",".join(sorted({EXTRAS[package] for package in missing}))
        plural = "s" if len(missing) > 1 else ""
        verb = "are" if len(missing) > 1 else "is"
        names = " and ".join(missing)
        raise UsageError(f"twin: package{plural} {names} {verb} required: {install_command(extras)}")


def parse_overrides(settings: Sequence[str]) -> dict[str, str]:
    overrides = dict[str, str]()
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals or not path:
            raise UsageError(f"--set {setting}: not a setting; allowed: PATH=VALUE, such as controller.policy=random")
        overrides[path.strip()] = value
    return overrides


@contextmanager
def run_folder_errors() -> Iterator[None]:
    from twin.runs.folder import FolderError

    try:
        yield
    except FolderError as error:
        raise UsageError(str(error)) from error


def exit_code_of(result: "RunResult") -> int:
    if result.partial:
        return INTERRUPTED
    return OK if result.passed else FAILED
