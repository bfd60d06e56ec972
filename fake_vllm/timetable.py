"""When faults are in force: what a file, a flag or the admin port asks for, carried out in asyncio time.

Words and meanings are those of the twin's scenarios: `kind`, `from`, `until` or `at`, and what the kind takes.
Whom a fault hits, and with which chance, is `faults.py`'s business alone; what is done to the process itself (a
restart, a crash) is handed to whoever runs it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Protocol

from fake_vllm.durations import seconds
from fake_vllm.faults import CALLERS, CATALOGUE, FaultKind, FaultRule, Faults, Parameter

_FLAP = FaultKind(
    "readiness-flap",
    "the health routes say 503 and 200 in turns; the engine works on",
    (
        Parameter("up", "duration", "8s", "how long they say 200"),
        Parameter("down", "duration", "4s", "how long they say 503; each turn begins with this"),
    ),
)
_RESTART = FaultKind("engine-restart", "the engine restarts in place: its adapters are gone, clients are cut off", ())
_CRASH = FaultKind(
    "crash",
    "the process ends at once",
    (
        Parameter("code", "number from 0 to 255", "1", "its exit code"),
        Parameter("signal", "number from 1 to 64", "none", "the signal that kills it, instead of an exit code"),
    ),
)
KINDS: Mapping[str, FaultKind] = {**CATALOGUE, **{each.name: each for each in (_FLAP, _RESTART, _CRASH)}}
_SPELLS = ("from", "until")
_STRIKES = (_RESTART.name, _CRASH.name)


class Process(Protocol):
    """What runs the engine, and can be told to stop doing so."""

    def restart(self) -> None:
        """Restart the engine in place."""

    def crash(self, code: int, signal: int | None) -> None:
        """End the process."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault and its time, in seconds from when it was asked for."""

    kind: str
    start: float = 0.0
    until: float | None = None
    rule: FaultRule | None = None
    up: float = 8.0
    down: float = 4.0
    code: int = 1
    signal: int | None = None

    @classmethod
    def of(cls, said: object) -> "Planned":
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
        times = ("at",) if kind in _STRIKES else _SPELLS
        for key in said:
            if key not in allowed and key not in ("kind", *times):
                names = ", ".join(("kind", *times, *sorted(allowed)))
                raise ValueError(f"{kind}: it has no {key!r}; there are {names}")
        planned = cls(kind, *_times(kind, said))
        if kind in CATALOGUE:
            return replace(planned, rule=_rule(kind, said))
        if kind == _FLAP.name:
            return replace(planned, up=_turn(said, "up", 8.0), down=_turn(said, "down", 4.0))
        code, signal = _whole(said, "code", 1, 0, 255), said.get("signal")
        return replace(planned, code=code, signal=None if signal is None else _whole(said, "signal", 0, 1, 64))


class Timetable:
    """Faults that were asked for, until they are over or taken back."""

    def __init__(self, faults: Faults, process: Process) -> None:
        self._faults = faults
        self._process = process
        self._next = 1
        self._planned: dict[int, Planned] = {}
        self._in_force: dict[int, int] = {}
        self._timers: dict[int, list[asyncio.TimerHandle]] = {}

    @property
    def planned(self) -> Mapping[int, tuple[Planned, bool]]:
        """What was asked for and is not over, by number, and whether it is in force."""
        return {number: (each, number in self._in_force) for number, each in self._planned.items()}

    def add(self, planned: Planned) -> int:
        """Let a fault happen when its time has come; returns its number."""
        number = self._next
        self._next += 1
        self._planned[number] = planned
        self._timers[number] = []
        if planned.kind in _STRIKES:
            self._at(number, planned.start, self._strike)
        else:
            self._at(number, planned.start, self._begin)
            if planned.until is not None:
                self._at(number, planned.until, self.remove)
        return number

    def remove(self, number: int) -> None:
        """Take a fault back, in force or not.

        Raises:
            KeyError: if there is none of that number any more.
        """
        del self._planned[number]
        for timer in self._timers.pop(number):
            timer.cancel()
        self._end(number)

    def clear(self) -> None:
        """Take all faults back."""
        for number in list(self._planned):
            self.remove(number)

    def _at(self, number: int, after: float, what: Any) -> None:
        loop = asyncio.get_running_loop()
        self._timers[number].append(loop.call_later(after, what, number))

    def _begin(self, number: int) -> None:
        planned = self._planned[number]
        if planned.rule is not None:
            self._in_force[number] = self._faults.add(planned.rule)
            return
        unready = FaultRule("http-error", hits=("probes",), status=503, message="readiness-flap")
        self._in_force[number] = self._faults.add(unready)
        self._at(number, planned.down, self._turn_up)

    def _turn_up(self, number: int) -> None:
        self._end(number)
        self._at(number, self._planned[number].up, self._begin)

    def _end(self, number: int) -> None:
        if number in self._in_force:
            self._faults.remove(self._in_force.pop(number))

    def _strike(self, number: int) -> None:
        planned = self._planned[number]
        self.remove(number)
        if planned.kind == _RESTART.name:
            self._process.restart()
        else:
            self._process.crash(planned.code, planned.signal)


def shown(planned: Planned) -> dict[str, Any]:
    """A fault in the words that it was asked for with, what was left to the defaults aside."""
    said: dict[str, Any] = {"kind": planned.kind}
    if planned.kind in _STRIKES:
        said["at"] = f"{planned.start:g}s"
    else:
        said["from"] = f"{planned.start:g}s"
        if planned.until is not None:
            said["until"] = f"{planned.until:g}s"
    for parameter in KINDS[planned.kind].parameters:
        value = getattr(planned.rule or planned, parameter.name)
        said[parameter.name] = f"{value:g}s" if parameter.type == "duration" else value
    return said


def from_flag(text: str) -> Planned:
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
    return Planned.of(said)


def _typed(key: str, value: str) -> object:
    if key in ("hits", "adapters"):
        return value.split("+")
    if key in ("probability", "factor", "status", "code", "signal"):
        try:
            return float(value) if "." in value else int(value)
        except ValueError:
            raise ValueError(f"{key}: {value!r} is not a number") from None
    return value in ("true", "1") if key == "after" else value


def _times(kind: str, said: Mapping[str, Any]) -> tuple[float, float | None]:
    start = _duration(said, "at" if kind in _STRIKES else "from", 0.0)
    if said.get("until") is None:
        return start, None
    until = _duration(said, "until", 0.0)
    if until <= start:
        raise ValueError(f"{kind}: until: it ends before it begins; allowed: later than {start:g}s")
    return start, until


def _rule(kind: str, said: Mapping[str, Any]) -> FaultRule:
    given: dict[str, Any] = {"hits": CALLERS}  # whoever breaks one engine by hand means everybody
    for parameter in CATALOGUE[kind].parameters:
        name = parameter.name
        if name not in said:
            continue
        value = said[name]
        if name in ("hits", "adapters"):
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
        return seconds(said[key])
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


def _whole(said: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
    value = said.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{key}: must be a whole number from {low} to {high}, not {value!r}")
    return value
