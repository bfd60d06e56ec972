"""The operator against `fake-vllm` processes and against the twin's engines: the same fault has the same result."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_vllm.stories import FIRST, Engine, engines, live, simulated

OK = [("base-1", "200")]


@pytest.fixture(scope="module")
def three() -> Iterator[list[Engine]]:
    with engines() as started:
        yield started


FAULTS: list[tuple[dict[str, Any], list[tuple[str, str]], str]] = [
    ({"kind": "connection-refused"}, [(FIRST, "ConnectError")] * 3 + OK, "Running"),
    ({"kind": "connection-reset"}, [(FIRST, "ReadError")] * 3 + OK, "Running"),
    ({"kind": "timeout"}, [(FIRST, "no answer")] * 3 + OK, "Running"),
    ({"kind": "slow", "factor": 4}, [(FIRST, "200")], "Running"),
    ({"kind": "http-error", "status": 503}, [(FIRST, "503")] * 3 + OK, "Running"),
    ({"kind": "http-error", "status": 429}, [(FIRST, "429")] * 3 + OK, "Running"),
    ({"kind": "unauthorized"}, [(FIRST, "401"), *OK], "Running"),
    ({"kind": "out-of-memory"}, [(FIRST, "500"), *OK], "Running"),
    ({"kind": "invalid-adapter"}, [(FIRST, "500")], "Failed"),
]


@pytest.mark.parametrize(("wrong", "attempts", "phase"), FAULTS, ids=lambda each: str(each)[:40])
def test_the_operator_classifies_a_fault_live_as_it_does_in_the_twin(
    wrong: dict[str, Any], attempts: list[tuple[str, str]], phase: str, three: list[Engine], tmp_path: Path
) -> None:
    hits = {"callers": ["controller"]} if wrong["kind"] != "connection-refused" else {}  # closed ports are so for all
    real = asyncio.run(live(three, tmp_path, wrong | hits))
    virtual = simulated(tmp_path, wrong)
    assert (real.attempts, real.phase) == (attempts, phase)
    assert real == virtual


INCIDENTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"kind": "crash", "code": 3}, {"kind": "engine-restart", "at": "60s"}),
    ({"kind": "crash", "signal": 9}, {"kind": "engine-restart", "at": "60s"}),
    (
        {"kind": "readiness-flap", "unready_for": "8s", "ready_for": "60s"},
        {"kind": "readiness-flap", "from": "60s", "until": "68s", "unready_for": "8s", "ready_for": "60s"},
    ),
]


@pytest.mark.parametrize(("wrong", "wrong_there"), INCIDENTS, ids=lambda each: str(each)[:40])
def test_an_adapter_moves_live_as_it_does_in_the_twin(
    wrong: dict[str, Any], wrong_there: dict[str, Any], three: list[Engine], tmp_path: Path
) -> None:
    real = asyncio.run(live(three, tmp_path, wrong, later=True))
    virtual = simulated(tmp_path, wrong_there, later=True)
    assert (real.attempts, real.instances) == ([(FIRST, "200"), *OK], ["base-1"])
    assert real == virtual


def test_adapters_that_an_engine_lost_silently_are_loaded_again(three: list[Engine], tmp_path: Path) -> None:
    """A restart in place is not visible on the pod, only in the engine's list of models."""
    real = asyncio.run(live(three, tmp_path, {"kind": "engine-restart", "at": "0s"}, later=True))
    assert real.attempts == [(FIRST, "200")] * 2
    assert (real.phase, real.instances) == ("Running", [FIRST])
