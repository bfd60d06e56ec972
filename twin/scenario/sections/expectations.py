"""Expectations of a scenario: `NAME OP NUMBER`. `twin/evaluate/expectations.py` checks them."""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from twin.scenario.errors import choices, closest
from twin.scenario.renamed import MEASURES as FORMER_MEASURES
from twin.scenario.renamed import rename_hint
from twin.scenario.units import value_error

Operator = Literal["==", "!=", "<=", ">=", "<", ">"]

_TABLE = {
    "adapters": "total running failed pending deleted",
    "time_to_running_seconds": "p50 p95 p99 max mean",
    "recovery_seconds": "p50 p95 max",
    "loads": "attempted succeeded failed_retriable failed_final redundant",
    "backoff_seconds": "p50 p95 max",
    "engine_requests": "total list load unload metrics",
    "api_requests": "total get list watch create patch delete conflicts throttled",
    "reconciles": "total with_actions",
    "placement.adapters_per_pod": "mean max cv",
    "placement": "jain pods_used slot_hours",
    "traffic": "requests ok failed misrouted unrouted cold queued",
    "traffic.goodput": "share worst_adapter worst_namespace",
    "traffic.fairness": "adapters namespaces",
    "traffic.ttft_seconds": "p50 p95 p99",
    "traffic.ttft_worst_seconds": "adapter namespace",
    "traffic.e2e_seconds": "p50 p95 p99",
    "on_demand": "cold_starts held failed",
    "on_demand.ttft_seconds": "p50 p95 p99",
    "invariants": "checked violations",
}
MEASURES: tuple[str, ...] = (
    "unavailable_adapter_seconds",
    "availability",
    "availability_worst.adapter",
    "availability_worst.namespace",
    "pod_switches",
    "migrations",
    "rebalancing.moved",
    "rebalancing.cancelled",
    "gpu_hours",
    *(f"{group}.{name}" for group, names in _TABLE.items() for name in names.split()),
)
"""Every number of `summary.json` that an expectation can use."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """`name` `op` `value`, such as `time_to_running_seconds.p95 <= 120`."""

    name: str
    op: Operator
    value: float

    def __str__(self) -> str:
        whole = self.value.is_integer() and abs(self.value) < 1e15
        return f"{self.name} {self.op} {int(self.value) if whole else self.value!r}"


def parse_expectation(text: object) -> Expectation:
    """Parse an expectation.

    Raises:
        PydanticCustomError: if `text` is not an expectation, with what is allowed.
    """
    allowed = "allowed: NAME OP NUMBER, such as adapters.running == 40"
    if not isinstance(text, str):
        raise value_error("is not an expectation", allowed)
    match = re.fullmatch(r"\s*([A-Za-z_][\w.]*)\s*(==|!=|<=|>=|<|>)\s*(\S+)\s*", text)
    if match is None:
        raise value_error(f'"{text}" is not an expectation', f"{allowed}; OP is one of == != <= >= < >")
    name, op, number = match.groups()
    if name not in MEASURES:
        raise value_error(*unknown_measure(name))
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise value_error(f'"{number}" is not a number', "allowed: a number; times are in seconds")
    return Expectation(name, cast(Operator, op), value)


def unknown_measure(name: str) -> tuple[str, str]:
    """Return what is wrong with a name that is not one of `MEASURES`, and what is allowed."""
    message = f'unknown measure "{name}"'
    if name in FORMER_MEASURES:
        return message, rename_hint(FORMER_MEASURES[name])
    group = [measure for measure in MEASURES if measure.split(".")[0] == name.split(".")[0]]
    close = closest(name, MEASURES)
    hint = f'did you mean "{close}"? ' if close else ""
    return message, hint + choices("", group or MEASURES)


def _validated(value: Any) -> Expectation:
    return value if isinstance(value, Expectation) else parse_expectation(value)


ExpectationText = Annotated[
    Expectation,
    PlainValidator(_validated),
    PlainSerializer(str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*[a-z_][\w.]*\s*(==|!=|<=|>=|<|>)\s*\S+\s*$",
            "examples": ["adapters.running == 40", "invariants.violations == 0"],
        }
    ),
]
"""Expectation as text."""
