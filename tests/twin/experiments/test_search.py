"""`twin search`: finds the optimum, reproducibly, and reports what new seeds confirm."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.twin.experiments.tiny import a_file
from twin.experiments.search import Objective, constraint_violations
from twin.scenario import parse_expectation

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
REFUSED = [{"kind": "connection-refused", "pods": "all", "from": "20s", "until": "60s"}]
"""Forty seconds without anybody to ask: a schedule that asks seldom is cheap, one that asks too seldom is late."""
SCHEDULE = (
    "--vary", "controller.retry.base=1s..30s log", "--vary", "controller.retry.factor=1.0..2.5",
    "--vary", "controller.policy=least-adapters,random",
)  # fmt: skip
CHEAPEST = ("--minimise", "loads.attempted", "--satisfy", "time_to_running_seconds.max <= 45")


def found(command: Command, capsys: Capture, *arguments: object, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert command("search", *arguments, "--jobs", 1, "--json") == code
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return a_file(tmp_path, faults=REFUSED, duration="2m")


def test_the_cheapest_schedule_that_is_still_quick_enough_is_found_and_checked_on_fresh_seeds(
    command: Command, capsys: Capture, file: Path, tmp_path: Path
) -> None:
    told = found(command, capsys, file, *SCHEDULE, *CHEAPEST, "--trials", 16, "--seeds", 2, "--out", tmp_path)
    kept = [trial for trial in told["trials"] if trial["satisfied"]]
    assert len(told["trials"]) == 16
    assert told["best"]["means"]["loads.attempted"] == min(trial["means"]["loads.attempted"] for trial in kept)
    assert told["best"]["means"]["time_to_running_seconds.max"] <= 45
    (loads,) = (c for c in told["check"]["against_unchanged_scenario"] if c["measure"] == "loads.attempted")
    assert loads["pairs"] == 20
    assert told["check"]["means"]["loads.attempted"] == loads["variant_mean"]


def test_the_same_search_seed_gives_the_same_points_and_another_gives_others(
    command: Command, capsys: Capture, file: Path, tmp_path: Path
) -> None:
    def points(out: str, *more: object) -> list[Any]:
        arguments = (*SCHEDULE, *CHEAPEST, "--trials", 6, "--seeds", 1, "--out", tmp_path / out, *more)
        code = command("search", file, *arguments, "--jobs", 1)
        assert code in (0, 1)
        capsys.readouterr()
        (written,) = (tmp_path / out / "tiny").glob("search-*.json")
        return [trial["settings"] for trial in json.loads(written.read_text())["trials"]]

    assert points("one") == points("other")
    assert points("one") != points("third", "--search-seed", 1)


def test_where_any_point_will_do_the_first_that_keeps_the_limits_ends_it(
    command: Command, capsys: Capture, file: Path, tmp_path: Path
) -> None:
    told = found(
        command, capsys, file, *SCHEDULE, "--satisfy", "adapters.running == 6", "--trials", 40, "--seeds", 1,
        "--out", tmp_path,
    )  # fmt: skip
    assert len(told["trials"]) == 4
    assert told["minimise"] is None
    assert told["best"]


def test_limits_that_no_point_satisfies_exit_with_1(
    command: Command, capsys: Capture, file: Path, tmp_path: Path
) -> None:
    arguments = (file, *SCHEDULE, "--satisfy", "time_to_running_seconds.max < 1", "--trials", 4, "--seeds", 1)
    assert command("search", *arguments, "--jobs", 1, "--out", tmp_path) == 1
    out = capsys.readouterr().out
    assert "4 points with 1 seeds each; 0 satisfy the limits" in out
    assert "none found" in out


def test_settings_that_do_not_go_together_are_a_point_that_cannot_be_judged_not_the_end(
    command: Command, capsys: Capture, file: Path, tmp_path: Path
) -> None:
    told = found(
        command, capsys, file, "--vary", "controller.retry.base=1s..300s", "--vary", "controller.retry.cap=250s,600s",
        "--minimise", "loads.attempted", "--trials", 12, "--seeds", 1, "--out", tmp_path,
        "--set", "controller.retry.base=1s",
    )  # fmt: skip
    troubles = [trial["error"] for trial in told["trials"] if trial["error"]]
    assert troubles
    assert all("the cap is below the base" in trouble for trouble in troubles)
    assert told["best"]


@pytest.mark.parametrize(
    ("limit", "value", "excess"),
    [("a <= 2", 2, 0), ("a < 2", 2, 1e-9), ("a <= 2", 3, 0.5), ("a >= 4", 3, 0.25), ("a == 0", 0.5, 0.5)],
)
def test_a_limit_is_missed_by_a_share_of_itself(limit: str, value: float, excess: float) -> None:
    expectation = parse_expectation(limit.replace("a", "availability"))
    assert constraint_violations(Objective(limits=(expectation,)), {"availability": value}) == (pytest.approx(excess),)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([*SCHEDULE], "no objective; use --minimise MEASURE"),
        ([*SCHEDULE, "--minimise", "loads.attemted"], 'did you mean "loads.attempted"'),
        ([*SCHEDULE, "--minimise", "pod_switches", "--maximise", "availability"], "exclude each other"),
        ([*SCHEDULE, "--satisfy", "availability is high"], '"availability is high" is not an expectation'),
        ([*SCHEDULE, "--satisfy", "availabilty > 0.9"], 'did you mean "availability"'),
        (["--vary", "controller.retry.retries=0..-1", "--minimise", "pod_switches"], "has its ends in the wrong order"),
        (["--vary", "controller.retry.jitter=0.5..2.0", "--minimise", "pod_switches"], "controller.retry.jitter=2"),
        (["--minimise", "pod_switches"], "no axes; use"),
    ],
)
def test_an_invalid_search_is_refused_in_one_line_before_the_first_run(
    command: Command, capsys: Capture, tmp_path: Path, arguments: list[str], line: str
) -> None:
    assert command("search", a_file(tmp_path), *arguments, "--jobs", 1, "--out", tmp_path / "out") == 2
    printed, err = capsys.readouterr()
    assert printed == ""
    assert line in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.glob("out/tiny/*.parquet"))
