"""Specification of a fault of one fake engine, as written in a file, a flag or a request to the admin port.

Fields are those of the twin's scenarios: `kind`, `from`, `until`, `at` or `every`, and parameters of the kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from fake_vllm.distributions import Latency, format_distribution, parse_distribution
from fake_vllm.faults.rules import CALLERS, CATALOGUE, FaultKind, FaultRule, Parameter
from formats.durations import parse_duration

FLAP = FaultKind(
    "readiness-flap",
    "the health routes alternate between 503 and 200; the engine continues",
    (
        Parameter("ready_for", "duration", "8s", "time with status 200"),
        Parameter("unready_for", "duration", "4s", "time with status 503, which comes first"),
    ),
)
RESTART = FaultKind("engine-restart", "the engine restarts in place: adapters are lost, connections are reset", ())
CRASH = FaultKind(
    "crash",
    "the process ends at once",
    (
        Parameter("code", "number from 0 to 255", "1", "exit code"),
        Parameter("signal", "number from 1 to 64", "none", "signal that ends it, instead of an exit code"),
    ),
)
CORE_CRASH = FaultKind(
    "engine-core-crash", "the engine core ends: requests fail, the port closes, the process ends with code 0", ()
)
KINDS: Mapping[str, FaultKind] = {**CATALOGUE, **{kind.name: kind for kind in (FLAP, RESTART, CRASH, CORE_CRASH)}}
_PERIOD = ("from", "until")
INSTANT: Mapping[str, tuple[str, ...]] = {
    RESTART.name: ("at", "every", *_PERIOD),
    CRASH.name: ("at",),
    CORE_CRASH.name: ("at",),
}
"""Time fields of the kinds that are instantaneous; all others last `from` a time `until` another."""


_RENAMED = {"hits": "callers", "up": "ready_for", "down": "unready_for"}
"""Former names of fields."""


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A fault and its times, in seconds since it was requested."""

    kind: str
    start: float = 0.0
    until: float | None = None
    every: Latency | None = None
    """Time between occurrences of a fault that repeats."""
    rule: FaultRule | None = None
    ready_for: float = 8.0
    unready_for: float = 4.0
    code: int = 1
    signal: int | None = None

    @classmethod
    def parse(cls, fields: object) -> "FaultSpec":
        """Return the fault that a mapping describes.

        Raises:
            ValueError: if it is not valid; the message says what is wrong and what is allowed.
        """
        if not isinstance(fields, Mapping):
            raise ValueError(f"a fault is a mapping with a `kind`, not {fields!r}")
        kind = fields.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            near = get_close_matches(str(kind), list(KINDS), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"kind: unknown fault {kind!r}; allowed: {', '.join(KINDS)}{hint}")
        allowed = {parameter.name for parameter in KINDS[kind].parameters}
        times = INSTANT.get(kind, _PERIOD)
        for key in fields:
            if key not in allowed and key not in ("kind", *times):
                names = ", ".join(("kind", *times, *sorted(allowed)))
                renamed = _RENAMED.get(key) in allowed
                raise ValueError(
                    f"{kind}: unknown field {key!r}; "
                    + (f"it is called {_RENAMED[key]!r} now" if renamed else f"allowed: {names}")
                )
        spec = cls(kind, *_times(kind, fields), _every(fields))
        if kind in CATALOGUE:
            return replace(spec, rule=_rule(kind, fields))
        if kind == FLAP.name:
            return replace(
                spec, ready_for=_phase(fields, "ready_for", 8.0), unready_for=_phase(fields, "unready_for", 4.0)
            )
        code, signal = _whole(fields, "code", 1, 0, 255), fields.get("signal")
        return replace(spec, code=code, signal=None if signal is None else _whole(fields, "signal", 0, 1, 64))


def describe(spec: FaultSpec) -> dict[str, Any]:
    """Return the mapping that `FaultSpec.parse` reads as this fault."""
    fields: dict[str, Any] = {"kind": spec.kind}
    if spec.every is not None:
        fields["every"] = format_distribution(spec.every, _seconds)
    lasts = spec.kind not in INSTANT or spec.every is not None
    fields["from" if lasts else "at"] = _seconds(spec.start)
    if spec.until is not None:
        fields["until"] = _seconds(spec.until)
    for parameter in KINDS[spec.kind].parameters:
        value = getattr(spec.rule or spec, parameter.name)
        fields[parameter.name] = _seconds(value) if parameter.type == "duration" else value
    return fields


def _seconds(duration: float) -> str:
    return f"{duration:g}s"


def from_flag(text: str) -> FaultSpec:
    """Return the fault that a command line gives as `KIND,key=value,...`.

    Raises:
        ValueError: if it is not valid.
    """
    kind, *pairs = text.split(",")
    fields: dict[str, Any] = {"kind": kind.strip()}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} does not have the form key=value")
        fields[key.strip()] = _typed(key.strip(), value.strip())
    return FaultSpec.parse(fields)


def _typed(key: str, value: str) -> object:
    if key in ("callers", "adapters"):
        return value.split("+")
    if key in ("probability", "factor", "status", "code", "signal"):
        try:
            return float(value) if "." in value else int(value)
        except ValueError:
            raise ValueError(f"{key}: {value!r} is not a number") from None
    return value in ("true", "1") if key == "after" else value


def _times(kind: str, fields: Mapping[str, Any]) -> tuple[float, float | None]:
    again = fields.get("every") is not None
    if kind in INSTANT and not again:
        if field := next((key for key in _PERIOD if key in fields), None):
            raise ValueError(f"{kind}: {field} needs every; allowed: at, or every with from and until")
        return _duration(fields, "at", 0.0), None
    if "at" in fields:
        raise ValueError(f"{kind}: both at and every are set; allowed: one of them")
    start = _duration(fields, "from", 0.0)
    if fields.get("until") is None:
        return start, None
    until = _duration(fields, "until", 0.0)
    if until <= start:
        raise ValueError(f"{kind}: until: the end is before the start; allowed: later than {start:g}s")
    return start, until


def _every(fields: Mapping[str, Any]) -> Latency | None:
    if fields.get("every") is None:
        return None
    try:
        every = parse_distribution(fields["every"])
    except ValueError as error:
        raise ValueError(f"every: {error}") from error
    if every.upper() <= 0:
        raise ValueError("every: is 0; allowed: a duration above 0")
    return every


def _rule(kind: str, fields: Mapping[str, Any]) -> FaultRule:
    values: dict[str, Any] = {"callers": CALLERS}  # a fault injected by hand applies to all callers
    for parameter in CATALOGUE[kind].parameters:
        name = parameter.name
        if name not in fields:
            continue
        value = fields[name]
        if name in ("callers", "adapters"):
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ValueError(f"{kind}: {name}: must be a list of names, not {value!r}")
            value = tuple(value)
        elif not isinstance(value, _TYPES[name]) or (isinstance(value, bool) and name != "after"):
            raise ValueError(f"{kind}: {name}: must be {parameter.type}, not {value!r}")
        values[name] = value
    return FaultRule(kind, **values)


_TYPES: Mapping[str, Any] = {
    "probability": int | float,
    "factor": int | float,
    "status": int,
    "body": str,
    "message": str,
    "retry_after": str,
    "after": bool,
}


def _phase(fields: Mapping[str, Any], key: str, default: float) -> float:
    value = _duration(fields, key, default)
    if value <= 0:
        raise ValueError(f"{key}: must be above 0")
    return value


def _duration(fields: Mapping[str, Any], key: str, default: float) -> float:
    if fields.get(key) is None:
        return default
    try:
        return parse_duration(fields[key])
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


def _whole(fields: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
    value = fields.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{key}: must be a whole number from {low} to {high}, not {value!r}")
    return value
