"""`make crashes`: kill the operator at every point of an adapter's life and of a move, count recoveries; not a test.

Exit code 1 if it ends otherwise at one of them, or breaks an invariant. CI does the same in `test_crashes.py`.
"""

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

from tests.harness.lifecycle import Life, Point, a_life, a_move, live, move_points, points

LIVES = {"life": a_life, "move": a_move}


def lived(name: str, *killed_at: Point) -> Life:
    with tempfile.TemporaryDirectory() as folder:
        return live(LIVES[name](Path(folder)), *killed_at)


@cache
def honest(name: str) -> dict[str, Any]:
    """Return the final state without a crash."""
    return lived(name).end()


def lost(name: str, point: Point) -> str:
    """Return what is wrong after a crash at this point of a life; empty if nothing is."""
    life = lived(name, point)
    if not life.crashed:
        return "it was never reached"
    if life.violations:
        return f"{life.violations[0].invariant}: {life.violations[0].message}"
    return "" if life.end() == honest(name) else f"it ends with {differing(life.end(), honest(name))}"


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
    failures = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name, every in (("life", points(lived("life").steps)), ("move", move_points(lived("move")))):
            print(f"-- {name}", flush=True)
            failures += print_report(every, pool.map(partial(lost, name), every, chunksize=8))
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
