"""`make bench`: run each benchmark in its own process, and measure raw SimPy just before it.

A separate process, because a child inherits the peak memory of its parent. Machines differ and are
shared: what can be compared is the ratio to bare SimPy timeouts of the same run. A benchmark is a module `bench_*.py`
here with `measure() -> dict[str, float]`; names say the unit. Figures go to `reports/bench.json`.
"""

import importlib
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import simpy

HERE = Path(__file__).parent
OUT = Path("reports/bench.json")
_TIMEOUTS = 200_000


def raw_simpy() -> float:
    """Return bare SimPy timeouts per second."""
    env = simpy.Environment()

    def process() -> object:
        for _ in range(_TIMEOUTS):
            yield env.timeout(1)

    env.process(process())  # type: ignore[arg-type]
    started = time.process_time()
    env.run()
    return _TIMEOUTS / (time.process_time() - started)


def measure(name: str) -> dict[str, float]:
    """Return the figures of one benchmark."""
    measured: dict[str, float] = importlib.import_module(f"tests.bench.bench_{name}").measure()
    return measured


def main(names: list[str]) -> int:
    """Run all benchmarks, or those named, and print their figures."""
    available = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    unknown = [name for name in names if name not in available]
    if unknown:
        print(f"unknown benchmark {', '.join(unknown)}; allowed: {', '.join(available)}", file=sys.stderr)
        return 2
    figures: dict[str, dict[str, float]] = {}
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for name in names or available:
            simpy_rate = pool.submit(raw_simpy).result()
            print(f"{name}  (raw SimPy: {simpy_rate:,.0f} timeouts/s)", flush=True)
            measured = pool.submit(measure, name).result()
            figures[name] = {"raw SimPy timeouts/s": round(simpy_rate), **measured}
            for what, figure in measured.items():
                print(f"  {what:<58}{figure:>16,.2f}", flush=True)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"written to {OUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
