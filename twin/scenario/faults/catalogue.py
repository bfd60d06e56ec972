"""The catalogue of faults that `twin faults` prints, read off the classes in `faults.py` so that it cannot differ."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from twin.scenario.faults import FAULTS, LastingFault
from twin.scenario.sections.base_model import ScenarioModel


@dataclass(frozen=True, slots=True)
class FaultParameter:
    """One field of a fault, as a person writes it."""

    name: str
    default: str
    """As it would be written; "required" if there is none."""
    meaning: str


@dataclass(frozen=True, slots=True)
class FaultDescription:
    """A kind of fault: what it is on, what it does, what it takes."""

    kind: str
    on: str
    summary: str
    details: tuple[str, ...]
    """Paragraphs: what exactly happens, and what does not."""
    lasts: bool
    """Whether it has a beginning and an end, or strikes."""
    parameters: tuple[FaultParameter, ...]


def fault_catalogue() -> list[FaultDescription]:
    """What `twin faults` prints."""
    return [_entry(kind, member) for kind, member in FAULTS.items()]


def _entry(kind: str, member: Any) -> FaultDescription:
    summary, *details = _paragraphs(member)
    lasts = issubclass(member, LastingFault)
    return FaultDescription(kind, member.on, summary, tuple(details), lasts, tuple(_parameters(member)))


def _paragraphs(member: type[ScenarioModel]) -> list[str]:
    return [" ".join(part.split()) for part in (member.__doc__ or "").split("\n\n")]


def _parameters(member: type[ScenarioModel]) -> Iterator[FaultParameter]:
    defaults = member.written_defaults()
    for name, field in member.model_fields.items():
        written = field.alias or name
        if name != "kind":
            default = "required" if field.is_required() else _flow(defaults.get(written, "none"))
            yield FaultParameter(written, default, field.description or "")


def _flow(default: Any) -> str:
    """A default as it stands on one line of YAML."""
    match default:
        case bool():
            return str(default).lower()
        case list():
            return f"[{', '.join(map(str, default))}]"
        case float():
            return f"{default:g}"
    return str(default) or '""'
