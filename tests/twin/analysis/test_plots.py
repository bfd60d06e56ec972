"""Plots and column names: time axes, colours, and what a wrong name is answered with."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from tests.twin.synthetic import MEASURES, a_run
from twin import analysis
from twin.analysis import plots
from twin.report import RunResult

mpl.use("Agg")

RUN = RunResult(a_run(), MEASURES)
SWEEP = pd.DataFrame({"seed": [1, 2], "policy": ["a", "b"], "nodes": [1, 1], "wait": [1.0, 2.0]})


def test_a_column_is_a_name_or_a_list_everywhere() -> None:
    placements = analysis.placements(RUN)
    for by in ("node", ["node"], ["node", "pod"]):
        names = [by] if isinstance(by, str) else by
        assert list(analysis.adapters_over_time(placements, by).columns) == ["time_seconds", *names, "adapters"]
        assert list(analysis.adapters_held(placements, 1800.0, by).columns)[: len(names)] == names
    assert analysis.means(SWEEP, "wait", "policy").equals(analysis.means(SWEEP, "wait", ["policy"]))


@pytest.mark.parametrize(
    "call",
    [
        lambda: analysis.adapters_over_time(analysis.placements(RUN), "pods"),
        lambda: analysis.adapters_held(analysis.placements(RUN), 1800.0, "pods"),
        lambda: plots.adapters(plt.figure().subplots(), analysis.placements(RUN), "pods"),
    ],
)
def test_a_wrong_column_is_answered_with_those_that_exist(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(
        ValueError, match=r"by: no column 'pods' .did you mean 'pod'.*; there are: .*pod, node, adapter"
    ):
        call()


def test_a_wrong_measure_or_axis_is_answered_too() -> None:
    with pytest.raises(ValueError, match=r"measure: no column 'waits' .did you mean 'wait'"):
        analysis.means(SWEEP, "waits", "policy")
    means = analysis.means(SWEEP, "wait", "policy")
    with pytest.raises(ValueError, match=r"along, group: no column 'policies'"):
        plots.intervals(plt.figure().subplots(), means, "policies")
    with pytest.raises(ValueError, match=r"cost: no column 'gpu_hours'; there are: seed"):
        analysis.gpu_hours_for(SWEEP, 0.9)


def test_time_axes_go_to_the_end_of_the_run() -> None:
    figure = plt.figure()
    placements = analysis.placements(RUN)
    assert placements["time_seconds"].max() < 1800
    assert plots.adapters(figure.subplots(), placements).get_xlim() == (0, 30)
    assert plots.attempts(figure.add_subplot(), analysis.attempts(RUN)).get_xlim() == (0, 30)
    chosen = placements[placements["pod"] == placements["pod"].iloc[0]]
    assert plots.adapters(figure.add_subplot(), chosen, end_seconds=600.0).get_xlim() == (0, 10)
    plt.close(figure)


def test_the_eighth_line_looks_unlike_the_first_seven() -> None:
    styles = [tuple(plots.line_style(number).items()) for number in range(28)]
    assert len(set(styles)) == len(styles)
    ax = plt.figure().subplots()
    frame = pd.DataFrame({"wait": [1.0, 2.0] * 9, "mean": 1.0, "low": 0.5, "high": 2.0})
    frame["group"] = [f"group-{i // 2}" for i in range(18)]
    plots.intervals(ax, frame, "wait", "group")
    assert len(ax.get_legend_handles_labels()[1]) == 9
    plt.close("all")
