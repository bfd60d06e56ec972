"""`twin capture`: from a cluster to a scenario, read-only."""

import asyncio
import json
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from formats.durations import parse_positive_duration
from formats.errors import FormatError
from twin.commands.common import FAILED, OK, UsageError, exit_code

if TYPE_CHECKING:
    from twin.capture import CapturedScenario, Observation, PhaseComparison
    from twin.capture.history import History

SCENARIO, MANIFESTS, OBSERVED = "scenario.yaml", "manifests.yaml", "observed.json"
_HEADING = "# Captured by twin capture. Keys are pseudonyms, Secrets and ConfigMaps are stand-ins.\n"


@exit_code
def capture(
    kubeconfig: Annotated[str, typer.Option(help="Instead of KUBECONFIG, or ~/.kube/config.")] = "",
    context: Annotated[str, typer.Option(help="Of the kubeconfig; its current one if left out.")] = "",
    namespace: Annotated[list[str] | None, typer.Option(help="Only this one, repeatable; all if left out.")] = None,
    lasts: Annotated[str, typer.Option("--for", help="How long to look; Ctrl-C ends it sooner.")] = "5m",
    out: Annotated[Path, typer.Option(help="Folder for scenario and manifests.")] = Path("captured"),
    name: Annotated[str, typer.Option(help="Of the scenario.")] = "captured",
    check: Annotated[bool, typer.Option("--check/--no-check", help="Whether to run it and compare.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON instead of a table.")] = False,
) -> int:
    """Look at a cluster for a while, read-only; make a scenario of what stands there and what happens."""
    from twin import capture as capturing

    seconds = _seconds(lasts)
    _check_place(out)
    try:
        seen = asyncio.run(_looked(kubeconfig, context, namespace or [], seconds))
    except capturing.CaptureError as error:
        raise UsageError(f"twin capture: {error}") from None
    found = capturing.build_history(seen)
    made = capturing.build_scenario(seen, found, name)
    if not any(item["kind"] in ("Deployment", "Pod") for item in made.manifests):
        raise UsageError("twin capture: no Deployment there makes pods that ModelAdapters select; look elsewhere")
    _write(out, made, found)
    rows = capturing.compare_phases(out / SCENARIO, found) if check else []
    _show(out, made, seen, rows, as_json=as_json)
    return OK if all(row.alike for row in rows) else FAILED


async def _looked(kubeconfig: str, context: str, namespaces: list[str], seconds: float) -> "Observation":
    from twin.capture import open_reader, watch

    async with open_reader(kubeconfig, context) as reader:
        look = asyncio.ensure_future(
            watch(reader, namespaces, seconds, lambda seen: _begun(reader.server, seen, seconds))
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, look.cancel)
        return await look


def _begun(server: str, seen: "Observation", seconds: float) -> None:
    counts = {kind: len(items) for kind, items in seen.first.items()}
    there = f"{counts.get('Pod', 0)} pods, {counts.get('ModelAdapter', 0)} adapters"
    typer.echo(f"looking at {server} for {seconds:g} s ({there}); Ctrl-C ends it sooner", err=True)


def _seconds(text: str) -> float:
    try:
        return parse_positive_duration(text)
    except FormatError as error:
        raise UsageError(f"--for {text}: {error}") from None


def _check_place(out: Path) -> None:
    """Only a folder of our own is replaced."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / OBSERVED).is_file())):
        raise UsageError(f"--out {out}: is there already and no captured scenario; choose another folder")


def _write(out: Path, made: "CapturedScenario", found: "History") -> None:
    """The whole folder or nothing."""
    from twin.scenario.yaml.writer import yaml_text

    fresh = out.with_name(f".{out.name}.new-{os.getpid()}")
    try:
        fresh.mkdir(parents=True)
        try:
            (fresh / SCENARIO).write_text(_HEADING + yaml_text(made.scenario), encoding="utf-8")
            manifests = "---\n".join(yaml_text(item) for item in made.manifests)
            (fresh / MANIFESTS).write_text(_HEADING + manifests, encoding="utf-8")
            (fresh / OBSERVED).write_text(json.dumps(_observed(made, found), indent=2) + "\n", encoding="utf-8")
            shutil.rmtree(out, ignore_errors=True)
            fresh.rename(out)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written: {error.strerror or error}") from None


def _observed(made: "CapturedScenario", found: "History") -> dict[str, Any]:
    """The single observations behind the scenario, for `twin calibrate` and for whoever wants to look."""
    from twin.capture.comparison import medians

    return {
        "lead_seconds": made.lead,
        "notes": list(made.notes),
        "phase_medians_seconds": {phase: round(value, 4) for phase, value in medians(found.phases.values()).items()},
        "load_seconds": {name: [round(value, 4) for value in values] for name, values in found.loads.items()},
        "startup_seconds": {name: [round(value, 4) for value in values] for name, values in found.startups.items()},
        "failed_loads": [{"t": round(f.t, 3), "pod": f.pod, "cause": f.cause} for f in found.failures],
        "not_ready": {
            pod: [[round(spell.start, 3), None if spell.until is None else round(spell.until, 3)] for spell in spells]
            for pod, spells in found.unready.items()
        },
        "engine_restarts": [[round(t, 3), pod] for t, pod in found.restarts],
        "pods_deleted": [[round(t, 3), pod] for t, pod in found.kills],
    }


def _show(
    out: Path, made: "CapturedScenario", seen: "Observation", rows: list["PhaseComparison"], *, as_json: bool
) -> None:
    from rich.markup import escape
    from rich.table import Table

    from twin.report import terminal

    if as_json:
        told = [
            {"phase": r.phase, "captured_seconds": r.captured, "simulated_seconds": r.simulated, "alike": r.alike}
            for r in rows
        ]
        print(json.dumps({"folder": str(out), "notes": list(made.notes), "phases": told}, indent=2))
        return
    console = terminal.console()
    console.print(f"[bold]{escape(str(out / SCENARIO))}[/] · {seen.seconds:.0f} s seen, {len(seen.changes):,} changes")
    for note in made.notes:
        console.print(f"  [dim]note: {escape(note)}[/]")
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    table.add_column(f"median of {rows[0].adapters} adapters")
    for column in ("captured", "simulated", "off"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in rows:
        mark = "[green]✓[/]" if row.alike else "[red]✗ more than 10 %[/]"
        if row.alike and row.off > 0.1:
            mark += " [dim]less than 50 ms, which a watch cannot tell[/]"
        table.add_row(row.phase, f"{row.captured:.3f} s", f"{row.simulated:.3f} s", f"{100 * row.off:.0f} %", mark)
    console.print(table)


def register(app: typer.Typer) -> None:
    """Hangs the command on the application."""
    app.command()(capture)
