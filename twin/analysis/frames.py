"""Runs as frames: one row for one thing that happened, one column for one thing known of it.

A run is given by its folder (what `twin run` wrote) or by its `Findings`. Times are seconds since the start of the run.
Pods are `namespace/name`; adapters go by their name alone, as engines know them.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from controller.engine.errors import name_taken
from formats.durations import parse_duration
from formats.errors import FormatError
from twin.analysis.fleet import gpu_hours
from twin.analysis.run_data import Source, lines_of
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
    """One row a run: the files of `twin sweep`, or all run folders below a folder (those of `twin compare`, say).

    Settings whose values are all durations become `setting.PATH_seconds`, settings that are all numbers become numeric.
    Run folders bring `gpu_hours` too, and their variant is the name of the folder that they lie in.
    """
    given = [source] if isinstance(source, str | Path) else source
    return pd.concat([_runs_of(Path(path)) for path in given], ignore_index=True)


def placements(run: Source) -> pd.DataFrame:
    """Each change of what an engine holds: `time_seconds`, `pod`, `node`, `adapter`, `state` (loaded or unloaded)."""
    if isinstance(run, str | Path):
        table = pd.read_parquet(Path(run) / runfolder.PLACEMENT)
    else:
        table = pd.DataFrame(dict(placement_rows(run.lines)))
    return table.rename(columns={"time": "time_seconds"})


def attempts(run: Source) -> pd.DataFrame:
    """Each request to load an adapter.

    `attempt` counts those in a row on one pod for one adapter, and begins anew after success or after the time for
    which a pod is left aside. `waited_seconds` is from the end of the failed one before. `outcome` is loaded,
    retriable, final, or none where there was no answer until the end.
    """
    lines = lines_of(run)
    rules = lines[0]
    assert isinstance(rules, Run)
    sent: dict[int, dict[str, Any]] = {}
    series: dict[tuple[str, str], tuple[int, float]] = {}
    for line in lines:
        if not isinstance(line, RequestLine) or line.verb != "load":
            continue
        place = (line.adapter, line.object)
        if line.event == "sent":
            count, failed = series.get(place, (0, float("nan")))
            waited = line.t - failed
            if waited >= rules.pod_cooldown:
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
            series[place] = (row["attempt"], line.t)
        else:
            series.pop(place, None)
    return pd.DataFrame(list(sent.values()), columns=list(_ATTEMPTS))


def loads(run: Source) -> pd.DataFrame:
    """Each stay of an adapter on an engine, from the moment it was loaded; until the end of the run if it stayed."""
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
                for pod, adapter in [place for place in open_ if place[0] == line.object]:
                    end(pod, adapter, line.t)
    for pod, adapter in list(open_):
        end(pod, adapter, lines[-1].t)
    return pd.DataFrame(rows, columns=list(_LOADS)).sort_values(["from_seconds", "pod", "adapter"], ignore_index=True)


def traffic(run: Source) -> pd.DataFrame:
    """What users asked and got, by adapter and minute; `time_seconds` is the minute's end."""
    table = pd.DataFrame(dict(traffic_rows(lines_of(run))))
    units = {"time": "time_seconds"} | {name: f"{name}_seconds" for name in ("ttft_p50", "ttft_p95", "e2e_p95")}
    table = table.rename(columns=units)
    names = table["adapter"].str.partition("/")
    table["adapter"] = names[2]
    table.insert(1, "namespace", names[0])
    return table


def _runs_of(path: Path) -> pd.DataFrame:
    if path.is_dir():
        return pd.DataFrame(list(_summaries(path)))
    table = pd.read_parquet(path)
    for column in [name for name in table.columns if name.startswith("setting.")]:
        place = table.columns.get_loc(column)
        assert isinstance(place, int)
        name, values = _measured(column, table[column])
        table = table.drop(columns=column)
        table.insert(place, name, values)
    return table


def _summaries(path: Path) -> Iterator[dict[str, Any]]:
    folders = sorted({file.parent for file in path.rglob(runfolder.SUMMARY)})
    if not folders:
        raise runfolder.FolderError(f"{path}: there is no run folder in it")
    for folder in folders:
        run = runfolder.read(folder)
        yield {
            "variant": folder.parent.name,
            "seed": run.summary["seed"],
            **comparable_measures(run.summary),
            "passed": run.summary["passed"],
            "gpu_hours": gpu_hours(folder),
        }


def _measured(column: str, values: "pd.Series[Any]") -> tuple[str, Any]:
    """A column of settings as what it measures."""
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
