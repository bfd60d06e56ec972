"""Times of faults, alone and in a fake engine."""

import asyncio
import math
import re
from collections.abc import Mapping
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_vllm.distributions import Constant, Uniform
from fake_vllm.faults.effects import FaultRules
from fake_vllm.faults.spec import FaultSpec, describe
from fake_vllm.faults.windows import Window, flap_windows, occurrences, window
from fake_vllm.server.fault_injector import FaultInjector
from twin.kernel import loop


@pytest.mark.parametrize(
    ("until", "horizon", "end"),
    [(None, 60.0, math.inf), (30.0, 60.0, 30.0), (60.0, 60.0, 60.0), (61.0, 60.0, math.inf), (61.0, math.inf, 61.0)],
)
def test_a_window_that_ends_after_the_horizon_has_no_end(until: float | None, horizon: float, end: float) -> None:
    assert window(10.0, until, horizon) == Window(10.0, end)


def test_flapping_starts_unready_and_ends_ready() -> None:
    assert list(flap_windows(Window(10, 35), unready_for=4, ready_for=8)) == [(10, 14), (22, 26), (34, 35)]
    assert list(islice(flap_windows(Window(0), unready_for=1, ready_for=2), 3)) == [(0, 1), (3, 4), (6, 7)]
    assert list(flap_windows(Window(5, 5), unready_for=1, ready_for=1)) == []


durations = st.floats(0.5, 50)


@given(st.floats(0, 100), durations, durations, durations)
def test_flap_windows_are_ordered_and_disjoint_and_within_the_whole(
    start: float, length: float, down: float, up: float
) -> None:
    turns = list(flap_windows(Window(start, start + length), unready_for=down, ready_for=up))
    assert turns[0].start == start
    assert all(turn.start < turn.end <= start + length for turn in turns)
    assert all(after.start >= before.end + up for before, after in pairwise(turns))


def test_occurrences_have_the_interval_between_them_and_after_the_start() -> None:
    rng = np.random.default_rng(0)
    assert list(occurrences(Window(10, 40), Constant(10), rng)) == [20, 30, 40]
    moments = list(occurrences(Window(100, 500), Uniform(5, 20), rng))
    assert all(5 <= after - before <= 20 for before, after in pairwise([100, *moments]))
    assert 480 < moments[-1] <= 500


class Struck:
    """A process that records restarts and crashes."""

    def __init__(self, seen: list[tuple[float, object]]) -> None:
        self._seen = seen

    def restart(self) -> None:
        self._seen.append((asyncio.get_running_loop().time(), "restart"))

    def crash(self, code: int, signal: int | None) -> None:
        self._seen.append((asyncio.get_running_loop().time(), (code, signal)))


def carried_out(said: Mapping[str, Any], seconds: float = 100) -> list[tuple[float, object]]:
    """Return the times of a fault requested at 7 s, in seconds from then, and the faults that are left."""
    seen: list[tuple[float, object]] = []

    async def story() -> None:
        faults = FaultRules()
        faults.on_change.append(lambda: seen.append((asyncio.get_running_loop().time(), bool(faults.rules))))
        injector = FaultInjector(faults, Struck(seen), seed=0)
        await asyncio.sleep(7)
        injector.add(FaultSpec.parse(said))
        await asyncio.sleep(seconds)
        seen.append((107, [force for _, force in injector.faults.values()]))
        injector.clear()

    loop.run(story())
    return [(moment - 7, what) for moment, what in seen]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"kind": "slow"}, [(0, True), (100, [True]), (100, False)]),
        ({"kind": "slow", "from": "10s", "until": "30s"}, [(10, True), (30, False), (100, [])]),
        ({"kind": "slow", "from": "2m"}, [(100, [False])]),
        (
            {"kind": "readiness-flap", "from": "10s", "until": "23s", "unready_for": "4s", "ready_for": "8s"},
            [(10, True), (14, False), (22, True), (23, False), (100, [])],
        ),
        ({"kind": "engine-restart", "at": "5s"}, [(5, "restart"), (100, [])]),
        (
            {"kind": "engine-restart", "every": "30s", "from": "20s"},
            [(50, "restart"), (80, "restart"), (100, [False])],
        ),
        ({"kind": "crash", "at": "1s", "code": 3}, [(1, (3, None)), (100, [])]),
    ],
)
def test_a_fake_engine_keeps_to_the_schedule(said: dict[str, Any], expected: list[tuple[float, object]]) -> None:
    assert carried_out(said) == expected


def test_random_times_depend_on_the_seed() -> None:
    said = {"kind": "engine-restart", "every": {"uniform": ["5s", "20s"]}}
    moments = [moment for moment, what in carried_out(said) if what == "restart"]
    assert moments == pytest.approx(
        list(occurrences(Window(0, 100), Uniform(5, 20), np.random.default_rng((0, 3, 1)))), abs=1e-9
    )


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "engine-restart", "at": "5s"},
        {"kind": "engine-restart", "every": {"exponential": "600s"}, "from": "60s", "until": "3600s"},
        {"kind": "readiness-flap", "from": "0s", "ready_for": "8s", "unready_for": "4s"},
    ],
)
def test_a_fault_is_described_with_the_fields_it_was_parsed_from(said: dict[str, Any]) -> None:
    assert describe(FaultSpec.parse(said)) == said


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ({"every": "10s", "at": "3s"}, "engine-restart: both at and every are set; allowed: one of them"),
        ({"at": "3s", "until": "9s"}, "engine-restart: until needs every; allowed: at, or every with from and until"),
        ({"every": "0s"}, "every: is 0; allowed: a duration above 0"),
        ({"every": "often"}, 'every: "often" is not a duration; allowed: a duration such as 250ms, 90s, 1h30m or 2d'),
    ],
)
def test_times_that_make_no_sense_are_refused(said: dict[str, Any], refusal: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(refusal)}$"):
        FaultSpec.parse({"kind": "engine-restart", **said})


def test_a_lasting_fault_has_no_every() -> None:
    for kind in ("slow", "crash"):
        with pytest.raises(ValueError, match=f"{kind}: unknown field 'every'"):
            FaultSpec.parse({"kind": kind, "every": "10s"})
