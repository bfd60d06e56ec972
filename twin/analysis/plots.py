"""Plots for notebooks: each function draws one quantity with its units on an `Axes` and returns the `Axes`.

Size, layout and title are set by the caller. The colours are those of Okabe and Ito, which are distinguishable with any
kind of colour vision. Uncertainty is drawn as a band or a whisker where it is known.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from twin.analysis.columns import Columns, column_list
from twin.analysis.density import adapters_over_time, gini

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINE_STYLES = ("-", "--", ":", "-.")
MOST_LABELS = 12
"""Lines with an entry in the legend; with more, a legend covers the figure."""
_OUTCOMES = {"loaded": "#009E73", "retriable": "#E69F00", "final": "#D55E00", "none": "#999999"}


def line_style(number: int) -> dict[str, Any]:
    """Return colour and line style of line `number`: after the last colour the first is used again, dashed."""
    dashes = LINE_STYLES[number // len(COLOURS) % len(LINE_STYLES)]
    return {"color": COLOURS[number % len(COLOURS)], "ls": dashes}


def adapters(ax: Axes, placements: pd.DataFrame, by: Columns = "pod", end_seconds: float | None = None) -> Axes:
    """Draw the number of adapters on each pod or node over time, to the end of the run.

    `end_seconds`: end of the run; by default that of the frame of `placements`, or else the last change.
    """
    by = column_list(by, placements.columns)
    steps = adapters_over_time(placements, by)
    end = _end(placements, end_seconds, float(steps["time_seconds"].max()))
    groups = list(steps.groupby(by))
    for number, (names, changes) in enumerate(groups):
        label = ", ".join(str(name).rpartition("-")[2] if by == ["pod"] else str(name) for name in names)
        ends = pd.DataFrame({"time_seconds": [0.0, end], "adapters": [0, changes["adapters"].iloc[-1]]})
        part = pd.concat([ends[:1], changes, ends[1:]])
        ax.step(
            part["time_seconds"] / 60, part["adapters"], where="post", lw=1.3, label=label, **line_style(number)
        )  # fmt: skip
    ax.set_xlim(0, end / 60)
    return _label(ax, "minutes", f"adapters on each {' and '.join(by)}", legend=len(groups) <= MOST_LABELS)


def lorenz(ax: Axes, values: ArrayLike, label: str = "", number: int = 0) -> Axes:
    """Draw the share of all adapters on the emptiest share of pods; the diagonal is an even distribution."""
    data = np.sort(np.asarray(values, dtype=float))
    share = np.concatenate(([0.0], np.cumsum(data) / data.sum()))
    ax.plot([0, 1], [0, 1], color="#999999", lw=0.8, ls=":")
    name = f"{label} (Gini {gini(data):.2f})"
    ax.plot(np.linspace(0, 1, len(share)), share, label=name, lw=1.8, **line_style(number))
    return _label(ax, "share of pods, emptiest first", "share of adapters")


def intervals(
    ax: Axes, means: pd.DataFrame, along: str, group: str | None = None, *, log: bool = False, unit: str = ""
) -> Axes:
    """Draw a mean over seeds with its 95 % interval along a setting, with a line for each `group`."""
    column_list([along, *([group] if group else [])], means.columns, "along, group")
    parts = means.groupby(group, sort=False) if group else [("", means)]
    count = means[group].nunique() if group else 1
    categories = not pd.api.types.is_numeric_dtype(means[along])
    names = list(dict.fromkeys(means[along]))
    short = group.rpartition(".")[2].removesuffix("_seconds") if group else ""
    for number, (name, part) in enumerate(parts):
        xs = np.array([names.index(value) for value in part[along]]) if categories else part[along].to_numpy(float)
        shift = (number - (count - 1) / 2) * 0.12 if categories else 0.0
        spread = np.vstack([part["mean"] - part["low"], part["high"] - part["mean"]]).clip(min=0)
        ax.errorbar(
            xs + shift, part["mean"], yerr=spread, fmt="o", lw=0 if categories else 1.5, elinewidth=1.5,
            ms=5, capsize=3, **line_style(number), label=" ".join((short, str(name))).strip(),
        )  # fmt: skip
    if categories:
        ax.set_xticks(range(len(names)), [str(name) for name in names])
    if log:
        ax.set_xscale("log")
    return _label(ax, along.removeprefix("setting.").replace("_seconds", " (s)"), unit, legend=bool(group))


def attempts(ax: Axes, attempts: pd.DataFrame, limit: int = 40) -> Axes:
    """Draw a lane for each adapter with a mark for each attempt to load it, from request to result."""
    names = list(dict.fromkeys(attempts.sort_values("sent_seconds")["adapter"]))[:limit]
    for outcome, colour in _OUTCOMES.items():
        part = attempts[(attempts["outcome"] == outcome) & attempts["adapter"].isin(names)]
        if part.empty:
            continue
        lanes = [names.index(name) for name in part["adapter"]]
        ended = part["ended_seconds"].fillna(part["sent_seconds"]).to_numpy(float) / 60
        ax.hlines(lanes, part["sent_seconds"] / 60, ended, color=colour, lw=2)
        ax.plot(ended, lanes, ".", color=colour, ms=6, label=f"{outcome} ({len(part)})")
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.invert_yaxis()
    ax.set_xlim(0, _end(attempts, None, float(attempts[["sent_seconds", "ended_seconds"]].max().max())) / 60)
    return _label(ax, "minutes", "")


def requests(ax: Axes, traffic: pd.DataFrame) -> Axes:
    """Draw the requests of users in each minute, and those that failed."""
    minutes = traffic.groupby("time_seconds")[["requests", "failed"]].sum()
    ax.bar(minutes.index / 60, minutes["requests"], width=0.7, color="#DDDDDD", label="requests")
    ax.bar(minutes.index / 60, minutes["failed"], width=0.7, color=COLOURS[1], label="failed")
    ax.set_xlim(0, _end(traffic, None, float(minutes.index.max())) / 60)
    return _label(ax, "minutes", "requests a minute")


def worst_latency(
    ax: Axes, traffic: pd.DataFrame, label: str = "", number: int = 0, *, measure: str = "ttft_p95_seconds"
) -> Axes:
    """Draw a latency of the adapter for which it is worst, minute by minute, on a logarithmic axis."""
    (measure,) = column_list(measure, traffic.columns, "measure")
    minutes = traffic.groupby("time_seconds")[measure].max()
    ax.semilogy(minutes.index / 60, minutes, marker=".", label=label, **line_style(number))
    ax.set_xlim(0, _end(traffic, None, float(minutes.index.max())) / 60)
    return _label(ax, "minutes", f"worst adapter's {measure.removesuffix('_seconds')}, s", legend=bool(label))


def popularity(ax: Axes, traffic: pd.DataFrame, label: str = "", number: int = 0) -> Axes:
    """Draw the requests of each adapter by its popularity, on logarithmic axes."""
    counts = traffic.groupby("adapter")["requests"].sum().sort_values(ascending=False)
    ax.loglog(range(1, len(counts) + 1), counts, marker=".", label=label, **line_style(number))
    return _label(ax, "popularity rank", "requests", legend=bool(label))


def ecdf(ax: Axes, values: ArrayLike, label: str = "", number: int = 0) -> Axes:
    """Draw the empirical distribution function of the values."""
    data = np.asarray(values, dtype=float)
    ax.ecdf(data[~np.isnan(data)], lw=1.8, label=label, **line_style(number))
    return _label(ax, "", "share of all", legend=bool(label))


def cold(ax: Axes, cold_hits: pd.DataFrame, label: str = "", number: int = 0) -> Axes:
    """Draw the share of cold requests by popularity, with its 95 % interval."""
    rank, style = cold_hits["popularity_rank"], line_style(number)
    ax.fill_between(rank, 100 * cold_hits["low"], 100 * cold_hits["high"], color=style["color"], alpha=0.18, lw=0)
    ax.plot(rank, 100 * cold_hits["cold_share"], marker=".", label=label, ms=4, lw=1, **style)
    ax.set_xscale("log")
    return _label(ax, "popularity rank of the adapter", "cold requests, %", legend=bool(label))


def frontier(
    ax: Axes, frontier: pd.DataFrame, along: str, limit: float, group: str | None = None, *, unit: str = ""
) -> Axes:
    """Draw means with intervals and the limit; points that pass are filled, the others hollow."""
    intervals(ax, frontier, along, group, unit=unit)
    for number, (_, part) in enumerate(frontier.groupby(group, sort=False) if group else [("", frontier)]):
        failed = part[~part["passed"].astype(bool)]
        ax.plot(failed[along], failed["mean"], "o", mfc="white", mec=line_style(number)["color"], ms=5, zorder=5)
    ax.axhline(limit, color="#000000", lw=0.9, ls="--")
    return ax


def stranded(ax: Axes, stranded: pd.DataFrame, labels: Sequence[str] | None = None) -> Axes:
    """Draw the memory of each engine: used, free, and stranded."""
    names = list(labels) if labels else [pod.rpartition("-")[2] for pod in stranded["pod"]]
    used = stranded["memory_used_bytes"] / 2**20
    lost = stranded["memory_stranded_bytes"] / 2**20
    free = stranded["memory_free_bytes"] / 2**20 - lost
    ax.bar(names, used, color=COLOURS[0], label="used")
    ax.bar(names, free, bottom=used, color="#DDDDDD", label="free")
    ax.bar(names, lost, bottom=used + free, color=COLOURS[1], label="stranded")
    _label(ax, "engine", "memory for adapters, MiB", legend=False)
    ax.legend(frameon=False, fontsize=8, ncols=3, loc="lower right", bbox_to_anchor=(1, 0.98))
    return ax


def _end(table: pd.DataFrame, end_seconds: float | None, last: float) -> float:
    """Return the end of a time axis in seconds: as given, as the frame has it, or the last time in the frame."""
    return end_seconds if end_seconds is not None else float(table.attrs.get("end_seconds", last))


def _label(ax: Axes, x: str, y: str, *, legend: bool = True) -> Axes:
    if x:
        ax.set_xlabel(x)
    if y:
        ax.set_ylabel(y)
    ax.spines[["top", "right"]].set_visible(False)
    if legend and ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize=8)
    return ax
