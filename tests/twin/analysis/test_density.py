"""Measures of the distribution of adapters over pods, checked against a slow count and against closed formulas."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.twin.experiments.tiny import a_file
from tests.twin.worlds import adapters, deployment
from twin import analysis

mpl.use("Agg")

END = 100.0


@st.composite
def histories(draw: st.DrawFn) -> pd.DataFrame:
    """Return placements on three pods of two runs; a load is followed by its unload, or by nothing."""
    rows = []
    for adapter in range(draw(st.integers(1, 12))):
        run, pod = draw(st.sampled_from("xy")), draw(st.sampled_from(["a", "b", "c"]))
        start = draw(st.integers(0, 90))
        rows.append((float(start), run, pod, f"n-{pod}", f"adapter-{adapter}", "loaded"))
        if draw(st.booleans()):
            rows.append(
                (float(start + draw(st.integers(1, 9))), run, pod, f"n-{pod}", f"adapter-{adapter}", "unloaded")
            )
    frame = pd.DataFrame(rows, columns=["time_seconds", "run", "pod", "node", "adapter", "state"])
    return frame.sort_values("time_seconds", kind="stable", ignore_index=True)


def slowly(part: pd.DataFrame) -> tuple[float, int]:
    """Return the mean from the first load on and the maximum, counted second by second."""
    first = part["time_seconds"].min()
    change = np.where(part["state"] == "loaded", 1, -1)
    counts = [change[part["time_seconds"] <= t].sum() for t in np.arange(first, END)]
    most = max(change[: i + 1].sum() for i in range(len(change)))
    return float(np.mean(counts)), int(most)


@given(histories())
def test_adapters_held_agrees_with_a_count_second_by_second(frame: pd.DataFrame) -> None:
    found = analysis.adapters_held(frame, END, by=("run", "pod")).set_index(["run", "pod"])
    for key, part in frame.groupby(["run", "pod"]):
        mean, most = slowly(part)
        assert found.loc[key, "mean_adapters"] == pytest.approx(mean)
        assert found.loc[key, "max_adapters"] == most
        assert found.loc[key, "loads"] == (part["state"] == "loaded").sum()


@given(histories())
def test_steps_end_with_what_is_left(frame: pd.DataFrame) -> None:
    steps = analysis.adapters_over_time(frame, by="node")
    last = steps.groupby("node")["adapters"].last()
    left = frame.assign(change=np.where(frame["state"] == "loaded", 1, -1)).groupby("node")["change"].sum()
    assert last.to_dict() == left.to_dict()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30).filter(any), st.integers(2, 9))
def test_indices_of_evenness_do_not_ask_in_which_unit_or_order(values: list[int], factor: int) -> None:
    for index in (analysis.jain, analysis.cv, analysis.gini):
        assert index(values[::-1]) == pytest.approx(index(values))
        assert index([factor * value for value in values]) == pytest.approx(index(values))
    n = len(values)
    assert 1 / n - 1e-9 <= analysis.jain(values) <= 1 + 1e-9
    assert -1e-9 <= analysis.gini(values) <= (n - 1) / n + 1e-9
    assert analysis.jain(values) == pytest.approx(1 / (1 + analysis.cv(values) ** 2))


def test_indices_at_their_ends() -> None:
    assert (analysis.jain([3, 3]), analysis.cv([3, 3]), analysis.gini([3, 3])) == (1, 0, 0)
    assert (analysis.jain([0, 0, 0, 5]), analysis.gini([0, 0, 0, 5])) == (0.25, 0.75)
    assert np.isnan([analysis.jain([0]), analysis.cv([]), analysis.gini([0, 0])]).all()


def test_pods_that_hold_nothing_count_when_evenness_is_judged() -> None:
    rows = [(10.0, "a", "one", "loaded"), (20.0, "b", "two", "loaded")]
    frame = pd.DataFrame(rows, columns=["time_seconds", "pod", "adapter", "state"])
    found = analysis.evenness(frame, ["a", "b", "c", "d"], [5.0, 15.0, 25.0])
    assert found["jain"].isna().tolist() == [True, False, False]
    assert found["jain"].tolist()[1:] == [0.25, 0.5]


def test_files_are_read_as_frames_are(tmp_path: Path) -> None:
    folder = analysis.run(a_file(tmp_path), out=tmp_path)
    file = folder / "placement.parquet"
    frame = analysis.adapters_held(analysis.placements(folder), 180.0)
    pd.testing.assert_frame_equal(analysis.adapters_held(file, 180.0), frame)
    table = pq.read_table(file).rename_columns({"time": "time_seconds"})
    pd.testing.assert_frame_equal(analysis.adapters_held(table, 180.0), frame)


def test_memory_that_no_slot_is_left_for_is_stranded_and_slots_that_no_memory_is_left_for(tmp_path: Path) -> None:
    def at_end(slots: int, budget: str) -> pd.Series:
        pods = deployment(1)
        pods["spec"]["template"]["spec"]["containers"][0]["command"][-1] = str(slots)
        size = {"per_rank": "1MiB"}
        file = a_file(
            tmp_path, name=f"s{slots}", objects=[pods],
            cluster={
                "engines": {"default": {"startup": "2s", "memory": {"lora_budget": budget}}},
                "artifacts": {"size": size},
            },
            adapters=[adapters(4, replicas=1, arrive={"at": "30s"}, spec={"additionalConfig": {"rank": "16"}})],
        )  # fmt: skip
        return analysis.stranded(analysis.run(file, out=tmp_path)).iloc[0]

    full = at_end(4, "100MiB")
    assert (full["adapters"], full["slots_free"], full["slots_stranded"]) == (4, 0, 0)
    assert full["memory_stranded_bytes"] == full["memory_free_bytes"] == 36 * 2**20
    tight = at_end(8, "85MiB")
    assert (tight["slots_free"], tight["slots_stranded"]) == (4, 3)
    assert tight["memory_stranded_bytes"] == 0


def test_cold_shares_are_by_popularity_with_intervals() -> None:
    traffic = pd.DataFrame({"adapter": ["rare", "hot", "hot"], "requests": [4, 60, 40], "cold": [2, 1, 1]})
    found = analysis.cold_hits(traffic)
    assert found["adapter"].tolist() == ["hot", "rare"]
    assert found["cold_share"].tolist() == [0.02, 0.5]
    assert ((found["low"] < found["cold_share"]) & (found["cold_share"] < found["high"])).all()
    rare, hot = found.iloc[1], found.iloc[0]
    assert rare["high"] - rare["low"] > 5 * (hot["high"] - hot["low"])


def some_runs() -> pd.DataFrame:
    """Return runs of twenty seeds at each of four loads; the measure and its spread grow with the load."""
    rng = np.random.default_rng(1)
    rows = [
        {"variant": f"n={n}", "setting.n": n, "policy": policy, "seed": seed, "gpu_hours": n / 10,
         "ttft": cost * n / 100 + rng.normal(0, 0.02), "availability": 0.9 + n / 1000 + rng.normal(0, 0.001)}
        for policy, cost in (("calm", 1.0), ("wild", 3.0)) for n in (10, 20, 40, 80) for seed in range(20)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_frontier_is_where_the_whole_interval_is_still_on_the_right_side() -> None:
    table = analysis.frontier(some_runs(), "setting.n", "ttft", at_most=0.41, group="policy")
    assert analysis.reach(table, "setting.n", "policy")["setting.n"].tolist() == [40, 10]
    assert ((table["low"] <= table["mean"]) & (table["mean"] <= table["high"])).all()
    none = analysis.frontier(some_runs(), "setting.n", "ttft", at_most=0.0)
    assert analysis.reach(none, "setting.n")["setting.n"].isna().all()
    with pytest.raises(ValueError, match="exactly one of at_most and at_least"):
        analysis.frontier(some_runs(), "setting.n", "ttft")


def test_once_broken_a_promise_is_not_mended_by_a_lucky_value_further_on() -> None:
    runs = pd.DataFrame(
        [{"n": n, "seed": seed, "x": x + seed / 1e6} for n, x in ((1, 0.1), (2, 9.0), (3, 0.1)) for seed in range(5)]
    )
    assert analysis.frontier(runs, "n", "x", at_most=1)["passed"].tolist() == [True, False, False]


def test_the_cheapest_fleet_for_an_availability_is_the_first_that_reaches_it() -> None:
    found = analysis.gpu_hours_for(some_runs(), 0.935)
    assert found["gpu_hours"].is_monotonic_increasing
    assert found[found["passed"]]["variant"].iloc[0] == "n=40"
    assert not analysis.gpu_hours_for(some_runs().query("seed == 0 and policy == 'calm'"), 0.5)["passed"].any()


def test_every_drawing_goes_on_the_axes_that_it_is_given(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    folder = analysis.run(a_file(tmp_path, traffic={"rate": "2/s", "from": "1m"}), out=tmp_path)
    placements, plots = analysis.placements(folder), analysis.plots
    table = analysis.frontier(some_runs(), "setting.n", "ttft", at_most=0.41, group="policy")
    axes = Figure().subplots(2, 4).ravel()
    plots.adapters(axes[0], placements)
    plots.lorenz(axes[1], [1, 2, 3])
    plots.intervals(axes[2], table, "policy", "setting.n", unit="TTFT p95, s")
    plots.attempts(axes[3], analysis.attempts(folder))
    plots.ecdf(axes[4], analysis.loads(folder)["held_seconds"], "held")
    plots.cold(axes[5], analysis.cold_hits(analysis.traffic(folder)))
    plots.frontier(axes[6], table, "setting.n", 0.41, "policy", unit="TTFT p95, s")
    plots.stranded(axes[7], analysis.stranded(folder))
    assert all(ax.has_data() and (ax.get_ylabel() or ax is axes[3]) for ax in axes)
    assert axes[0].get_xlabel() == "minutes"
