"""`twin capture`: turn a cluster into a scenario, read-only."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from formats.durations import format_clock, parse_positive_duration
from formats.errors import FormatError
from twin.commands.common import FAILED, OK, UsageError, exit_code, require
from twin.commands.endings import kept
from twin.commands.progress import busy, share_bar

if TYPE_CHECKING:
    from twin.capture import CapturedScenario, Observation, PhaseComparison
    from twin.capture.history import History

SCENARIO, MANIFESTS, OBSERVED = "scenario.yaml", "manifests.yaml", "observed.json"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_REFRESH = 0.5  # seconds between two updates of the progress bar
_HEADING = "# Captured by twin capture. Keys are pseudonyms, Secrets and ConfigMaps are stand-ins.\n"


Kubeconfig = Annotated[str, typer.Option(help="Path of the kubeconfig (default: KUBECONFIG or ~/.kube/config).")]
Context = Annotated[str, typer.Option(help="Context of the kubeconfig (default: the current one).")]
Namespaces = Annotated[list[str] | None, typer.Option(help="Namespace to capture (default: all); repeatable.")]
Duration = Annotated[str, typer.Option("--for", help="Duration of the capture; Ctrl-C ends it earlier.")]
Out = Annotated[Path, typer.Option(help="Folder for scenario and manifests.")]
Name = Annotated[str, typer.Option(help="Name of the scenario.")]
Check = Annotated[bool, typer.Option("--check/--no-check", help="Run the scenario and compare it with the capture.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the comparison as JSON instead of a table.")]


@exit_code
def capture(
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespaces = None,
    duration: Duration = "5m",
    out: Out = Path("captured"),
    name: Name = "captured",
    check: Check = True,
    as_json: AsJson = False,
) -> int:
    """Watch a cluster for a while, read-only; write a scenario with its objects and events."""
    import asyncio

    require("kubernetes", "scipy")
    from twin.capture import CaptureError, build_history, build_scenario, compare_phases

    seconds = _parse_duration(duration)
    _check_output_folder(out)
    try:
        with _handlers_restored():
            observation = asyncio.run(_observe(kubeconfig, context, namespace or [], seconds))
    except CaptureError as error:
        raise UsageError(f"twin capture: {error}") from None
    history = build_history(observation)
    captured = build_scenario(observation, history, name)
    if not any(item["kind"] in ("Deployment", "StatefulSet", "Pod") for item in captured.manifests):
        raise UsageError("twin capture: no Deployment or StatefulSet has pods that a ModelAdapter selects")
    _write(out, captured, history)
    unfinished = f"{out / SCENARIO} is written and was not compared with the capture"
    with busy(f"running {out / SCENARIO} and comparing it with the capture", quiet=as_json), kept(unfinished):
        rows = compare_phases(out / SCENARIO, history) if check else []
    if as_json:
        _print_json(out, captured, rows)
    else:
        _print_result(out, captured, observation, rows)
    return OK if all(row.matches for row in rows) else FAILED


@contextmanager
def _handlers_restored() -> Iterator[None]:
    """Restore the handlers that `add_signal_handler` replaces: a loop that is closed leaves the default ones."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _observe(kubeconfig: str, context: str, namespaces: list[str], seconds: float) -> "Observation":
    import asyncio

    from twin.capture import open_reader, watch

    async with open_reader(kubeconfig, context) as reader:
        task = asyncio.ensure_future(
            watch(reader, namespaces, seconds, lambda observation: _print_start(reader.server, observation, seconds))
        )
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, task.cancel)
        with share_bar("capturing") as update:
            started = loop.time()
            while not (await asyncio.wait([task], timeout=_REFRESH))[0]:
                passed = loop.time() - started
                update(passed / seconds, f"{format_clock(passed)} of {format_clock(seconds)}")
        return await task


def _print_start(server: str, observation: "Observation", seconds: float) -> None:
    counts = {kind: len(items) for kind, items in observation.first.items()}
    objects = f"{counts.get('Pod', 0)} pods, {counts.get('ModelAdapter', 0)} adapters"
    typer.echo(f"capturing {server} for {seconds:g} s ({objects}); Ctrl-C ends it earlier", err=True)


def _parse_duration(text: str) -> float:
    try:
        return parse_positive_duration(text)
    except FormatError as error:
        raise UsageError(f"--for {text}: {error}") from None


def _check_output_folder(out: Path) -> None:
    """Refuse to replace a folder that this command has not written."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / OBSERVED).is_file())):
        raise UsageError(f"--out {out}: exists and is not a captured scenario; choose another folder")


def _write(out: Path, captured: "CapturedScenario", history: "History") -> None:
    """Write the whole folder or nothing."""
    from twin.scenario.yaml.writer import yaml_text

    temporary = out.with_name(f".{out.name}.new-{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        try:
            (temporary / SCENARIO).write_text(_HEADING + yaml_text(captured.scenario), encoding="utf-8")
            manifests = "---\n".join(yaml_text(item) for item in captured.manifests)
            (temporary / MANIFESTS).write_text(_HEADING + manifests, encoding="utf-8")
            (temporary / OBSERVED).write_text(
                json.dumps(_observed(captured, history), indent=2) + "\n", encoding="utf-8"
            )
            shutil.rmtree(out, ignore_errors=True)
            temporary.rename(out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written: {error.strerror or error}") from None


def _observed(captured: "CapturedScenario", history: "History") -> dict[str, Any]:
    """Return the single observations behind the scenario, for `twin calibrate` and for inspection."""
    from twin.capture.comparison import medians

    return {
        "lead_seconds": captured.lead,
        "notes": list(captured.notes),
        "phase_medians_seconds": {phase: round(value, 4) for phase, value in medians(history.phases.values()).items()},
        "load_seconds": {name: [round(value, 4) for value in values] for name, values in history.loads.items()},
        "startup_seconds": {name: [round(value, 4) for value in values] for name, values in history.startups.items()},
        "failed_loads": [{"t": round(f.t, 3), "pod": f.pod, "cause": f.cause} for f in history.failures],
        "not_ready": {
            pod: [[round(p.start, 3), None if p.until is None else round(p.until, 3)] for p in periods]
            for pod, periods in history.unready.items()
        },
        "engine_restarts": [[round(t, 3), pod] for t, pod in history.restarts],
        "pods_deleted": [[round(t, 3), pod] for t, pod in history.kills],
    }


def _print_json(out: Path, captured: "CapturedScenario", rows: list["PhaseComparison"]) -> None:
    phases = [
        {"phase": r.phase, "captured_seconds": r.captured, "simulated_seconds": r.simulated, "alike": r.matches}
        for r in rows
    ]
    print(json.dumps({"folder": str(out), "notes": list(captured.notes), "phases": phases}, indent=2))


def _print_result(
    out: Path, captured: "CapturedScenario", observation: "Observation", rows: list["PhaseComparison"]
) -> None:
    from rich.markup import escape
    from rich.table import Table

    from twin.report import terminal

    console = terminal.console()
    seconds, changes = observation.seconds, len(observation.changes)
    console.print(f"[bold]{escape(str(out / SCENARIO))}[/] · {seconds:.0f} s captured, {changes:,} changes")
    for note in captured.notes:
        console.print(f"  [dim]note: {escape(note)}[/]")
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    table.add_column(f"median of {rows[0].adapters} adapters")
    for column in ("captured", "simulated", "deviation"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in rows:
        mark = "[green]✓[/]" if row.matches else "[red]✗ more than 10 %[/]"
        if row.matches and row.deviation > 0.1:
            mark += " [dim]below the resolution of a watch (50 ms)[/]"
        table.add_row(
            row.phase, f"{row.captured:.3f} s", f"{row.simulated:.3f} s", f"{100 * row.deviation:.0f} %", mark
        )
    console.print(table)


def register(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(capture)
