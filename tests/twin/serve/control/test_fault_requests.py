"""Requests of `twin fault` become faults of the scenario's classes; times count from now."""

from typing import Any

import pytest

from twin.scenario import FAULTS
from twin.serve.control.fault_requests import FaultRequestError, fault_from

NOW = 100.0


def test_a_lasting_fault_begins_now_and_ends_at_its_time() -> None:
    result: Any = fault_from({"kind": "timeout", "pods": {"count": 1}, "for": "30s"}, NOW)
    assert (result.start, result.until) == (100.0, 130.0)


def test_one_that_strikes_strikes_now() -> None:
    result: Any = fault_from({"kind": "engine-restart", "pods": {"count": 1}}, NOW)
    assert result.at == 100.0


def test_the_operator_can_be_killed_now_or_beside_a_write() -> None:
    now: Any = fault_from({"kind": "controller-crash"}, NOW)
    beside: Any = fault_from({"kind": "controller-crash", "after_write": 3}, NOW)
    assert (now.at, beside.at, beside.after_write) == (100.0, None, 3)


ONE = {"count": 1}
NEEDS: dict[str, dict[str, Any]] = {
    **{kind: {"nodes": ONE} for kind in ("node-down", "node-lost", "node-not-ready", "node-drain")},
    **{
        kind: {"pods": ONE}
        for kind in ("engine-restart", "engine-core-crash", "pod-kill", "pod-stuck-terminating", "readiness-flap")
    },
    "partition": {"pods": ONE},
    "latency": {"extra": "100ms", "pods": ONE},
    "rollout": {"deployment": "qwen"},
    "clock-skew": {"ahead": "5s"},
}
"""Required fields of each kind, besides its time."""


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_every_kind_of_the_catalogue_can_befall_at_once(kind: str) -> None:
    result: Any = fault_from({"kind": kind, **NEEDS.get(kind, {})}, NOW)
    assert NOW in (getattr(result, "start", None), getattr(result, "at", None))


def test_a_missing_field_of_a_fault_is_named() -> None:
    with pytest.raises(FaultRequestError, match="rollout: deployment"):
        fault_from({"kind": "rollout"}, NOW)
