"""Ctrl-C in every command: one line says what was kept and how to go on."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.twin.experiments.tiny import a_file
from twin import cli
from twin.capture import comparison
from twin.commands.capture import _handlers_restored
from twin.experiments import shrink
from twin.experiments.execution.task import Interrupted, Row
from twin.runs.run import run_to_folder
from twin.scenario import load
from twin.sim.simulation import Result

AGAIN = "run the same command again"
VARY = ["--vary", "controller.retry.base=1s,2s", "--seeds", "1"]
MEASURE = ["calibrate", "--measure", "http://127.0.0.1:1", "--out", "c.yaml"]


def interrupted(*_: object, **__: object) -> Any:
    raise KeyboardInterrupt


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run `twin` in an empty folder; return its exit code and what it printed on standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["twin", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "place", "kept"),
    [
        (["--version"], "importlib.metadata.version", "nothing was kept"),
        (["run", "tiny.yaml"], "twin.scenario.load_all", "nothing was kept"),
        (["check", "tiny.yaml"], "twin.scenario.load_all", "nothing was kept"),
        (["init", "tiny.yaml"], "twin.scenario.first_draft.draft", "nothing was kept"),
        (["examples"], "twin.examples.examples", "nothing was kept"),
        (
            ["compare", "tiny.yaml", *VARY, "--jobs", "1", "--no-runs"],
            "twin.experiments.pages.comparison.render",
            f"reports/tiny/compare-controller.retry.base/runs.parquet contains all runs; {AGAIN} for the result",
        ),
        (
            ["sweep", "tiny.yaml", *VARY, "--jobs", "1"],
            "twin.experiments.pages.sweep.render",
            f"reports/tiny/sweep-controller.retry.base.parquet contains 2 finished runs; {AGAIN} to continue",
        ),
        (
            ["swarm", "--seeds", "1", "--jobs", "1"],
            "twin.experiments.swarm.measure_coverage",
            f"reports/swarm/swarm.parquet contains 1 finished runs; {AGAIN} to continue",
        ),
        (MEASURE, "twin.commands.calibrate.run_load_test", f"nothing was kept of the load test; {AGAIN}"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_command_that_is_interrupted_says_what_is_kept(
    command: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    place: str,
    kept: str,
) -> None:
    a_file(tmp_path)
    monkeypatch.setattr(place, interrupted)
    assert command(*arguments) == (130, f"twin: interrupted: {kept}\n")


def test_a_search_that_is_interrupted_after_its_last_run_says_where_all_runs_are(
    command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    a_file(tmp_path)
    monkeypatch.setattr("twin.commands.experiments.search._run", lambda *_, **__: None)
    monkeypatch.setattr("twin.commands.experiments.search._as_json", interrupted)
    kept = f"reports/tiny/search-controller.retry.base.parquet contains all runs; {AGAIN} for the result"
    arguments = ["--vary", "controller.retry.base=1s..2s", "--minimise", "adapters.running", "--seeds", "1"]
    assert command("search", "tiny.yaml", *arguments) == (130, f"twin: interrupted: {kept}\n")


def test_a_load_test_is_kept_when_its_fit_is_interrupted(
    command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin.commands.calibrate.run_load_test", lambda _: SimpleNamespace(to_json=lambda: "{}"))
    monkeypatch.setattr("twin.commands.calibrate._calibration", interrupted)
    kept = "the load test is in c.measurements.json: fit it with twin calibrate"
    assert command(*MEASURE) == (130, f"twin: interrupted: {kept}\n")
    assert Path("c.measurements.json").is_file()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Return a run folder."""
    run_to_folder(load(a_file(tmp_path)), tmp_path / "reports")
    return "reports/tiny/0"


def test_a_replay_that_is_interrupted_leaves_the_run_as_it_is(
    command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setattr("twin.runs.run.simulate_and_judge", lambda *_: SimpleNamespace(partial=True))
    assert command("replay", folder) == (130, f"twin: interrupted: {folder} is unchanged; {AGAIN}\n")


def test_shrinking_that_is_interrupted_keeps_the_smallest_scenario_so_far(
    command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    row = Row(key="", variant="", seed=0, settings={}, violation="invariant 5: late", collected={"invariants": ("5",)})
    rows = iter([row, row])

    def perform(_: object) -> Row:
        try:
            return next(rows)
        except StopIteration:
            raise Interrupted from None

    monkeypatch.setattr(shrink, "perform", perform)
    code, line = command("shrink", folder, "--out", "small.yaml")
    assert (code, line) == (
        130,
        "twin: interrupted: small.yaml is the smallest so far, after 2 runs; go on from a run of it\n",
    )
    assert load(Path("small.yaml")).duration <= 180
    code, line = command("shrink", folder, "--out", "none.yaml")
    assert (code, line) == (130, f"twin: interrupted: {folder} is unchanged; {AGAIN}\n")
    assert not Path("none.yaml").exists()


def test_a_served_world_and_a_node_that_are_stopped_say_what_is_kept(
    command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("twin.serve.server.serve", lambda *_: None)
    a_file(tmp_path)
    stopped = "twin: stopped; nothing was kept: --until-end writes a run folder\n"
    assert command("serve", "tiny.yaml") == (0, stopped)
    connection = SimpleNamespace(url="http://127.0.0.1:1", headers={}, trust=False)
    monkeypatch.setattr("twin.commands.node.server_connection", lambda _: connection)
    monkeypatch.setattr("twin.process_node.kubelet.NodeKubelet.run", interrupted)
    assert command("node", "here", "--logs", "logs") == (0, "twin: node here has left; logs are in logs/\n")


def test_a_part_of_a_run_is_not_compared_with_a_capture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(comparison, "simulate", lambda _: Result((), partial=True))
    history: Any = SimpleNamespace(phases={}, arrivals={})
    with pytest.raises(KeyboardInterrupt):
        comparison.compare_phases(a_file(tmp_path), history)


def test_the_handlers_of_signals_are_restored_after_a_watch() -> None:
    async def watch() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, print)

    before = [signal.signal(signal.SIGTERM, lambda *_: None), signal.getsignal(signal.SIGINT)]
    try:
        expected = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        with _handlers_restored():
            asyncio.run(watch())
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == expected
    finally:
        signal.signal(signal.SIGTERM, before[0])
