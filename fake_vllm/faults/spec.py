"""A fault of one fake engine as a file, a flag or the admin port asks for it.

Words and meanings are those of the twin's scenarios: `kind`, `from`, `until`, `at` or `every`, and what the kind takes.
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
    "the health routes say 503 and 200 in turns; the engine works on",
    (
        Parameter("ready_for", "duration", "8s", "how long they say 200"),
        Parameter("unready_for", "duration", "4s", "how long they say 503; each turn begins with this"),
    ),
)
RESTART = FaultKind("engine-restart", "the engine restarts in place: its adapters are gone, clients are cut off", ())
CRASH = FaultKind(
    "crash",
    "the process ends at once",
    (
        Parameter("code", "number from 0 to 255", "1", "its exit code"),
        Parameter("signal", "number from 1 to 64", "none", "the signal that kills it, instead of an exit code"),
    ),
)
KINDS: Mapping[str, FaultKind] = {**CATALOGUE, **{each.name: each for each in (FLAP, RESTART, CRASH)}}
_PERIOD = ("from", "until")
INSTANT: Mapping[str, tuple[str, ...]] = {RESTART.name: ("at", "every", *_PERIOD), CRASH.name: ("at",)}
"""The words for when it is, of the kinds that strike; all others last from a time until another."""


_FORMER = {"hits": "callers", "up": "ready_for", "down": "unready_for"}
"""Former names of fields to present ones."""


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A fault and its time, in seconds from when it was asked for."""

    kind: str
    start: float = 0.0
    until: float | None = None
    every: Latency | None = None
    """Strikes again and again, with this in between."""
    rule: FaultRule | None = None
    ready_for: float = 8.0
    unready_for: float = 4.0
    code: int = 1
    signal: int | None = None

    @classmethod
    def parse(cls, said: object) -> "FaultSpec":
        """The fault that a mapping describes.

        Raises:
            ValueError: if it describes none; the message says what is wrong, and what is allowed.
        """
        if not isinstance(said, Mapping):
            raise ValueError(f"a fault is a mapping with a `kind`, not {said!r}")
        kind = said.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            near = get_close_matches(str(kind), list(KINDS), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"kind: no fault is called {kind!r}; there are {', '.join(KINDS)}{hint}")
        allowed = {parameter.name for parameter in KINDS[kind].parameters}
        times = INSTANT.get(kind, _PERIOD)
        for key in said:
            if key not in allowed and key not in ("kind", *times):
                names = ", ".join(("kind", *times, *sorted(allowed)))
                renamed = _FORMER.get(key) in allowed
                raise ValueError(
                    f"{kind}: unknown field {key!r}; "
                    + (f"it is called {_FORMER[key]!r} now" if renamed else f"allowed: {names}")
                )
        planned = cls(kind, *_times(kind, said), _every(said))
        if kind in CATALOGUE:
            return replace(planned, rule=_rule(kind, said))
        if kind == FLAP.name:
            return replace(
                planned, ready_for=_turn(said, "ready_for", 8.0), unready_for=_turn(said, "unready_for", 4.0)
            )
        code, signal = _whole(said, "code", 1, 0, 255), said.get("signal")
        return replace(planned, code=code, signal=None if signal is None else _whole(said, "signal", 0, 1, 64))


def describe(planned: FaultSpec) -> dict[str, Any]:
    """A fault in the words that it was asked for with, what was left to the defaults aside."""
    said: dict[str, Any] = {"kind": planned.kind}
    if planned.every is not None:
        said["every"] = format_distribution(planned.every, _seconds)
    lasts = planned.kind not in INSTANT or planned.every is not None
    said["from" if lasts else "at"] = _seconds(planned.start)
    if planned.until is not None:
        said["until"] = _seconds(planned.until)
    for parameter in KINDS[planned.kind].parameters:
        value = getattr(planned.rule or planned, parameter.name)
        said[parameter.name] = _seconds(value) if parameter.type == "duration" else value
    return said


def _seconds(duration: float) -> str:
    return f"{duration:g}s"


def from_flag(text: str) -> FaultSpec:
    """The fault that a command line gives as `KIND,key=value,...`.

    Raises:
        ValueError: if it gives none.
    """
    kind, *pairs = text.split(",")
    said: dict[str, Any] = {"kind": kind.strip()}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} is not of the form key=value")
        said[key.strip()] = _typed(key.strip(), value.strip())
    return FaultSpec.parse(said)


def _typed(key: str, value: str) -> object:
    if key in ("callers", "adapters"):
        return value.split("+")
    if key in ("probability", "factor", "status", "code", "signal"):
        try:
            return float(value) if "." in value else int(value)
        except ValueError:
            raise ValueError(f"{key}: {value!r} is not a number") from None
    return value in ("true", "1") if key == "after" else value


def _times(kind: str, said: Mapping[str, Any]) -> tuple[float, float | None]:
    again = said.get("every") is not None
    if kind in INSTANT and not again:
        if given := next((key for key in _PERIOD if key in said), None):
            raise ValueError(f"{kind}: {given} goes with every; allowed: at alone, or every with it")
        return _duration(said, "at", 0.0), None
    if "at" in said:
        raise ValueError(f"{kind}: it has both at and every; allowed: one of them")
    start = _duration(said, "from", 0.0)
    if said.get("until") is None:
        return start, None
    until = _duration(said, "until", 0.0)
    if until <= start:
        raise ValueError(f"{kind}: until: it ends before it begins; allowed: later than {start:g}s")
    return start, until


def _every(said: Mapping[str, Any]) -> Latency | None:
    if said.get("every") is None:
        return None
    try:
        every = parse_distribution(said["every"])
    except ValueError as error:
        raise ValueError(f"every: {error}") from error
    if every.upper() <= 0:
        raise ValueError("every: takes no time; allowed: a time above zero")
    return every


def _rule(kind: str, said: Mapping[str, Any]) -> FaultRule:
    given: dict[str, Any] = {"callers": CALLERS}  # whoever breaks one engine by hand means everybody
    for parameter in CATALOGUE[kind].parameters:
        name = parameter.name
        if name not in said:
            continue
        value = said[name]
        if name in ("callers", "adapters"):
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise ValueError(f"{kind}: {name}: must be a list of names, not {value!r}")
            value = tuple(value)
        elif not isinstance(value, _TYPES[name]) or (isinstance(value, bool) and name != "after"):
            raise ValueError(f"{kind}: {name}: must be {parameter.type}, not {value!r}")
        given[name] = value
    return FaultRule(kind, **given)


_TYPES: Mapping[str, Any] = {
    "probability": int | float,
    "factor": int | float,
    "status": int,
    "body": str,
    "message": str,
    "after": bool,
}


def _turn(said: Mapping[str, Any], key: str, default: float) -> float:
    value = _duration(said, key, default)
    if value <= 0:
        raise ValueError(f"{key}: must be above 0")
    return value


def _duration(said: Mapping[str, Any], key: str, default: float) -> float:
    if said.get(key) is None:
        return default
    try:
        return parse_duration(said[key])
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


def _whole(said: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
    value = said.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{key}: must be a whole number from {low} to {high}, not {value!r}")
    return value
