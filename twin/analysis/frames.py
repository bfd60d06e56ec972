"""Runs as frames: one row for each event, one column for each property.

A run is given by its folder (written by `twin run`) or by its `RunResult`. Times are seconds since the start of the
run. Pods are `namespace/name`; adapters have their name only, as in engines. Frames of one run know its end
(`frame.attrs["end_seconds"]`), to which plots draw their time axis.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from controller.engine.errors import name_taken
from formats.durations import parse_duration
from formats.errors import FormatError
from twin.analysis.run_data import Source, end_of, lines_of
from twin.evaluate.measures import placement_rows
from twin.evaluate.traffic_measures import traffic_rows
from twin.experiments.execution.trial import comparable_measures
from twin.runs import folder as runfolder
from twin.trace.lines import EngineLine, PodLine, RequestLine, Run

_ATTEMPTS = (
    "adapter", "pod", "attempt", "sent_seconds", "ended_seconds", "took_seconds", "waited_seconds", "outcome",
    "status", "error",
)  # fmt: skip
_LOADS = ("adapter", "pod", "node", "from_seconds", "until_seconds", "held_seconds")


def runs(source: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Return one row for each run: of files of `twin sweep`, or of all run folders below a folder.

    Settings whose values are all durations become `setting.PATH_seconds`, settings that are all numbers become numeric.
    The variant of run folders is the name of the folder that contains them.
    """
    sources = [source] if isinstance(source, str | Path) else source
    return pd.concat([_runs_of(Path(path)) for path in sources], ignore_index=True)


def placements(run: Source) -> pd.DataFrame:
    """Return each load and unload: `time_seconds`, `pod`, `node`, `adapter`, `state` (loaded or unloaded)."""
    if isinstance(run, str | Path):
        table = pd.read_parquet(Path(run) / runfolder.PLACEMENT)
    else:
        table = pd.DataFrame(dict(placement_rows(run.lines)))
    return _with_end(table.rename(columns={"time": "time_seconds"}), run)


def attempts(run: Source) -> pd.DataFrame:
    """Return each request to load an adapter.

    `attempt` counts consecutive attempts of one adapter on one pod, and restarts after success or after the pod
    cooldown. `waited_seconds` is the time since the end of the previous failed attempt. `outcome` is loaded, retriable,
    final, or none if there was no response until the end.
    """
    lines = lines_of(run)
    header = lines[0]
    assert isinstance(header, Run)
    sent: dict[int, dict[str, Any]] = {}
    series: dict[tuple[str, str], tuple[int, float]] = {}
    for line in lines:
        if not isinstance(line, RequestLine) or line.verb != "load":
            continue
        key = (line.adapter, line.object)
        if line.event == "sent":
            count, failed = series.get(key, (0, float("nan")))
            waited = line.t - failed
            if waited >= header.pod_cooldown:
                count, waited = 0, float("nan")
            sent[line.id] = dict.fromkeys(_ATTEMPTS) | {
                "adapter": line.adapter, "pod": line.object, "attempt": count + 1, "sent_seconds": line.t,
                "waited_seconds": waited, "outcome": "none",
            }  # fmt: skip
            continue
        row = sent[line.id]
        outcome = _outcome(line)
        row.update(
            ended_seconds=line.t, took_seconds=line.t - row["sent_seconds"], outcome=outcome, status=line.status,
            error=line.error,
        )  # fmt: skip
        if outcome == "retriable":
            series[key] = (row["attempt"], line.t)
        else:
            series.pop(key, None)
    return _with_end(pd.DataFrame(list(sent.values()), columns=list(_ATTEMPTS)), run)


def loads(run: Source) -> pd.DataFrame:
    """Return each period in which an adapter was loaded on an engine; until the end of the run if it stayed."""
    lines = lines_of(run)
    nodes: dict[str, str] = {}
    open_: dict[tuple[str, str], float] = {}
    rows: list[tuple[Any, ...]] = []

    def end(pod: str, adapter: str, t: float) -> None:
        start = open_.pop((pod, adapter), None)
        if start is not None:
            rows.append((adapter, pod, nodes.get(pod, ""), start, t, t - start))

    for line in lines:
        if isinstance(line, PodLine):
            nodes[line.object] = line.node or nodes.get(line.object, "")
        elif isinstance(line, EngineLine):
            if line.event == "loaded":
                open_.setdefault((line.object, line.adapter), line.t)
            elif line.event == "unloaded":
                end(line.object, line.adapter, line.t)
            elif line.event == "stopped":
                for pod, adapter in [key for key in open_ if key[0] == line.object]:
                    end(pod, adapter, line.t)
    for pod, adapter in list(open_):
        end(pod, adapter, lines[-1].t)
    return pd.DataFrame(rows, columns=list(_LOADS)).sort_values(["from_seconds", "pod", "adapter"], ignore_index=True)


def traffic(run: Source) -> pd.DataFrame:
    """Return user requests and their results by adapter and minute; `time_seconds` is the end of the minute."""
    table = pd.DataFrame(dict(traffic_rows(lines_of(run))))
    units = {"time": "time_seconds"} | {name: f"{name}_seconds" for name in ("ttft_p50", "ttft_p95", "e2e_p95")}
    table = table.rename(columns=units)
    names = table["adapter"].str.partition("/")
    table["adapter"] = names[2]
    table.insert(1, "namespace", names[0])
    return _with_end(table, run)


def _with_end(table: pd.DataFrame, run: Source) -> pd.DataFrame:
    table.attrs["end_seconds"] = end_of(run)
    return table


def _runs_of(path: Path) -> pd.DataFrame:
    if path.is_dir():
        return pd.DataFrame(list(_summaries(path)))
    table = pd.read_parquet(path)
    for column in [name for name in table.columns if name.startswith("setting.")]:
        index = table.columns.get_loc(column)
        assert isinstance(index, int)
        name, values = _parse_settings(column, table[column])
        table = table.drop(columns=column)
        table.insert(index, name, values)
    return table


def _summaries(path: Path) -> Iterator[dict[str, Any]]:
    folders = sorted({file.parent for file in path.rglob(runfolder.SUMMARY)})
    if not folders:
        raise runfolder.FolderError(f"{path}: contains no run folder")
    for folder in folders:
        run = runfolder.read(folder)
        yield {
            "variant": folder.parent.name,
            "seed": run.summary["seed"],
            **comparable_measures(run.summary),
            "passed": run.summary["passed"],
        }


def _parse_settings(column: str, values: "pd.Series[Any]") -> tuple[str, Any]:
    """Return a column of settings as seconds or numbers, if all values are."""
    try:
        return column, pd.to_numeric(values)
    except (ValueError, TypeError):
        pass
    try:
        return f"{column}_seconds", _durations(values)
    except FormatError:
        return column, values


def _durations(values: Iterable[Any]) -> list[float]:
    return [parse_duration(value) for value in values]


def _outcome(line: RequestLine) -> str:
    if line.status == 200 or name_taken(line.error):
        return "loaded"
    return "final" if line.status in range(400, 500) and line.status not in (408, 429) else "retriable"
