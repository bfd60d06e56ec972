"""Catalogue of the faults, generated from their classes and docstrings; `twin faults` and `docs/faults` show it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from twin.scenario.faults import FAULTS, LastingFault
from twin.scenario.sections.base_model import ScenarioModel
from twin.scenario.sections.docstrings import field_docstrings


@dataclass(frozen=True, slots=True)
class FaultParameter:
    """One field of a fault, as it is written in a scenario."""

    name: str
    default: str
    """Default in YAML, or "required"."""
    meaning: str


@dataclass(frozen=True, slots=True)
class FaultDescription:
    """Description of one kind of fault."""

    kind: str
    on: str
    summary: str
    details: tuple[str, ...]
    """Further paragraphs."""
    is_lasting: bool
    """True for a `LastingFault`."""
    parameters: tuple[FaultParameter, ...]


def fault_catalogue() -> list[FaultDescription]:
    """Return the descriptions of all faults."""
    return [_entry(kind, member) for kind, member in FAULTS.items()]


def _entry(kind: str, member: Any) -> FaultDescription:
    summary, *details = _paragraphs(member)
    return FaultDescription(
        kind, member.on, summary, tuple(details), issubclass(member, LastingFault), tuple(_parameters(member))
    )


def _paragraphs(member: type[ScenarioModel]) -> list[str]:
    return [" ".join(part.split()) for part in (member.__doc__ or "").split("\n\n")]


def _parameters(member: type[ScenarioModel]) -> Iterator[FaultParameter]:
    defaults, meanings = member.written_defaults(), field_docstrings(member)
    for name, field in member.model_fields.items():
        written = field.alias or name
        if name != "kind":
            default = "required" if field.is_required() else _flow(defaults.get(written, "none"))
            yield FaultParameter(written, default, meanings.get(name, ""))


def _flow(default: Any) -> str:
    """Return a default as one line of YAML."""
    match default:
        case bool():
            return str(default).lower()
        case list():
            return f"[{', '.join(map(str, default))}]"
        case float():
            return f"{default:g}"
    return str(default) or '""'
