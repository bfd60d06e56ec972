"""Page of `twin swarm`: violated invariants with their seeds, and which faults and histories the seeds have met."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twin.experiments.execution.task import Row
from twin.experiments.histories import HISTORIES
from twin.experiments.pages.template import fill
from twin.experiments.swarm import PHASES, Coverage, FoundScenario, Swarm, possible_pairs
from twin.report.figures.heat_map import Cell, Grid, heat_map
from twin.report.page import Tile, format_value
from twin.report.svg import Figure

MAX_SEEDS = 20
"""Seeds that are named for each violated invariant."""
MAX_CRASHED = 20


@dataclass(frozen=True, slots=True)
class ViolatedInvariant:
    """An invariant that some runs violated."""

    name: str
    runs: int
    seeds: Sequence[int]
    """The first `MAX_SEEDS` of them."""
    message: str
    found: FoundScenario | None
    """The scenario that was written for it; None beyond the number of those that are."""


def render(coverage: Coverage, runs: Swarm, found: Sequence[FoundScenario]) -> str:
    """Return the page of a finished swarm."""
    return fill(
        "swarm.html.jinja",
        coverage=coverage,
        runs=runs,
        tiles=_tiles(coverage, runs),
        violated=_violated(coverage, found),
        crashed=coverage.crashed[:MAX_CRASHED],
        histories=[(name, text, coverage.histories[name]) for name, text in HISTORIES.items()],
        figures=_figures(coverage, runs),
        unmet=[f"{left} + {right}" for left, right in _unmet(coverage)],
        verdict=_verdict(coverage),
    )


def _verdict(coverage: Coverage) -> str:
    scenarios = f"{coverage.runs:,} random scenario{'s' if coverage.runs != 1 else ''}"
    if not coverage.broken and not coverage.crashed:
        return f"No invariant was violated in {scenarios}."
    parts = []
    if coverage.broken:
        names = ", ".join(sorted(coverage.broken))
        seeds = {row.seed for rows in coverage.broken.values() for row in rows}
        parts.append(f"{len(seeds):,} of {scenarios} violated an invariant ({names})")
    if coverage.crashed:
        parts.append(f"{len(coverage.crashed):,} of {scenarios} crashed")
    return f"{'; '.join(parts)}."


def _tiles(coverage: Coverage, runs: Swarm) -> list[Tile]:
    tiles = [Tile("Random scenarios", f"{coverage.runs:,}", f"seeds {runs.seeds[0]} to {runs.seeds[-1]}")]
    if not runs.mistakes:
        met, pairs = sum(coverage.faults[kind] > 0 for kind in runs.kinds), possible_pairs(runs.kinds)
        tiles.append(Tile("Kinds of faults injected", _share(met, len(runs.kinds)), "in any run"))
        tiles.append(Tile("Pairs of faults", _share(len(coverage.pairs), len(pairs)), "active at the same time"))
    histories = possible_pairs(HISTORIES)
    tiles.append(Tile("Histories", _share(len(coverage.histories), len(HISTORIES)), "met in any run"))
    tiles.append(Tile("Pairs of histories", _share(len(coverage.history_pairs), len(histories)), "met in one run"))
    return [*tiles, Tile("Violated invariants", format_value(len(coverage.broken)), "")]


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}"


def _violated(coverage: Coverage, found: Sequence[FoundScenario]) -> list[ViolatedInvariant]:
    written = {scenario.invariant: scenario for scenario in found}
    return [_violated_invariant(name, rows, written) for name, rows in sorted(coverage.broken.items())]


def _violated_invariant(name: str, rows: Sequence[Row], written: Mapping[str, FoundScenario]) -> ViolatedInvariant:
    seeds = sorted(row.seed for row in rows)
    message = next(row.violation for row in rows if row.seed == seeds[0])
    return ViolatedInvariant(name, len(rows), seeds[:MAX_SEEDS], message, written.get(name))


def _figures(coverage: Coverage, runs: Swarm) -> list[Figure]:
    drawn = [
        _pairs(
            "history-pairs",
            "Histories, alone and in pairs",
            sorted(HISTORIES),
            coverage.histories,
            coverage.history_pairs,
        )
    ]
    if not runs.mistakes:
        drawn += [_phases(coverage, runs.kinds)]
        drawn += [
            _pairs(
                "fault-pairs", "Faults, alone and at the same time", sorted(runs.kinds), coverage.faults, coverage.pairs
            )
        ]
    return [figure for figure in drawn if figure is not None]


def _pairs(
    name: str, title: str, names: Sequence[str], alone: Mapping[str, int], together: Mapping[tuple[str, str], int]
) -> Figure | None:
    """Draw how many runs met each name (on the diagonal) and each pair."""
    cells = {}
    for i, left in enumerate(names):
        cells[i, i] = _count(alone.get(left, 0), left)
        for j, right in enumerate(names[i + 1 :], start=i + 1):
            cells[i, j] = _count(together.get((left, right), 0), f"{left} and {right}")
    met = sum(count > 0 for count in together.values())
    alt = f"{title}: {met} of {len(possible_pairs(names))} pairs were met."
    caption = "Number of runs; on the diagonal those with one alone or with others. An empty cell was never met."
    return heat_map(name, title, Grid(names, names, cells), alt=alt, caption=caption)


def _phases(coverage: Coverage, kinds: Sequence[str]) -> Figure | None:
    """Draw in how many runs some adapter was in each phase while a fault was active."""
    cells = {
        (i, j): _count(coverage.phases[kind, phase], f"{kind} while an adapter was {phase}")
        for i, kind in enumerate(kinds)
        for j, phase in enumerate(PHASES)
    }
    met = sum(count > 0 for count in coverage.phases.values())
    alt = f"{met} of {len(kinds) * len(PHASES)} combinations of a fault and a phase were met."
    caption = "Number of runs in which an adapter was in that phase while the fault was active."
    return heat_map(
        "fault-phases", "Phases of adapters during each fault", Grid(kinds, PHASES, cells), alt=alt, caption=caption
    )


def _count(count: int, what: str) -> Cell:
    return Cell(count, f"{count:,}" if count else "", f"{what}: {count:,} run{'s' if count != 1 else ''}")


def _unmet(coverage: Coverage) -> list[tuple[str, str]]:
    """Return the pairs of histories that no run has met."""
    return [pair for pair in possible_pairs(HISTORIES) if not coverage.history_pairs[pair]]
