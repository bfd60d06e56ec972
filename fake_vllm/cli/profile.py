"""The latency profile of one model on one GPU: a YAML file of times, or a built-in preset.

Every number in a preset has a comment with its source. `--parameters FILE` uses a file made from measurements.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from fake_vllm.distributions import Constant, Latency, LogNormal, parse_distribution
from fake_vllm.engine.adapters.costs import Architecture, LoraCosts
from fake_vllm.engine.timing import DEFAULT_TIMING, StepTimeModel
from formats.durations import parse_duration
from formats.quantities import parse_bandwidth, parse_size

T = TypeVar("T")

_SECTIONS = ("model", "gpu", "sources", "uncertainty", "startup", "load", "unload", "lora_memory", "timing")
_TIMES = ("step_base", "per_sequence", "per_prefill_token", "per_request", "request_latency")
_RENAMED = {
    "pace": "timing",
    "timing.step": "step_base",
    "timing.sequence": "per_sequence",
    "timing.prompt_token": "per_prefill_token",
    "timing.while_loading": "loading_slowdown",
}
"""Former names of keys."""
_COUNTS = ("kv_tokens", "batched_tokens")
_FACTORS = ("loading_slowdown", "spread")
_PERCENTAGE = re.compile(r"(\d+(?:\.\d+)?) ?%")
_AT_ONCE, _LOAD, _UNLOAD = Constant(0.0), Constant(0.5), Constant(0.02)  # seconds; quick enough to play with


class ProfileError(ValueError):
    """A file cannot be used; the message has the file, the place and what is allowed."""


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """Times of one model on one GPU."""

    startup: Latency = _AT_ONCE
    load: Latency = _LOAD
    unload: Latency = _UNLOAD
    timing: StepTimeModel = DEFAULT_TIMING
    lora_memory: int | None = None
    """Bytes of memory for the weights of all adapters; None: no limit."""
    uncertainty: Mapping[str, float] = field(default_factory=dict)
    """By entry, such as `timing.step_base`: half of its 95 % confidence interval, as a share of the value."""


DEFAULT_PROFILE = ModelProfile()


def presets() -> list[str]:
    """Return the names of the presets."""
    entries = files("fake_vllm").joinpath("presets").iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml"))


def preset(name: str) -> ModelProfile:
    """Return the preset of that name.

    Raises:
        ProfileError: if there is no such preset.
    """
    if name not in presets():
        raise ProfileError(f"--preset: there is no preset {name!r}; allowed: {', '.join(presets())}")
    text = files("fake_vllm").joinpath("presets", f"{name}.yaml").read_text("utf-8")
    return parse_profile(_parsed(text, f"{name}.yaml"), f"{name}.yaml")


def read(path: str) -> ModelProfile:
    """Return the profile in a file.

    Raises:
        ProfileError: if it cannot be read or used.
    """
    return parse_profile(document(path), path)


def document(path: str) -> Any:
    """Return the content of a YAML file.

    Raises:
        ProfileError: if it cannot be read.
    """
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return _parsed(text, path)


def mapping(value: object, name: str, where: str, allowed: tuple[str, ...]) -> Mapping[str, Any]:
    """Return `value` if it is a mapping with known keys only; `name` is the file and `where` the place in it.

    Raises:
        ProfileError: if it is not.
    """
    if not isinstance(value, Mapping):
        place = where.rstrip(".") or "the file"
        raise ProfileError(f"{name}: {place}: must be a mapping with some of {', '.join(allowed)}")
    for key in value:
        if key not in allowed:
            new_name = _RENAMED.get(f"{where}{key}")
            hint = f'it is called "{new_name}" now' if new_name in allowed else f"allowed: {', '.join(allowed)}"
            raise ProfileError(f"{name}: {where}{key}: unknown key; {hint}")
    return value


def _parsed(text: str, name: str) -> Any:
    from ruamel.yaml import YAML  # a fake without such a file starts without it
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, RecursionError, ValueError) as error:
        where = getattr(error, "problem_mark", None)
        at = f":{where.line + 1}:{where.column + 1}" if where else ""
        message = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ProfileError(f"{name}{at}: not YAML: {message}") from error


def parse_profile(document: object, name: str) -> ModelProfile:
    """Return the profile of a parsed file; `name` is the file.

    Raises:
        ProfileError: if it cannot be used.
    """
    content = mapping(document, name, "", _SECTIONS)
    times = {
        section: _read(parse_distribution, content[section], name, section)
        for section in ("startup", "load", "unload")
        if section in content
    }
    memory = int(_read(parse_size, content["lora_memory"], name, "lora_memory")) if "lora_memory" in content else None
    timing = mapping(content.get("timing") or {}, name, "timing.", _names(StepTimeModel))
    uncertainty = _uncertainty(content.get("uncertainty") or {}, name)
    return replace(ModelProfile(timing=_timing(timing, name), lora_memory=memory, uncertainty=uncertainty), **times)


def _names(kind: Any) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind) if item.init)


def _uncertainty(section: object, name: str) -> dict[str, float]:
    if not isinstance(section, Mapping):
        raise ProfileError(f"{name}: uncertainty: must be a mapping from entries to percentages")
    allowed = (
        *(f"timing.{key}" for key in _names(StepTimeModel)),
        *(f"timing.lora.{key}" for key in _names(LoraCosts)),
    )
    return {
        str(entry): _percentage(value, name, f"uncertainty.{entry}")
        for entry, value in mapping(section, name, "uncertainty.", allowed).items()
    }


def _percentage(value: object, name: str, where: str) -> float:
    match = _PERCENTAGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ProfileError(f"{name}: {where}: {value!r} is not a percentage; allowed: a text such as 5%")
    return float(match[1]) / 100


def _lora(section: Any, name: str) -> LoraCosts:
    """Return what adapters add to a step."""
    where = "timing.lora."
    values: dict[str, Any] = {}
    for key, value in mapping(section, name, where, _names(LoraCosts)).items():
        if key == "rank":
            values[key] = _number(value, name, where + key, int)
        elif key == "rank_share":
            values[key] = float(_number(value, name, where + key, int | float))
        else:
            values[key] = _read(parse_duration, value, name, where + key)
    return _made(LoraCosts, values, name, "timing.lora")


def _architecture(section: Any, name: str) -> Architecture:
    """Return the dimensions of the model."""
    where = "timing.architecture."
    values = dict(mapping(section, name, where, _names(Architecture)))
    modules = values.pop("target_modules", None)
    for key, value in values.items():
        _number(value, name, where + key, int)
    missing = [key for key in _names(Architecture) if key not in values and key != "target_modules"]
    if missing:
        raise ProfileError(f"{name}: timing.architecture: needs {', '.join(missing)}")
    if modules is not None:
        if not isinstance(modules, list) or not modules or not all(isinstance(module, str) for module in modules):
            raise ProfileError(f"{name}: {where}target_modules: must be a list of names")
        values["target_modules"] = tuple(modules)
    return _made(Architecture, values, name, "timing.architecture")


def _made(kind: Callable[..., T], values: Mapping[str, Any], name: str, where: str) -> T:
    try:
        return kind(**values)
    except ValueError as error:
        raise ProfileError(f"{name}: {where}: {error}") from error


def _timing(section: Mapping[str, Any], name: str) -> StepTimeModel:
    values: dict[str, Any] = {}
    for key, value in section.items():
        where = f"timing.{key}"
        if key in _TIMES:
            values[key] = _read(parse_duration, value, name, where)
        elif key == "disk":
            values[key] = _read(parse_bandwidth, value, name, where)
        elif key in _COUNTS:
            values[key] = _number(value, name, where, int)
        elif key == "lora":
            values[key] = _lora(value, name)
        elif key == "architecture":
            values[key] = _architecture(value, name)
        elif key in _FACTORS:
            values[key] = float(_number(value, name, where, int | float))
        else:
            answer = mapping(value, name, where + ".", ("median", "p95"))
            if set(answer) != {"median", "p95"}:
                raise ProfileError(f"{name}: {where}: needs median and p95, in tokens")
            median, p95 = (float(_number(answer[key], name, where, int | float)) for key in ("median", "p95"))
            values[key] = _read(lambda pair: LogNormal(*pair), (median, p95), name, where)
    return _made(StepTimeModel, values, name, "timing")


def _number(value: object, name: str, where: str, kind: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ProfileError(f"{name}: {where}: {value!r} is not a{' whole' if kind is int else ''} number")
    return value


def _read(reader: Any, value: object, name: str, where: str) -> Any:
    try:
        return reader(value)
    except ValueError as error:
        raise ProfileError(f"{name}: {where}: {error}") from error
