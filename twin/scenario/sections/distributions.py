"""Durations in a scenario: a constant, or a distribution.

`1.8s`, `{uniform: [2ms, 8ms]}`, `{exponential: 2h}`, `{lognormal: {median: 1.8s, p95: 6s}}`, `{empirical: file.csv}` or
a list of durations instead of the file. The result draws seconds. The classes are those of the fake engine, so that
`fake-vllm` and scenarios have the same distributions.
"""

from collections.abc import Mapping
from pathlib import Path as File
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from fake_vllm.distributions import Constant, Empirical, Exponential, Latency, LogNormal, Uniform, format_distribution
from formats.durations import format_duration, parse_duration
from formats.errors import FormatError
from twin.scenario.errors import Path, choices
from twin.scenario.units import format_error, value_error

_NAMES = ("uniform", "exponential", "lognormal", "empirical")
_ALLOWED = (
    "allowed: a duration such as 2s, {uniform: [2ms, 8ms]}, {exponential: 2h}, "
    "{lognormal: {median: 1.8s, p95: 6s}} or {empirical: file.csv}"
)


def distribution(value: object, info: ValidationInfo) -> Latency:
    """Return the distribution that `value` describes, in seconds."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return Constant(_part(value, ()))
    if not isinstance(value, Mapping):
        raise value_error("is not a distribution", _ALLOWED)
    if len(value) != 1:
        raise value_error(f"has {len(value)} entries; a distribution has one", _ALLOWED)
    name, argument = next(iter(value.items()))
    at: Path = (name,)
    match name:
        case "uniform":
            return _uniform(argument, at)
        case "exponential":
            mean = _part(argument, at)
            if mean <= 0:
                raise value_error("the mean is zero", "allowed: a duration above zero", at)
            return Exponential(mean)
        case "lognormal":
            return _lognormal(argument, at)
        case "empirical":
            return Empirical(samples(argument, info, at))
    raise value_error(f'unknown distribution "{name}"', choices(name, _NAMES), at, key=True)


def samples(argument: object, info: ValidationInfo, at: Path = ()) -> tuple[float, ...]:
    """Return durations in seconds: from a list, or from the first column of a CSV file beside the scenario."""
    if isinstance(argument, list | tuple):
        values = [_part(item, (*at, index)) for index, item in enumerate(argument)]
    elif isinstance(argument, str):
        values = _column(File((info.context or {}).get("folder", ".")) / argument, argument, at)
    else:
        raise value_error("is not a file name", "allowed: the name of a CSV file, or a list of durations", at)
    if not values:
        raise value_error("contains no values", "allowed: one duration or more", at)
    return tuple(values)


def _column(path: File, name: str, at: Path) -> list[float]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise value_error(
            f'cannot read "{name}": {reason}', "allowed: a CSV file, relative to the scenario", at
        ) from None
    cells = [(number, line.split(",")[0].strip()) for number, line in enumerate(lines, 1) if line.strip()]
    values = []
    for number, cell in cells:
        try:
            values.append(parse_duration(cell if cell[-1:].isalpha() else f"{cell}s"))
        except FormatError:
            if number > 1:  # the first line may have headings
                message = f'"{name}" line {number} is not a duration'
                raise value_error(
                    message, "allowed: seconds, or durations such as 250ms, in the first column", at
                ) from None
    return values


def _part(value: object, at: Path) -> float:
    try:
        return parse_duration(value)
    except FormatError as error:
        raise format_error(error, at) from None


def _uniform(argument: object, at: Path) -> Uniform:
    if not isinstance(argument, list | tuple) or len(argument) != 2:
        raise value_error("is not a pair", "allowed: [lowest, highest], such as [2ms, 8ms]", at)
    low, high = (_part(item, (*at, index)) for index, item in enumerate(argument))
    if high < low:
        raise value_error("the highest is below the lowest", "allowed: [lowest, highest]", at)
    return Uniform(low, high)


def _lognormal(argument: object, at: Path) -> LogNormal:
    allowed = "allowed: {median: 1.8s, p95: 6s}"
    if not isinstance(argument, Mapping):
        raise value_error("is not a mapping", allowed, at)
    for key in argument:
        if key not in ("median", "p95"):
            raise value_error(f'unknown field "{key}"', choices(key, ("median", "p95")), (*at, key), key=True)
    missing = next((key for key in ("median", "p95") if key not in argument), None)
    if missing:
        raise value_error(f'"{missing}" is missing', allowed, at)
    median, p95 = _part(argument["median"], (*at, "median")), _part(argument["p95"], (*at, "p95"))
    if median <= 0:
        raise value_error("the median is zero", "allowed: a duration above zero", (*at, "median"))
    if p95 < median:
        raise value_error("p95 is below the median", "allowed: a p95 of at least the median", (*at, "p95"))
    return LogNormal(median, p95)


def show_distribution(value: Latency) -> Any:
    """Return the value as it is written in YAML; parsing it gives an equal object."""
    return format_distribution(value, format_duration)


_DURATION = {"type": "string", "examples": ["90s"]}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "uniform": {"type": "array", "items": _DURATION, "minItems": 2, "maxItems": 2},
    "exponential": _DURATION,
    "lognormal": {
        "type": "object",
        "properties": {"median": _DURATION, "p95": _DURATION},
        "required": ["median", "p95"],
        "additionalProperties": False,
    },
    "empirical": {"anyOf": [{"type": "string"}, {"type": "array", "items": _DURATION}]},
}
_SCHEMA = WithJsonSchema(
    {
        "description": "A duration, or a distribution from which a new value is drawn for every use.",
        "anyOf": [
            _DURATION,
            *(
                {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}
                for name, schema in _ARGUMENTS.items()
            ),
        ],
    }
)

Distribution = Annotated[Latency, PlainValidator(distribution), PlainSerializer(show_distribution), _SCHEMA]
"""Distribution of a duration, in seconds."""
