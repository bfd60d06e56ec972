"""Many runs: speed-up of two processes, overhead per run, and growth of memory with the number of runs.

The ratio is of the wall clock and needs two idle cores; overhead is processor time, of the parent and
its workers together, less what the same runs take without any harness.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.twin.experiments.tiny import a_file
from twin.evaluate.judge import evaluate
from twin.experiments.design import build_design
from twin.sim.simulation import simulate

FLAPPING = Path("scenarios/flapping-readiness.yaml")
RUNS = int(os.environ.get("LAB_RUNS", "200"))

_PROGRAM = """
import json, resource, sys
from twin import cli
sys.argv = ["twin", *sys.argv[1:]]
try:
    cli.main()
except SystemExit:
    pass
own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime
print(json.dumps({"cpu": cpu, "rss": own.ru_maxrss / 1024}))
"""


def _sweep(file: Path, seeds: int, jobs: int) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and the peak MiB of the parent."""
    with tempfile.TemporaryDirectory() as out:
        vary = "controller.max_concurrent_reconciles=16"
        command = [sys.executable, "-c", _PROGRAM, "sweep", str(file), "--vary", vary]
        started = time.perf_counter()
        done = subprocess.run(
            [*command, "--seeds", str(seeds), "--jobs", str(jobs), "--out", out],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        wall = time.perf_counter() - started
    used = json.loads(done.stdout.splitlines()[-1])
    return wall, used["cpu"], used["rss"]


def _bare(file: Path, seeds: int) -> float:
    """Return the CPU seconds of the same runs and their evaluation in a plain loop."""
    design = build_design(file, [{"controller.max_concurrent_reconciles": "16"}], {}, seeds)
    started = time.process_time()
    for seed in design.seeds:
        scenario = design.task(design.baseline, seed).scenario
        evaluate(simulate(scenario).lines, scenario.expect)
    return time.process_time() - started


def measure() -> dict[str, float]:
    """Figures for `make bench`; `LAB_RUNS` sets the number of runs."""
    alone, _, _ = _sweep(FLAPPING, RUNS, 1)
    together, _, _ = _sweep(FLAPPING, RUNS, 2)
    with tempfile.TemporaryDirectory() as folder:
        tiny = a_file(Path(folder))
        _, start, _ = _sweep(tiny, 20, 1)
        _, whole, _ = _sweep(tiny, 20 + RUNS, 1)
        bare = _bare(tiny, 20 + RUNS) - _bare(tiny, 20)
        few, many = (_sweep(tiny, count, 2)[2] for count in (20, 20 + RUNS))  # where others do the runs
    return {
        f"{RUNS} runs of flapping-readiness: seconds on one process": alone,
        f"{RUNS} runs of flapping-readiness: seconds on two processes": together,
        "two processes are faster by a factor of": alone / together,
        "overhead of the harness: ms a run": 1000 * (whole - start - bare) / RUNS,
        "peak memory of 20 runs, MiB": few,
        f"peak memory of {20 + RUNS} runs, MiB": many,
    }
