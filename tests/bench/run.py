"""`make bench`: every benchmark in a process of its own, each figure beside raw SimPy measured just before it.

Of its own, because a process takes the highest memory of the one that started it for its own. Machines differ and are
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
    """Bare SimPy timeouts a second."""
    env = simpy.Environment()

    def process() -> object:
        for _ in range(_TIMEOUTS):
            yield env.timeout(1)

    env.process(process())  # type: ignore[arg-type]
    started = time.process_time()
    env.run()
    return _TIMEOUTS / (time.process_time() - started)


def figures_of(name: str) -> dict[str, float]:
    """What one benchmark measures."""
    measured: dict[str, float] = importlib.import_module(f"tests.bench.bench_{name}").measure()
    return measured


def main(names: list[str]) -> int:
    """Runs all benchmarks, or those named, and prints as it goes."""
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    figures: dict[str, dict[str, float]] = {}
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as fresh:
        for name in names or known:
            simpy_rate = fresh.submit(raw_simpy).result()
            print(f"{name}  (raw SimPy: {simpy_rate:,.0f} timeouts/s)", flush=True)
            measured = fresh.submit(figures_of, name).result()
            figures[name] = {"raw SimPy timeouts/s": round(simpy_rate), **measured}
            for what, figure in measured.items():
                print(f"  {what:<58}{figure:>16,.2f}", flush=True)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"written to {OUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
