"""From what `twin fault` is told to a fault of the scenario's own classes; times count from now."""

from typing import Any

import pytest

from twin.scenario import FAULTS
from twin.served.befall import NoFault, fault_from

NOW = 100.0


def test_a_fault_that_lasts_begins_now_and_ends_when_it_was_said() -> None:
    found: Any = fault_from({"kind": "timeout", "pods": {"count": 1}, "for": "30s"}, NOW)
    assert (found.start, found.until) == (100.0, 130.0)


def test_one_that_strikes_strikes_now() -> None:
    found: Any = fault_from({"kind": "engine-restart", "pods": {"count": 1}}, NOW)
    assert found.at == 100.0


def test_the_operator_can_be_killed_now_or_beside_a_write() -> None:
    now: Any = fault_from({"kind": "controller-crash"}, NOW)
    beside: Any = fault_from({"kind": "controller-crash", "after_write": 3}, NOW)
    assert (now.at, beside.at, beside.after_write) == (100.0, None, 3)


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_every_kind_of_the_catalogue_can_befall_or_says_what_it_lacks(kind: str) -> None:
    """With what it needs and no time, it is a fault that is due at once."""
    needs: dict[str, dict[str, Any]] = {
        "node-down": {"nodes": {"count": 1}},
        "node-drain": {"nodes": {"count": 1}},
        "rollout": {"deployment": "qwen"},
        "clock-skew": {"ahead": "5s"},
        "stale-reads": {"lag": "5s"},
    }
    try:
        found: Any = fault_from({"kind": kind, **needs.get(kind, {})}, NOW)
    except NoFault as error:
        assert "Extra inputs" not in str(error)
        assert "required" in str(error).lower() or "allowed" in str(error), str(error)
    else:
        assert NOW in (getattr(found, "start", None), getattr(found, "at", None))
