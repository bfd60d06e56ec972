"""One field of a request body: how it is handled, and requests that show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Handling = Literal["honoured", "checked", "harmless", "refused"]
Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Handled:
    """Handling of a field.

    Attributes:
        handling: `honoured`: the answer follows it. `checked`: what vLLM refuses is refused, and what it takes makes no
            difference. `harmless`: only the type is checked. `refused`: vLLM refuses it unless it has a flag.
        sample: the field with a value that a server takes, and fields that it needs.
        beside: fields that an answer without the field has to be asked with, to be compared.
        wrong: value that is refused, of a field that is checked.
        note: for the page.
        until: last recorded release that has the field; empty if the newest has it.
    """

    handling: Handling
    sample: Fields
    beside: Fields = field(default_factory=dict)
    wrong: Any = None
    note: str = ""
    until: str = ""


def honoured(sample: Fields, beside: Fields | None = None, note: str = "") -> Handled:
    return Handled("honoured", {**(beside or {}), **sample}, beside or {}, note=note)


def checked(name: str, sample: Any, wrong: Any, note: str = "", **beside: Any) -> Handled:
    return Handled("checked", {**beside, name: sample}, beside, wrong, note)


def harmless(name: str, sample: Any, note: str = "", until: str = "") -> Handled:
    return Handled("harmless", {name: sample}, note=note, until=until)


def refused(sample: Fields, note: str) -> Handled:
    return Handled("refused", sample, note=note)


@dataclass(frozen=True, slots=True)
class RequestClass:
    """One of vLLM's request classes.

    Attributes:
        name: vLLM's name.
        route: path that takes it.
        valid: a body that every server takes.
        fields: handling by name.
    """

    name: str
    route: str
    valid: Fields
    fields: Mapping[str, Handled]

    def body(self, fields: Fields) -> dict[str, Any]:
        return {**self.valid, **fields}
