"""Amounts as Kubernetes writes them: `500m`, `1.5`, `8Gi`, `2e3`. Source: `k8s.io/apimachinery/pkg/api/resource`."""

import re
from decimal import Decimal

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?", re.ASCII)
_SMALL = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(1000)}
_DECIMAL = {letter: Decimal(1000) ** power for power, letter in enumerate("MGTPE", start=2)}
_BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)}
_SCALES = {**_SMALL, **_DECIMAL, **_BINARY}


def quantity(value: object) -> Decimal | None:
    """The amount; None if it is written in no such form."""
    match = _FORM.fullmatch(str(value))
    if match is None:
        return None
    number, suffix = match[1], match[2] or ""
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        return Decimal(number + suffix)
    return Decimal(number) * _SCALES[suffix]
