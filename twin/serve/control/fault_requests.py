"""Faults that befall a running world: from what `twin fault` was told to a fault of the scenario's own classes.

The times of a scenario count from its start; here they count from now.
"""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from formats.durations import parse_duration
from twin.scenario import FAULTS, Fault
from twin.scenario.errors import choices
from twin.scenario.faults import InstantFault
from twin.scenario.renamed import present_field, rename_hint

_TIMES = ("from", "until", "at")
_BESIDE = ("before_write", "after_write")
"""Of a crash of the operator: when, if not at a time."""
_ADAPTER: TypeAdapter[Any] = TypeAdapter(Fault)


class FaultRequestError(ValueError):
    """What was asked for is no fault; the message is one line."""


def fault_from(asked: Mapping[str, Any], now: float) -> Fault:
    """The fault that a request describes; `for` says how long it lasts.

    Raises:
        NoFault: it cannot be done; says what is wrong, and what is allowed.
    """
    kind = str(asked.get("kind", ""))
    if kind not in FAULTS:
        raise FaultRequestError(f'there is no fault "{kind}"; {choices(kind, FAULTS)}')
    given = {name: value for name, value in asked.items() if name != "for"}
    known = {field.alias or name for name, field in FAULTS[kind].model_fields.items()}
    for name in given:
        if name not in known:
            present = present_field(("faults", 0, name))
            allowed = rename_hint(present) if present and present in known else choices(name, sorted(known - {"kind"}))
            raise FaultRequestError(f'{kind}: unknown field "{name}"; {allowed}')
    try:
        timed = _timed(kind, known, given, asked.get("for"), now)
        found: Fault = _ADAPTER.validate_python(timed)
    except ValidationError as error:
        raise FaultRequestError(f"{kind}: {_said(error)}") from error
    except ValueError as error:
        raise FaultRequestError(f"{kind}: {error}") from error
    return found


def _timed(kind: str, known: Collection[str], given: dict[str, Any], lasts: Any, now: float) -> dict[str, Any]:
    """With times from the start of the world."""
    times: dict[str, float] = {name: parse_duration(given[name]) + now for name in _TIMES if name in given}
    if "at" in known:
        if lasts is not None and "every" not in given:
            said = ", or say `every`" if issubclass(FAULTS[kind], InstantFault) else ""
            raise FaultRequestError(f"{kind}: strikes once and does not last; leave `for` out{said}")
        if not any(name in given for name in _BESIDE):
            times.setdefault("from" if "every" in given else "at", now)
    else:
        times.setdefault("from", now)
    if lasts is not None:
        times["until"] = times["from"] + parse_duration(lasts)
    return {**given, **{name: f"{moment:.6f}s" for name, moment in times.items()}}


def _said(error: ValidationError) -> str:
    """The first thing that is wrong, with its place."""
    first = error.errors(include_url=False)[0]
    context = first.get("ctx") or {}
    place = ".".join(str(step) for step in first["loc"] if step not in FAULTS)
    said = str(context.get("message") or first["msg"])
    allowed = f"; {context['allowed']}" if context.get("allowed") else ""
    return f"{place}: {said}{allowed}" if place else f"{said}{allowed}"
