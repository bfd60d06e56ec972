"""What is to be run: variants and seeds, all checked before anything runs.

A variant is a scenario with some settings changed. `--vary PATH=A,B` and the scenario's own `vary:` give axes; their
grid, or random points between them, gives variants. The first variant is the baseline. Every variant meets the same
seeds, and every draw in a run comes from a named stream, so variants meet the same arrivals, latencies and faults.
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
from twin.experiments.execution.results import code, folder_digest
from twin.experiments.execution.task import Task
from twin.experiments.execution.worktree import checkout_error
from twin.experiments.search_space import Choice, Dimension, parse_dimension
from twin.kernel.random_streams import Streams
from twin.scenario import Scenario, ScenarioErrors, load, resolved
from twin.scenario.yaml.positions import value_of

SOURCE = "controller.source"
"""A path that is no field of a scenario: the checkout whose operator runs."""
SEED = "seed"


class DesignErrors(Exception):
    """The experiment cannot be run; each of the arguments is a line that says why."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A scenario to be run with every seed; packed, since each of many thousands then takes 2 kB and not 30."""

    name: str
    """What sets it apart from the others."""
    settings: Mapping[str, str]
    packed: bytes
    source: str = ""

    @classmethod
    def of(cls, name: str, settings: Mapping[str, str], scenario: Scenario, source: str) -> "Variant":
        """A variant with that scenario."""
        return cls(name, settings, zlib.compress(pickle.dumps(scenario), level=1), source)

    @property
    def scenario(self) -> Scenario:
        """What is to be run, but for its seed."""
        scenario: Scenario = pickle.loads(zlib.decompress(self.packed))
        return scenario


@dataclass(frozen=True, slots=True)
class Design:
    """Variants, the first of which is the baseline, and seeds."""

    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    digests: Mapping[str, str]
    """By variant: everything but the seed that its results depend on."""

    @property
    def baseline(self) -> Variant:
        """What the others are compared with."""
        return self.variants[0]

    @property
    def paths(self) -> list[str]:
        """The paths that vary."""
        return list(dict.fromkeys(path for variant in self.variants for path in variant.settings))

    def with_seeds(self, count: int) -> "Design":
        """The same with so many seeds, from the scenario's own on."""
        return replace(self, seeds=seed_range(self.baseline.scenario.seed, count))

    def key(self, variant: Variant, seed: int) -> str:
        """Names a run of this design."""
        return f"{self.digests[variant.name]}-{seed}"

    def keys(self) -> list[str]:
        """Of all runs, seeds within variants."""
        return [self.key(variant, seed) for variant in self.variants for seed in self.seeds]

    def task(self, variant: Variant, seed: int, *, keep: Path | None = None, collect: Sequence[str] = ()) -> Task:
        """One of its runs."""
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
    """So many seeds."""
    return tuple(range(first, first + count))


def parse_axes(file: Path, asked: Sequence[str], overrides: Mapping[str, str]) -> dict[str, Dimension]:
    """What varies: `--vary` arguments, or what the scenario says under `vary:` if there are none.

    Raises:
        DesignErrors: if nothing varies or an argument cannot be read.
    """
    if asked:
        return dict(_axis(argument) for argument in asked)
    scenario = _loaded(file, overrides)
    if not scenario.vary:
        raise DesignErrors(f"{file}: nothing varies; allowed: --vary PATH=A,B,C or a section `vary:` in the scenario")
    return {path: Choice(tuple(map(_text, values))) for path, values in scenario.vary.items()}


def grid(axes: Mapping[str, Dimension]) -> list[dict[str, str]]:
    """Every combination; the last axis turns fastest.

    Raises:
        DesignErrors: if an axis is a range, which has no end of values.
    """
    for path, axis in axes.items():
        if not isinstance(axis, Choice):
            raise DesignErrors(f"--vary {path}={axis}: a range has no grid; allowed: values A,B,C, or --random N")
    choices = [axis.values for axis in axes.values() if isinstance(axis, Choice)]
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*choices)]


def random_points(axes: Mapping[str, Dimension], count: int, seed: int) -> list[dict[str, str]]:
    """So many points, each drawn on its own; the same seed gives the same, and more are the same and more."""
    streams = Streams(seed)
    return [
        {path: axis.at(float(streams.get(f"design/{path}").uniform())) for path, axis in axes.items()}
        for _ in range(count)
    ]


def build_design(
    file: Path, points: Sequence[Mapping[str, str]], overrides: Mapping[str, str], seeds: int, seed: int | None = None
) -> Design:
    """A design whose every variant has been loaded and checked.

    Raises:
        DesignErrors: with all that is wrong with any variant, which is named.
    """
    problems, variants = dict[str, list[str]](), dict[str, Variant]()
    for point in points:
        plain = ", ".join(f"{path}={value}" for path, value in point.items()) or "as it is"
        copies = sum(name.partition(" #")[0] == plain for name in variants)
        name = f"{plain} #{copies + 1}" if copies else plain
        try:
            variants[name] = _variant(file, name, point, overrides, seed)
        except DesignErrors as errors:
            for line in errors.args:
                problems.setdefault(line.removeprefix("--set: "), []).append(name)
    if problems:
        # What is wrong with every variant is said once; else the first that has it is named.
        raise DesignErrors(
            *(line if len(names) == len(points) else f"{names[0]}: {line}" for line, names in problems.items())
        )
    found = tuple(variants.values())
    digests = {variant.name: _digest(variant) for variant in found}
    return Design(found, seed_range(found[0].scenario.seed, seeds), digests)


def _variant(
    file: Path, name: str, point: Mapping[str, str], overrides: Mapping[str, str], seed: int | None
) -> Variant:
    if SEED in point:
        raise DesignErrors("the seed is no setting; allowed: --seeds N, every variant meets all of them")
    settings = {path: value for path, value in point.items() if path != SOURCE}
    source = ""
    if SOURCE in point:
        source = _source(point[SOURCE])
        wrong = checkout_error(source) if source else ""
        if wrong:
            raise DesignErrors(f"{SOURCE}: {point[SOURCE]}: {wrong}; allowed: the folder of a checkout")
    scenario = _loaded(file, {**overrides, **settings}, seed)
    return Variant.of(name, dict(point), replace(scenario, vary={}), source)


def _source(given: str) -> str:
    """The folder of the checkout whose operator is meant; empty if it is the one that is running."""
    folder = Path(given).resolve()
    return "" if folder == Path(str(controller.__file__)).resolve().parents[1] else str(folder)


def _loaded(file: Path, overrides: Mapping[str, str], seed: int | None = None) -> Scenario:
    try:
        return load(file, overrides=overrides, seed=seed)
    except ScenarioErrors as errors:
        raise DesignErrors(*map(str, errors.problems)) from None


def _digest(variant: Variant) -> str:
    text = resolved(replace(variant.scenario, seed=0))
    operator = folder_digest(Path(variant.source) / "controller") if variant.source else ""
    copy = variant.name.partition(" #")[2]  # a variant that is there twice is run twice, or it could not differ
    return hashlib.sha256(f"{code()}\0{operator}\0{copy}\0{text}".encode()).hexdigest()[:20]


def _axis(argument: str) -> tuple[str, Dimension]:
    path, equals, text = argument.partition("=")
    if not equals or not path.strip():
        raise DesignErrors(
            f"--vary {argument}: is no axis; allowed: PATH=A,B,C, such as controller.policy=random,bin-pack"
        )
    try:
        return path.strip(), parse_dimension(text)
    except ValueError as error:
        raise DesignErrors(f"--vary {argument}: {error}") from None


def _text(value: object) -> str:
    """A value of `vary:` as it would stand behind `--set PATH=`; a text that YAML would take for a number is quoted."""
    plain = isinstance(value, str) and value_of(value, "") == value
    return str(value) if plain else json.dumps(value)
