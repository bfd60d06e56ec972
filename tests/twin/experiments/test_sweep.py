"""`twin sweep`: the same table with any executor and after any interruption; no run is lost or repeated."""

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import distributed
import psutil
import pyarrow.parquet as pq
import pytest
from distributed import Client, Future
from distributed.comm import CommClosedError

from tests.twin.experiments.tiny import a_file
from twin.experiments.execution import trial
from twin.experiments.execution.results import ResultStore, StoreError, database_path
from twin.experiments.execution.task import Task
from twin.scenario import MEASURES

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
AXES = ("--vary", "controller.policy=random,bin-pack", "--vary", "controller.retry.base=1s,5s")
SEEDS = "10"
"""Seeds of four variants: enough runs to kill something in the middle."""
TARGET = "tiny/sweep-controller.policy+controller.retry.base.parquet"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the Parquet file of a sweep in one process."""
    folder = tmp_path_factory.mktemp("alone")
    in_a_process(a_file(folder), "--seeds", SEEDS, "--jobs", "1", out=folder)
    return (folder / TARGET).read_bytes()


def in_a_process(file: Path, *arguments: str, out: Path) -> None:
    """Run `twin sweep` as a user would."""
    started(file, *arguments, out=out).communicate()
    assert (out / TARGET).is_file()


def started(file: Path, *arguments: str, out: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "twin", "sweep", str(file), *AXES, *arguments, "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def stored_rows(out: Path) -> int:
    """Return the number of stored rows of a running sweep, from a copy, since the sweep locks its database."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                file = database_path(out / TARGET)
                shutil.copy(f"{file}{suffix}", f"{folder}/copy{suffix}")
        with closing(sqlite3.connect(f"{folder}/copy")) as database, suppress(sqlite3.DatabaseError):
            return int(database.execute("SELECT count(*) FROM rows").fetchone()[0])
    return 0


def wait_for_rows(out: Path, count: int, sweep: "subprocess.Popen[str]") -> None:
    """Wait until `count` runs are stored."""
    pause = threading.Event()
    for _ in range(1200):
        if stored_rows(out) >= count:
            return
        assert sweep.poll() is None, sweep.communicate()[1]
        pause.wait(0.05)
    raise AssertionError(f"{count} runs did not come in a minute")


def test_a_grid_has_one_row_per_run_and_every_column_is_described(
    command: Command, capsys: Capture, tmp_path: Path
) -> None:
    assert command("sweep", a_file(tmp_path), *AXES, "--seeds", 2, "--jobs", 1, "--out", tmp_path) == 0
    table = pq.read_table(tmp_path / TARGET)
    assert table.num_rows == 8
    columns = table.column_names
    assert columns[:5] == ["variant", "seed", "key", "setting.controller.policy", "setting.controller.retry.base"]
    assert columns[5:] == [*sorted(MEASURES), "passed", "violation", "error"]
    assert all(field.metadata[b"meaning"] for field in table.schema)
    about = table.schema.metadata
    assert (about[b"scenario"], about[b"schema"], about[b"partial"]) == (b"tiny", b"1", b"false")
    assert f"{tmp_path / TARGET}: 8 runs, 4 variants with 2 seeds each; 8 were new" in capsys.readouterr().out


def test_the_scenarios_own_variants_are_swept_by_default(command: Command, tmp_path: Path) -> None:
    file = a_file(tmp_path, vary={"controller.max_concurrent_reconciles": [4, 8, 16]})
    assert command("sweep", file, "--seeds", 1, "--jobs", 1, "--out", tmp_path) == 0
    table = pq.read_table(tmp_path / "tiny/sweep-controller.max_concurrent_reconciles.parquet")
    assert table["setting.controller.max_concurrent_reconciles"].to_pylist() == ["4", "8", "16"]


def test_random_points_lie_within_their_ends_and_more_of_them_are_the_same_and_more(
    command: Command, tmp_path: Path
) -> None:
    def points(count: int, out: str) -> list[tuple[float, str]]:
        assert command(
            "sweep", a_file(tmp_path), "--vary", "controller.retry.base=1s..60s log", "--vary",
            "controller.policy=random,bin-pack", "--random", count, "--seeds", 1, "--jobs", 1, "--out", tmp_path / out,
        ) == 0  # fmt: skip
        table = pq.read_table(tmp_path / out / "tiny/sweep-controller.retry.base+controller.policy.parquet")
        bases = table["setting.controller.retry.base"].to_pylist()
        return list(zip(bases, table["setting.controller.policy"].to_pylist(), strict=True))

    few, more = points(3, "few"), points(6, "more")
    assert more[:3] == few
    assert len({base for base, _ in more}) == 6


def test_a_second_start_runs_nothing_and_writes_the_same_bytes(
    command: Command, capsys: Capture, tmp_path: Path
) -> None:
    file = a_file(tmp_path)
    arguments = ("sweep", file, *AXES, "--jobs", 1, "--out", tmp_path, "--json")
    assert command(*arguments, "--seeds", 2) == 0
    before = (tmp_path / TARGET).read_bytes()
    capsys.readouterr()
    assert command(*arguments, "--seeds", 2) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == {"total": 8, "fresh": 0, "crashed": 0, "broken": 0}
    assert (tmp_path / TARGET).read_bytes() == before
    assert command(*arguments, "--seeds", 3) == 0
    assert json.loads(capsys.readouterr().out)["runs"]["fresh"] == 4


def test_a_run_that_crashes_is_a_row_with_its_error(
    command: Command, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = trial.simulate

    def fragile(scenario: Any) -> Any:
        if scenario.seed == 1 and scenario.controller.policy == "random":
            raise RuntimeError("a bug that only some meet")
        return honest(scenario)

    monkeypatch.setattr(trial, "simulate", fragile)
    assert command("sweep", a_file(tmp_path), *AXES, "--seeds", 2, "--jobs", 1, "--out", tmp_path) == 1
    rows = pq.read_table(tmp_path / TARGET).to_pylist()
    crashed = [row for row in rows if row["error"]]
    assert [(row["seed"], row["setting.controller.policy"]) for row in crashed] == [(1, "random")] * 2
    assert crashed[0]["error"].startswith("RuntimeError: a bug that only some meet")
    assert crashed[0]["availability"] is crashed[0]["passed"] is None
    assert "2 crashed" in capsys.readouterr().out


def test_ctrl_c_keeps_finished_runs_and_the_same_command_completes_with_the_same_bytes(
    tmp_path: Path, alone: bytes
) -> None:
    file = a_file(tmp_path)
    sweep = started(file, "--seeds", SEEDS, "--jobs", "2", out=tmp_path)
    wait_for_rows(tmp_path, 2, sweep)
    os.killpg(sweep.pid, signal.SIGINT)
    _, message = sweep.communicate(timeout=60)
    assert sweep.returncode == 130, message
    assert message.endswith("finished runs; run the same command again to continue\n")
    assert message.count("\n") == 1
    table = pq.read_table(tmp_path / TARGET)
    assert 2 <= table.num_rows < 4 * int(SEEDS)
    assert table.schema.metadata[b"partial"] == b"true"
    in_a_process(file, "--seeds", SEEDS, "--jobs", "1", out=tmp_path)
    assert (tmp_path / TARGET).read_bytes() == alone


def test_ctrl_c_while_the_worker_processes_start_prints_no_traceback(tmp_path: Path) -> None:
    sweep = started(a_file(tmp_path), "--seeds", SEEDS, "--jobs", "2", out=tmp_path)
    pause = threading.Event()
    while not list(workers(sweep.pid)):
        assert sweep.poll() is None, sweep.communicate()[1]
        pause.wait(0.02)
    os.killpg(sweep.pid, signal.SIGINT)
    _, stderr = sweep.communicate(timeout=60)
    assert sweep.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "KeyboardInterrupt" not in stderr


def test_a_process_of_joblib_that_is_killed_costs_no_run_and_changes_no_byte(tmp_path: Path, alone: bytes) -> None:
    sweep = started(a_file(tmp_path), "--seeds", SEEDS, "--jobs", "2", out=tmp_path)
    wait_for_rows(tmp_path, 2, sweep)
    kill_one(sweep, workers)
    _, message = sweep.communicate(timeout=120)
    assert sweep.returncode == 0, message
    assert (tmp_path / TARGET).read_bytes() == alone


def test_on_a_dask_cluster_that_loses_a_worker_the_bytes_are_those_of_one_process(tmp_path: Path, alone: bytes) -> None:
    with a_dask_cluster(tmp_path) as (address, workers):
        sweep = started(a_file(tmp_path), "--seeds", SEEDS, "--executor", "dask", "--address", address, out=tmp_path)
        wait_for_rows(tmp_path, 2, sweep)
        os.kill(workers[0], signal.SIGKILL)
        _, message = sweep.communicate(timeout=120)
    assert sweep.returncode == 0, message
    assert (tmp_path / TARGET).read_bytes() == alone


def test_a_lost_dask_scheduler_is_an_error_in_one_line_and_finished_runs_are_kept(
    tmp_path: Path,
) -> None:
    with a_dask_cluster(tmp_path) as (address, _):
        sweep = started(a_file(tmp_path), "--seeds", "60", "--executor", "dask", "--address", address, out=tmp_path)
        wait_for_rows(tmp_path, 2, sweep)
    _, message = sweep.communicate(timeout=120)
    assert sweep.returncode == 2, message
    assert message.startswith("the Dask scheduler is lost; ")
    assert len(message.splitlines()) == 1
    assert pq.read_table(tmp_path / TARGET).num_rows >= 2


@pytest.mark.parametrize("method", ["submit", "wait", "result"])
def test_every_request_to_a_lost_dask_scheduler_reports_the_loss(
    method: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def lost(*_: Any, **__: Any) -> None:
        raise CommClosedError("in <TCP (closed)>: Stream is closed")

    monkeypatch.setattr({"submit": Client, "wait": distributed, "result": Future}[method], method, lost)
    assert command("sweep", a_file(tmp_path), *AXES, "--executor", "dask", "--jobs", 1, "--out", tmp_path) == 2
    message = capsys.readouterr().err
    assert message.startswith("the Dask scheduler is lost"), message


def test_on_a_local_ray_that_loses_a_worker_the_bytes_are_those_of_one_process(tmp_path: Path, alone: bytes) -> None:
    sweep = started(a_file(tmp_path), "--seeds", SEEDS, "--executor", "ray", "--jobs", "2", out=tmp_path)
    wait_for_rows(tmp_path, 2, sweep)
    kill_one(sweep, ray_workers)
    _, message = sweep.communicate(timeout=120)
    assert sweep.returncode == 0, message
    assert (tmp_path / TARGET).read_bytes() == alone


def kill_one(sweep: "subprocess.Popen[str]", workers: Callable[[int], Iterator[int]]) -> None:
    """Kill the first of a sweep's worker processes; Ray's have another name between two tasks."""
    pause = threading.Event()
    while sweep.poll() is None:
        for worker in workers(sweep.pid):
            os.kill(worker, signal.SIGKILL)
            return
        pause.wait(0.01)
    raise AssertionError(f"no worker was found: {sweep.communicate()[1]}")


def workers(pid: int) -> Iterator[int]:
    """Yield the processes that were forked from the fork server."""
    for server in called(pid, "forkserver"):
        with suppress(psutil.NoSuchProcess):
            yield from (process.pid for process in psutil.Process(server).children())


def ray_workers(pid: int) -> Iterator[int]:
    """Yield Ray's processes that run a task."""
    return called(pid, "ray::perform")


def called(pid: int, name: str) -> Iterator[int]:
    """Yield the child processes whose command line contains `name`."""
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if name in " ".join(child.cmdline()):
                yield child.pid


CLUSTER = """
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, *(worker.process.pid for worker in cluster.workers.values()), flush=True)
        input()
"""


@contextmanager
def a_dask_cluster(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Start a scheduler and two worker processes; kill them at the end."""
    (folder / "cluster.py").write_text(CLUSTER)
    cluster = subprocess.Popen(
        [sys.executable, str(folder / "cluster.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert cluster.stdout is not None
        address, *workers = cluster.stdout.readline().split()
        yield address, list(map(int, workers))
    finally:
        os.killpg(cluster.pid, signal.SIGKILL)
        cluster.communicate()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--vary", "controller.retry.base=1s..60s"],
            "a grid needs values; allowed: A,B,C, or a range with --random N",
        ),
        (["--vary", "controller.retry.base=60s..1s", "--random", "3"], "has its ends in the wrong order"),
        (["--vary", "controller.polcy=random,bin-pack"], 'did you mean "policy"'),
        (
            ["--vary", "controller.policy=random,bin-pak"],
            "controller.policy=bin-pak: controller.policy: unknown policy",
        ),
        (["--vary", "seed=1,2"], "the seed cannot vary between variants"),
        ([], "no axes; use --vary PATH=A,B,C or a `vary:` section in the scenario"),
        ([*AXES, "--executor", "dask", "--address", "tcp://127.0.0.1:9"], "no answer"),
        ([*AXES, "--executor", "ray", "--address", "127.0.0.1:9"], "no answer"),
        ([*AXES, "--executor", "ray", "--address", "ray://127.0.0.1:9"], "no answer"),
        ([*AXES, "--out", "a-file"], "a-file"),
    ],
)
def test_an_invalid_sweep_is_refused_in_one_line_before_the_first_run(
    command: Command, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    assert command("sweep", a_file(tmp_path), "--seeds", 1, *arguments) == 2
    printed, err = capsys.readouterr()
    assert printed == ""
    assert line in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "reports").exists()


def test_a_full_disk_is_an_error_in_one_line_and_finished_runs_are_kept(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    command = [sys.executable, "-m", "twin", "sweep", str(file), *AXES, "--seeds", "6", "--jobs", "1"]
    full = subprocess.run(
        [*command, "--out", str(tmp_path)], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)),
    )  # fmt: skip
    assert full.returncode == 2, full.stderr
    assert full.stderr.count("\n") == 1
    assert "cannot be written: disk I/O error; finished runs are stored; run the same command again" in full.stderr
    again = subprocess.run([*command, "--out", str(tmp_path), "--json"], capture_output=True, text=True, check=True)
    runs = json.loads(again.stdout)["runs"]
    assert runs["total"] == 24
    assert 0 < runs["fresh"] < 24


def test_two_at_a_time_in_one_place_are_one_too_many(tmp_path: Path) -> None:
    with ResultStore(tmp_path / "runs.parquet"), pytest.raises(StoreError, match="another twin process has it open"):
        ResultStore(tmp_path / "runs.parquet")


def test_a_process_that_is_killed_loses_no_stored_row(tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    program = f"""
import os, pathlib
from twin.experiments.execution.results import ResultStore
from twin.experiments.execution.task import Row
store = ResultStore(pathlib.Path({str(path)!r}))
for seed in range(3):
    store.add(Row(key=f"k{{seed}}", variant="v", seed=seed, settings={{}}))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    with ResultStore(path) as store:
        assert len(store) == 3
        assert [row.key for row in store.rows(["k2", "missing", "k0"])] == ["k2", "k0"]


def test_a_file_that_is_no_result_database_is_refused(tmp_path: Path) -> None:
    database_path(tmp_path / "runs.parquet").write_text("text of another program\n" * 100)
    with pytest.raises(StoreError, match="is not a result database; move it away or choose another --out"):
        ResultStore(tmp_path / "runs.parquet")


@pytest.mark.parametrize("command_name", ["compare", "sweep", "search", "swarm"])
def test_the_old_flag_for_the_executor_is_refused_with_the_new_one(
    command_name: str, command: Command, capsys: Capture
) -> None:
    assert command(command_name, "file.yaml", "--engine", "dask") == 2
    assert "unknown flag --engine; it is called --executor now" in capsys.readouterr().err


def test_no_more_tasks_are_held_than_workers_can_be_kept_busy_with(tmp_path: Path) -> None:
    from twin.experiments.design import build_design
    from twin.experiments.execution.executors import open_executor

    design, drawn = build_design(a_file(tmp_path), [{}], {}, 500), 0

    def tasks() -> Iterator[Task]:
        nonlocal drawn
        for seed in design.seeds:
            drawn += 1
            yield design.task(design.baseline, seed)

    with open_executor("joblib", 1) as execute:
        rows = execute(tasks())
        for _ in range(3):
            next(rows)
    assert drawn <= 4
