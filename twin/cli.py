"""Entry point of the `twin` command.

Each command imports slow modules itself, so that `twin --help` is fast.
"""

import gc
import os
import sys
from typing import Annotated

import typer

from twin.commands import (
    calibrate,
    capture,
    compare_worlds,
    first_steps,
    lists,
    node,
    runs,
    serve,
)
from twin.commands.common import FAULT, OK, print_errors
from twin.commands.endings import guarded
from twin.commands.experiments import compare, search, swarm, sweep
from twin.commands.renamed import RenamingGroup

app = typer.Typer(
    name="twin",
    cls=RenamingGroup,
    help="Digital twin for LoRA serving on Kubernetes: runs your operator against a simulated cluster.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_GC_THRESHOLDS = (200_000, 50, 10)
"""Imports make many objects that stay: searching them for garbage takes a tenth of the time of a small run."""

_UNUSED = ("httpx._main", "rich.traceback")
"""Modules that httpx and structlog import if they exist, and that nothing here calls: httpx's own command line, and
coloured tracebacks. With pygments they take longer to import than the rest of both."""


def main() -> None:
    """Run the command line. Unexpected errors are printed without a traceback and exit with 70."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    gc.set_threshold(*_GC_THRESHOLDS)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # to look for some, it reads all installed packages
    for unused in _UNUSED:
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]
    try:
        code = guarded(_run)
        gc.freeze()  # the process ends: a last search of everything that it made would find memory that goes anyway
        sys.exit(code)
    except Exception as error:
        if os.environ.get("TWIN_TRACEBACK"):
            raise
        message = " ".join(str(error).split())[:1000]
        print_errors(f"twin: Internal error: {type(error).__name__}: {message}")
        print_errors("twin: please report it with the scenario; TWIN_TRACEBACK=1 shows the traceback")
        sys.exit(FAULT)


def _open_closed_streams() -> None:
    """Replace standard streams that the shell has closed (`>&-`), which Python sets to None."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the end


def _run() -> int:
    """Run the command line; return its exit code."""
    output = sys.stdout
    try:
        app()
    except SystemExit as ended:
        if sys.stdout is not output:  # typer replaces it when the reader of a help text has gone
            raise BrokenPipeError from None
        if _comes_from_interrupt(ended):
            raise KeyboardInterrupt from None
        return ended.code if isinstance(ended.code, int) else OK
    return OK


def _comes_from_interrupt(ended: SystemExit) -> bool:
    """Return True if typer ended the program because of a Ctrl-C before the command began."""
    error: BaseException | None = ended
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _show_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        print(f"lora-twin {version('lora-twin')}")
        raise typer.Exit


@app.callback()
def twin(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Digital twin for LoRA serving on Kubernetes: runs your operator against a simulated cluster."""


for _topic in (
    first_steps,
    runs,
    compare,
    compare_worlds,
    sweep,
    search,
    swarm,
    serve,
    node,
    capture,
    calibrate,
    lists,
):
    _topic.register(app)
