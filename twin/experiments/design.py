"""Experiment designs: variants and seeds, all checked before anything runs.

A variant is a scenario with some settings changed. `--vary PATH=A,B` or the scenario's own `vary:` define axes; their
grid, or random points between their ends, defines the variants. The first variant is the baseline. All variants run
with the same seeds, and every draw in a run comes from a named stream, so all variants have the same arrivals,
latencies and faults.
"""

import hashlib
import itertools
import json
import pickle
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import controller
from twin.experiments.execution.results import code_digest, folder_digest
from twin.experiments.execution.task import Task
from twin.experiments.execution.worktree import checkout_error
from twin.experiments.search_space import Choice, Dimension, parse_dimension
from twin.kernel.random_streams import Streams
from twin.scenario import Scenario, ScenarioErrors, load, resolved
from twin.scenario.yaml.positions import value_of

SOURCE = "controller.source"
"""A path that is not a scenario field: the checkout whose operator runs."""
SEED = "seed"
UNCHANGED = "unchanged"
"""Name of the variant that has no settings of its own."""


class DesignErrors(Exception):
    """The experiment cannot be run; each argument is one error line."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A scenario that runs with every seed; compressed, so that each of many thousands takes 2 kB instead of 30."""

    name: str
    """The settings that distinguish it."""
    settings: Mapping[str, str]
    packed: bytes
    source: str = ""

    @classmethod
    def create(cls, name: str, settings: Mapping[str, str], scenario: Scenario, source: str) -> "Variant":
        """Return a variant with this scenario."""
        return cls(name, settings, zlib.compress(pickle.dumps(scenario), level=1), source)

    @property
    def scenario(self) -> Scenario:
        """The scenario; each run replaces its seed."""
        scenario: Scenario = pickle.loads(zlib.decompress(self.packed))
        return scenario


@dataclass(frozen=True, slots=True)
class Design:
    """Variants, the first of which is the baseline, and seeds."""

    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    digests: Mapping[str, str]
    """By variant: digest of everything except the seed that its results depend on."""

    @property
    def baseline(self) -> Variant:
        """The variant that the others are compared with."""
        return self.variants[0]

    @property
    def paths(self) -> list[str]:
        """The paths that vary."""
        return list(dict.fromkeys(path for variant in self.variants for path in variant.settings))

    def with_seeds(self, count: int) -> "Design":
        """Return the same design with `count` seeds, from the scenario's own upwards."""
        return replace(self, seeds=seed_range(self.baseline.scenario.seed, count))

    def key(self, variant: Variant, seed: int) -> str:
        """Return the key of a run."""
        return f"{self.digests[variant.name]}-{seed}"

    def keys(self) -> list[str]:
        """Return the keys of all runs, variant by variant."""
        return [self.key(variant, seed) for variant in self.variants for seed in self.seeds]

    def task(self, variant: Variant, seed: int, *, keep: Path | None = None, collect: Sequence[str] = ()) -> Task:
        """Return the task of one run."""
        return Task(
            key=self.key(variant, seed),
            variant=variant.name,
            seed=seed,
            settings=dict(variant.settings),
            scenario=replace(variant.scenario, seed=seed),
            source=variant.source,
            keep=str(keep) if keep else "",
            collect=tuple(collect),
        )


def seed_range(first: int, count: int) -> tuple[int, ...]:
    """Return `count` consecutive seeds."""
    return tuple(range(first, first + count))


def parse_axes(file: Path, arguments: Sequence[str], overrides: Mapping[str, str]) -> dict[str, Dimension]:
    """Return the axes of the `--vary` arguments, or of the scenario's `vary:` if there are none.

    Raises:
        DesignErrors: if nothing varies or an argument is not valid.
    """
    if arguments:
        return dict(_parse_axis(argument) for argument in arguments)
    scenario = _load(file, overrides)
    if not scenario.vary:
        raise DesignErrors(f"{file}: no axes; use --vary PATH=A,B,C or a `vary:` section in the scenario")
    return {path: Choice(tuple(map(_text, values))) for path, values in scenario.vary.items()}


def set_options(settings: Mapping[str, object]) -> str:
    """Return settings as options of a command, each quoted for a shell."""
    return " ".join("--set " + quoted(f"{path}={value}") for path, value in settings.items())


def quoted(text: str) -> str:
    """Return a text in single quotes for a shell, also where it needs none, so that all settings look alike."""
    return "'" + text.replace("'", "'\\''") + "'"


def grid(axes: Mapping[str, Dimension]) -> list[dict[str, str]]:
    """Return every combination of values; the last axis varies fastest.

    Raises:
        DesignErrors: if an axis is a range.
    """
    for path, axis in axes.items():
        if not isinstance(axis, Choice):
            raise DesignErrors(f"--vary {path}={axis}: a grid needs values; allowed: A,B,C, or a range with --random N")
    choices = [axis.values for axis in axes.values() if isinstance(axis, Choice)]
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*choices)]


def random_points(axes: Mapping[str, Dimension], count: int, seed: int) -> list[dict[str, str]]:
    """Return `count` random points. The same seed gives the same points; a larger `count` adds to them."""
    streams = Streams(seed)
    return [
        {path: axis.at(float(streams.get(f"design/{path}").uniform())) for path, axis in axes.items()}
        for _ in range(count)
    ]


def build_design(
    file: Path, points: Sequence[Mapping[str, str]], overrides: Mapping[str, str], seeds: int, seed: int | None = None
) -> Design:
    """Load and check every variant and return the design.

    Raises:
        DesignErrors: with all problems of all variants.
    """
    problems, variants = dict[str, list[str]](), dict[str, Variant]()
    for point in points:
        plain = ", ".join(f"{path}={value}" for path, value in point.items()) or UNCHANGED
        copies = sum(name.partition(" #")[0] == plain for name in variants)
        name = f"{plain} #{copies + 1}" if copies else plain
        try:
            variants[name] = _variant(file, name, point, overrides, seed)
        except DesignErrors as errors:
            for line in errors.args:
                problems.setdefault(line.removeprefix("--set: "), []).append(name)
    if problems:
        # A problem of all variants is reported once; otherwise the first variant that has it is named.
        raise DesignErrors(
            *(line if len(names) == len(points) else f"{names[0]}: {line}" for line, names in problems.items())
        )
    checked = tuple(variants.values())
    digests = {variant.name: _digest(variant) for variant in checked}
    return Design(checked, seed_range(checked[0].scenario.seed, seeds), digests)


def _variant(
    file: Path, name: str, point: Mapping[str, str], overrides: Mapping[str, str], seed: int | None
) -> Variant:
    if SEED in point:
        raise DesignErrors("the seed cannot vary between variants; use --seeds N, every variant runs with all of them")
    settings = {path: value for path, value in point.items() if path != SOURCE}
    source = ""
    if SOURCE in point:
        source = _source(point[SOURCE])
        error = checkout_error(source) if source else ""
        if error:
            raise DesignErrors(f"{SOURCE}: {point[SOURCE]}: {error}; allowed: the folder of a checkout")
    scenario = _load(file, {**overrides, **settings}, seed)
    return Variant.create(name, dict(point), replace(scenario, vary={}), source)


def _source(text: str) -> str:
    """Return the folder of a checkout; empty if it is the one that is running."""
    folder = Path(text).resolve()
    return "" if folder == Path(str(controller.__file__)).resolve().parents[1] else str(folder)


def _load(file: Path, overrides: Mapping[str, str], seed: int | None = None) -> Scenario:
    try:
        return load(file, overrides=overrides, seed=seed)
    except ScenarioErrors as errors:
        raise DesignErrors(*map(str, errors.problems)) from None


def _digest(variant: Variant) -> str:
    text = resolved(replace(variant.scenario, seed=0))
    operator = folder_digest(Path(variant.source) / "controller") if variant.source else ""
    copy = variant.name.partition(" #")[
        2
    ]  # a variant that occurs twice is run twice, so that it can differ from itself
    return hashlib.sha256(f"{code_digest()}\0{operator}\0{copy}\0{text}".encode()).hexdigest()[:20]


def _parse_axis(argument: str) -> tuple[str, Dimension]:
    path, equals, text = argument.partition("=")
    if not equals or not path.strip():
        raise DesignErrors(
            f"--vary {argument}: is not an axis; allowed: PATH=A,B,C, for example controller.policy=random,bin-pack"
        )
    try:
        return path.strip(), parse_dimension(text)
    except ValueError as error:
        raise DesignErrors(f"--vary {argument}: {error}") from None


def _text(value: object) -> str:
    """Return a value of `vary:` as written after `--set PATH=`; a string that YAML reads as a number is quoted."""
    plain = isinstance(value, str) and value_of(value, "") == value
    return str(value) if plain else json.dumps(value)
