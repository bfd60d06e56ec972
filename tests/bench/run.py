"""`make bench`: run each benchmark in its own process, and measure raw SimPy just before it.

A separate process, because a child inherits the peak memory of its parent. A benchmark is a module `bench_*.py` here
with `measure() -> dict[str, float]`; names say the unit. Figures go to `reports/bench.json`.

Machines differ and are shared, so CPU seconds, and what is counted a CPU second, are also printed as raw events: the
number of bare SimPy timeouts that the same CPU time would have paid for in that minute. Those are printed with their
ratio to the stored ones in `stored.json`; `--store` writes it again.
"""

import importlib
import json
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import simpy

from tests.bench.figures import comparison, events_name, raw_events

HERE = Path(__file__).parent
OUT = Path("reports/bench.json")
STORED = HERE / "stored.json"
"""Raw events by benchmark and figure."""
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


def main(arguments: list[str]) -> int:
    """Run all benchmarks, or those named, and print their figures."""
    names = [name for name in arguments if name != "--store"]
    available = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    unknown = [name for name in names if name not in available]
    if unknown:
        print(f"unknown benchmark {', '.join(unknown)}; allowed: {', '.join(available)}", file=sys.stderr)
        return 2
    stored: dict[str, dict[str, float]] = json.loads(STORED.read_text(encoding="utf-8"))
    figures: dict[str, dict[str, float]] = {}
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for name in names or available:
            simpy_rate = pool.submit(raw_simpy).result()
            print(f"{name}  (raw SimPy: {simpy_rate:,.0f} timeouts/s)", flush=True)
            measured = pool.submit(measure, name).result()
            events = raw_events(measured, simpy_rate)
            figures[name] = {"raw SimPy timeouts/s": round(simpy_rate), **measured, **events}
            _print(measured, events, stored.get(name, {}))
            stored[name] = events
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"written to {OUT}")
    if "--store" in arguments:
        kept = {name: events for name, events in sorted(stored.items()) if events}
        STORED.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return 0


def _print(measured: Mapping[str, float], events: Mapping[str, float], stored: Mapping[str, float]) -> None:
    for what, figure in measured.items():
        print(f"  {what:<62}{figure:>16,.2f}", flush=True)
        if (name := events_name(what)) in events:
            print(f"  {name:<62}{events[name]:>16,.2f}{comparison(events[name], stored.get(name))}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
