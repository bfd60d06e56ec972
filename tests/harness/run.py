"""`make crashes`: kill the operator at every point of the lifecycle and count the recoveries; not a test.

Exit code 1 if it ends otherwise at one of them, or breaks an invariant. CI does the same in `test_crashes.py`.
"""

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from tests.harness.lifecycle import Life, Point, a_life, live, points


def lived(*killed_at: Point) -> Life:
    with tempfile.TemporaryDirectory() as folder:
        return live(a_life(Path(folder)), *killed_at)


@cache
def honest() -> dict[str, Any]:
    """Return the final state without a crash."""
    return lived().end()


def lost(point: Point) -> str:
    """Return what is wrong after a crash at this point; empty if nothing is."""
    life = lived(point)
    if not life.crashed:
        return "it was never reached"
    if life.violations:
        return f"{life.violations[0].invariant}: {life.violations[0].message}"
    return "" if life.end() == honest() else f"it ends with {differing(life.end(), honest())}"


def differing(result: dict[str, Any], expected: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {result[name]}, not {expected[name]}" for name in expected if result[name] != expected[name]
    )


def print_report(tried: Iterable[Point], wrong: Iterable[str]) -> int:
    """Print the number of points and recoveries of each kind; return the number of failures."""
    there: Counter[str] = Counter()
    recovered: Counter[str] = Counter()
    for point, message in zip(tried, wrong, strict=True):
        kind = f"{point.when} a {point.step}"
        there[kind] += 1
        recovered[kind] += not message
        if message:
            print(f"{point}: {message}")
    for kind in sorted(there):
        print(f"{kind}: {recovered[kind]} of {there[kind]} recovered")
    print(f"in all: {recovered.total()} of {there.total()} points recovered")
    return there.total() - recovered.total()


def main() -> int:
    every = points(lived().steps)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return min(print_report(every, pool.map(lost, every, chunksize=8)), 1)


if __name__ == "__main__":
    sys.exit(main())
