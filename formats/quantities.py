"""Quantities, sizes, rates and bandwidths as text: `500m`, `80MiB`, `8Gi`, `4/min`, `2Gbit/s`.

Inside the program they are floats in bytes, events per second and bytes per second; a Kubernetes quantity is an exact
`Decimal`. Source of quantities: `k8s.io/apimachinery/pkg/api/resource`.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from formats.durations import plain
from formats.errors import FormatError, quoted

_BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)}
_SMALL = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1)}
_SUFFIXES: Mapping[str, Decimal] = {**_SMALL, **_DECIMAL, **_BINARY}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?", re.ASCII)

SIZE_UNITS: Mapping[str, Decimal] = {
    "B": Decimal(1),
    **{f"{unit}B": factor for unit, factor in _BINARY.items()},
    **{f"{unit}B": factor for unit, factor in _DECIMAL.items()},
    "KB": Decimal(1000),
    **_BINARY,
    **_DECIMAL,
}
_RATE_UNITS: Mapping[str, int] = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_BANDWIDTH_UNITS: Mapping[str, Decimal] = {
    **{f"{prefix}bit/s": Decimal(1000**power) / 8 for power, prefix in enumerate(["", "k", "M", "G", "T"])},
    **{f"{unit}/s": factor for unit, factor in SIZE_UNITS.items() if unit.endswith("B")},
}
_NUMBER = r"(\d+(?:\.\d+)?)"
_MEASURE = re.compile(rf"{_NUMBER}\s*(\S*)", re.ASCII)
_RATE = re.compile(rf"{_NUMBER}\s*/\s*(s|min|h|d)", re.ASCII)
_SIZES, _BANDWIDTHS, _RATES = "80MiB, 8Gi or 1GB", "2Gbit/s or 250MB/s", "20/s, 4/min or 3/h"


def parse_quantity(value: object) -> Decimal:
    """Return the amount of a Kubernetes quantity: `500m`, `1.5`, `8Gi`, `2e3`.

    Raises:
        FormatError: if `value` is not a quantity.
    """
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        raise FormatError(f"{quoted(value)} is not a quantity", "a number with a suffix, such as 500m, 1.5, 8Gi or 2e3")
    number, suffix = match[1], match[2] or ""
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        return Decimal(number + suffix)
    return Decimal(number) * _SUFFIXES[suffix]


def parse_size(value: object, *, plain_bytes: bool = False, allow_zero: bool = False) -> float:
    """Return the bytes of a size.

    Args:
        value: the size.
        plain_bytes: accept a number without a unit as bytes.
        allow_zero: accept a size of zero.

    Raises:
        FormatError: if `value` is not a size.
    """
    units = {**SIZE_UNITS, "": Decimal(1)} if plain_bytes else SIZE_UNITS
    return _parse(value, units, "size", _SIZES, allow_zero)


def format_size(value: float) -> str:
    """Return the text of a size; parsing it gives the same float."""
    return _format(value, ("TiB", "GiB", "MiB", "KiB"), SIZE_UNITS, "B")


def parse_bandwidth(value: object) -> float:
    """Return the bytes per second of a bandwidth above zero.

    Raises:
        FormatError: if `value` is not a bandwidth.
    """
    return _parse(value, _BANDWIDTH_UNITS, "bandwidth", _BANDWIDTHS)


def format_bandwidth(value: float) -> str:
    """Return the text of a bandwidth; parsing it gives the same float."""
    return _format(value, ("Gbit/s", "Mbit/s", "kbit/s"), _BANDWIDTH_UNITS, "B/s")


def parse_rate(value: object) -> float:
    """Return the events per second of a rate above zero.

    Raises:
        FormatError: if `value` is not a rate.
    """
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise FormatError(f"{quoted(value)} is not a rate", f"a rate such as {_RATES}")
    number = Decimal(match[1])
    if not number:
        raise FormatError("must be above 0", f"a rate such as {_RATES}")
    return float(number / _RATE_UNITS[match[2]])


def format_rate(per_second: float) -> str:
    """Return the text of a rate; parsing it gives the same float."""
    for unit, seconds in _RATE_UNITS.items():
        count = Decimal(repr(round(per_second * seconds, 9)))
        text = f"{plain(count)}/{unit}"
        if count == count.to_integral_value() and count and parse_rate(text) == per_second:
            return text
    return f"{plain(Decimal(repr(per_second)))}/s"


def _parse(value: object, units: Mapping[str, Decimal], name: str, examples: str, allow_zero: bool = False) -> float:
    match = _MEASURE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        raise FormatError(f"{quoted(value)} is not a {name}", f"a {name} such as {examples}")
    amount = Decimal(match[1]) * units[match[2]]
    if not amount and not allow_zero:
        raise FormatError("must be above 0", f"a {name} such as {examples}")
    return float(amount)


def _format(value: float, order: Sequence[str], units: Mapping[str, Decimal], smallest: str) -> str:
    exact = Decimal(repr(value))
    for unit in order:
        if exact >= units[unit] and exact % units[unit] == 0:
            return f"{plain(exact / units[unit])}{unit}"
    return f"{plain(exact)}{smallest}"
