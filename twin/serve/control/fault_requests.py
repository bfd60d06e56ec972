"""From the body of a fault request to a fault of the scenario's classes.

Times in a scenario count from its start; in a request they count from now.
"""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from formats.durations import parse_duration
from twin.scenario import FAULTS, Fault
from twin.scenario.errors import choices
from twin.scenario.faults import InstantFault
from twin.serve.control.models import error_line

_TIMES = ("from", "until", "at")
_INSTEAD_OF_TIME = ("before_write", "after_write")
"""Fields of an operator's crash that replace its time."""
_ADAPTER: TypeAdapter[Any] = TypeAdapter(Fault)


class FaultRequestError(ValueError):
    """A request does not describe a valid fault; the message is one line."""


def fault_from(request: Mapping[str, Any], now: float) -> Fault:
    """Return the fault that a request describes; its field `for` is the duration.

    Raises:
        FaultRequestError: the fault is not valid; the message says what is wrong and what is allowed.
    """
    kind = str(request.get("kind", ""))
    if kind not in FAULTS:
        raise FaultRequestError(f'unknown fault "{kind}"; {choices(kind, FAULTS)}')
    fields = {name: value for name, value in request.items() if name != "for"}
    allowed = {field.alias or name for name, field in FAULTS[kind].model_fields.items()}
    for name in fields:
        if name not in allowed:
            raise FaultRequestError(f'{kind}: unknown field "{name}"; {choices(name, sorted(allowed - {"kind"}))}')
    try:
        fault: Fault = _ADAPTER.validate_python(_with_times(kind, allowed, fields, request.get("for"), now))
    except ValidationError as error:
        raise FaultRequestError(f"{kind}: {error_line(error.errors(include_url=False), FAULTS)}") from error
    except ValueError as error:
        raise FaultRequestError(f"{kind}: {error}") from error
    return fault


def _with_times(kind: str, allowed: Collection[str], fields: dict[str, Any], lasts: Any, now: float) -> dict[str, Any]:
    """Return the fields with times that count from the start of the world."""
    times: dict[str, float] = {name: parse_duration(fields[name]) + now for name in _TIMES if name in fields}
    if "at" in allowed:
        if lasts is not None and "every" not in fields:
            hint = ", or add `every`" if issubclass(FAULTS[kind], InstantFault) else ""
            raise FaultRequestError(f"{kind}: happens once and has no duration; leave out `for`{hint}")
        if not any(name in fields for name in _INSTEAD_OF_TIME):
            times.setdefault("from" if "every" in fields else "at", now)
    else:
        times.setdefault("from", now)
    if lasts is not None:
        times["until"] = times["from"] + parse_duration(lasts)
    return {**fields, **{name: f"{seconds:.6f}s" for name, seconds in times.items()}}
