"""Pages of sweep, search and swarm: what they conclude from made-up runs, their size, and their bytes."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from tests.twin.experiments.tiny import a_file
from twin.evaluate import statistics
from twin.evaluate.estimates import Estimate, estimate
from twin.experiments.comparison import to_frame
from twin.experiments.design import Design, build_design, grid, parse_axes, set_options
from twin.experiments.execution.task import Row
from twin.experiments.histories import HISTORIES
from twin.experiments.pages import search, swarm, sweep
from twin.experiments.search import Evaluation, Objective, SearchOptions, SearchResult, constraint_violations
from twin.experiments.swarm import FoundScenario, Swarm, measure_coverage
from twin.scenario import FAULTS, Scenario, load, parse_expectation

LOADS, RUNNING = "loads.attempted", "adapters.running"
GRID = ("controller.policy=random,bin-pack,least-adapters", "controller.retry.base=1s,5s")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_file(tmp_path_factory.mktemp("pages"))


def a_design(file: Path, *axes: str, seeds: int = 4) -> Design:
    return build_design(file, grid(parse_axes(file, axes, {})), {}, seeds)


def a_row(design: Design, variant: int, seed: int, loads: float, **more: object) -> Row:
    name, settings = design.variants[variant].name, dict(design.variants[variant].settings)
    fields = {"key": "k", "variant": name, "seed": seed, "settings": settings, "passed": True}
    return Row(**{**fields, "measures": {LOADS: loads}, **more})


def rows(design: Design, loads: Sequence[float]) -> Iterator[Row]:
    """A row for each run: the variant's loads, plus the seed, plus noise of their own that is small."""
    for variant, value in enumerate(loads):
        for seed in design.seeds:
            yield a_row(design, variant, seed, value + 10 * seed + 0.1 * ((variant + seed) % 3))


def cells(html: str, row: str) -> list[str]:
    """Return the cells of the first row of a table that contains a text."""
    (found, *_) = (row_ for row_ in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL) if row in row_)
    return [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", found, re.DOTALL)]


def a_sweep(file: Path) -> str:
    design = a_design(file, *GRID)
    return sweep.render(design, rows(design, [50, 40, 30, 30.05, 60, 70]), "tiny.yaml")


def test_settings_are_shown_as_a_shell_takes_them() -> None:
    shown = set_options({"controller.policy": "spread", "name": "it's $HOME"})
    assert shown.startswith("--set 'controller.policy=spread' ")
    assert shlex.split(shown) == ["--set", "controller.policy=spread", "--set", "name=it's $HOME"]


def test_the_best_variant_is_named_with_its_interval_and_with_those_that_are_as_good(file: Path) -> None:
    html = a_sweep(file)
    measure, policy, base, mean, interval, close = cells(html, f'href="#{LOADS}"')
    assert (measure, policy, base, close) == ("loads", "bin-pack", "1s", "1 of 5 others")
    assert mean == "45.12"
    low, high = map(float, interval.split(" to "))
    assert low < 45.12 < high
    assert "controller.policy=random,bin-pack" in html, "the command that compares it with the first variant"
    assert html.count('class="best"') == html.count('class="close"') == 1, "the heat map outlines both"
    assert 'class="verdict good"' in html


def test_a_variant_of_which_a_run_failed_is_not_the_best_and_its_run_can_be_repeated(file: Path) -> None:
    design = a_design(file, *GRID)
    made = [
        a_row(design, 2, row.seed, 1.0, passed=False, violation="invariant 6: <a>") if "1s" in row.variant and
        row.variant.startswith("controller.policy=bin-pack") else row for row in rows(design, [50, 40, 30, 35, 60, 70])
    ]  # fmt: skip
    html = sweep.render(design, made, "tiny.yaml")
    assert cells(html, f'href="#{LOADS}"')[1:3] == ["bin-pack", "5s"]
    assert "4 of 24 runs crashed" in html
    assert 'class="verdict bad"' in html
    assert cells(html, "invariant 6")[2:] == [
        "invariant 6: &lt;a&gt;",
        "twin run tiny.yaml --seed 0"
        " --set &#39;controller.policy=bin-pack&#39; --set &#39;controller.retry.base=1s&#39;",
    ]


def test_one_seed_shows_a_best_variant_and_no_intervals(file: Path) -> None:
    design = a_design(file, "controller.retry.base=1s,5s", seeds=1)
    html = sweep.render(design, rows(design, [50, 40]), "tiny.yaml")
    assert cells(html, f'href="#{LOADS}"')[1:] == ["5s", "40.1", "—", "unknown with one seed"]


def test_a_sweep_of_many_points_has_a_small_page(file: Path) -> None:
    first = a_design(file, "controller.retry.base=1s", seeds=2)
    settings = [{"controller.retry.base": f"{n}s"} for n in range(1, 501)]
    variants = tuple(replace(first.variants[0], name=str(each), settings=each) for each in settings)
    design = replace(first, variants=variants)
    html = sweep.render(design, rows(design, [abs(n - 50) for n in range(500)]), "tiny.yaml")
    assert cells(html, f'href="#{LOADS}"')[1] == "51s"
    assert "The first 60 of 500 variants" in html
    assert len(html.encode()) < 2_000_000


def an_evaluation(objective: Objective, base: str, loads: float, running: float = 6.0, error: str = "") -> Evaluation:
    means = {} if error else {LOADS: loads, RUNNING: running}
    excess = () if error else constraint_violations(objective, means)
    return Evaluation({"controller.retry.base": base}, means, excess, error)


def a_search(file: Path, checked: float = 6.0) -> SearchResult:
    objective = Objective(LOADS, 1, (parse_expectation(f"{RUNNING} == 6"),))
    result = SearchResult(objective, SearchOptions(trials=4, seeds=2))
    result.evaluations = [
        an_evaluation(objective, "9s", 80.0),
        an_evaluation(objective, "1s", 10.0, running=3.0),
        an_evaluation(objective, "2s", 60.0),
        an_evaluation(objective, "3s", 0.0, error="a cap below the base"),
    ]
    result.best = result.ranked()[0]
    design = a_design(file, "controller.retry.base=5s,2s", seeds=8)
    made = [structs.replace(row, measures={**row.measures, RUNNING: 6.0}) for row in rows(design, [90, 60])]
    result.check = statistics.compare(to_frame(made), design.baseline.name, objective.measures)
    result.checked = {LOADS: 61.0, RUNNING: checked}
    return result


def a_scenario(file: Path) -> Scenario:
    return load(file)


def test_a_search_recommends_the_best_point_under_its_condition(file: Path) -> None:
    html = search.render(a_search(file), a_scenario(file), "tiny.yaml")
    assert "Use controller.retry.base=2s." in html
    assert "With 8 new seeds, against the unchanged scenario: 24 % fewer loads: statistically significant." in html
    assert "twin run tiny.yaml --set &#39;controller.retry.base=2s&#39;" in html
    assert cells(html, "<code>1s</code>") == ["2", "1s", "10", "3", "adapters.running == 6 missed by 50 %"]
    assert cells(html, "a cap below")[2:4] == ["—", "—"]
    far = a_search(file)
    far.evaluations[1] = replace(far.evaluations[1], excess=(2.94,))
    assert "adapters.running == 6 missed by 294 %" in search.render(far, a_scenario(file), "tiny.yaml")
    numbers = re.findall(r'data-label="trial">(\d+)<', html)
    assert numbers == ["3", "1", "2", "4"], "the best first"
    assert "2 satisfy the limits, 1 violate one, 1 have no result" in html


def test_a_search_that_new_seeds_refute_is_no_recommendation(file: Path) -> None:
    html = search.render(a_search(file, checked=5.5), a_scenario(file), "tiny.yaml")
    assert "but it violates a limit with new seeds" in html
    assert "✗ violated" in html
    assert 'class="verdict bad"' in html
    none = a_search(file)
    none.evaluations, none.best, none.check = none.evaluations[1:2], None, ()
    assert "Nearest: controller.retry.base=1s (adapters.running == 6 missed by 50 %)." in search.render(
        none, a_scenario(file), "tiny.yaml"
    )


def a_swarm_row(seed: int, invariants: Mapping[str, str], **more: object) -> Row:
    met = ["ipv6", "retry-after"] if seed % 2 else ["ipv6"]
    coverage = {
        "faults": ["pod-kill", "timeout"],
        "pairs": [["pod-kill", "timeout"]],
        "phases": [["timeout", "Loading"]],
    }
    collected = {"invariants": list(invariants), "coverage": coverage, "histories": met}
    violation = next(iter(invariants.values()), "")
    return Row(**{"key": "k", "variant": "", "seed": seed, "settings": {}, "collected": collected,
                  "violation": violation, **more})  # fmt: skip


def a_swarm() -> str:
    bad = {"5": "invariant 5: default/a: waited 1 s instead of <5 s>"}
    made = [a_swarm_row(seed, bad if seed in (2, 3) else {}) for seed in range(6)]
    made.append(a_swarm_row(6, {}, error="RuntimeError: a bug"))
    found = FoundScenario("5", 2, bad["5"], "found/5-seed-2.yaml", "1 fault, 1 adapter", "3 faults, 4 adapters")
    return swarm.render(measure_coverage(made), Swarm(range(7), tuple(FAULTS)), [found])


def test_a_swarm_lists_violated_invariants_with_seeds_and_the_shrunk_scenario(file: Path) -> None:
    html = a_swarm()
    assert "2 of 7 random scenarios violated an invariant (5); 1 of 7 random scenarios crashed." in html
    assert "waited 1 s instead of &lt;5 s&gt;" in html
    assert "Seeds 2, 3" in html
    assert "1 fault, 1 adapter, shrunk from 3 faults, 4 adapters:" in html
    assert "twin run found/5-seed-2.yaml" in html
    assert cells(html, "a bug")[0] == "6"


def test_a_swarm_counts_histories_and_pairs(file: Path) -> None:
    html = a_swarm()
    assert cells(html, "<code>ipv6</code>")[:2] == ["ipv6", "6"]
    assert cells(html, "<code>slow-lease</code>")[:2] == ["slow-lease", "0"]
    assert "<title>ipv6 and retry-after: 3 runs</title>" in html
    assert "<title>pod-kill and timeout: 6 runs</title>" in html
    assert f"{len(HISTORIES) * (len(HISTORIES) - 1) // 2 - 1} pairs of histories that no run has met" in html
    assert len(html.encode()) < 2_000_000
    calm = swarm.render(measure_coverage([a_swarm_row(0, {})]), Swarm(range(1), tuple(FAULTS), mistakes=True), [])
    assert "No invariant was violated in 1 random scenario." in calm
    assert "Faults, alone" not in calm


def pages(file: Path) -> dict[str, str]:
    found = search.render(a_search(file), load(file), "tiny.yaml")
    return {"sweep": a_sweep(file), "search": found, "swarm": a_swarm()}


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_no_page_is_wider_than_a_phone_and_no_script_fails(file: Path, tmp_path: Path) -> None:
    """All pages in frames of 390 px, in one browser."""
    assert CHROMIUM is not None
    made = pages(file)
    frames = "".join(f'<iframe id="{name}" src="{name}.html" width="390" height="900"></iframe>' for name in made)
    probe = """<script>addEventListener("load", () => { for (const frame of document.querySelectorAll("iframe"))
        frame.title = frame.contentDocument.documentElement.scrollWidth + frame.contentWindow.failed; });</script>"""
    (tmp_path / "all.html").write_text(frames + probe)
    catch = '<script>var failed = ""; addEventListener("error", event => { failed += event.message; });</script></head>'
    for name, html in made.items():
        (tmp_path / f"{name}.html").write_text(html.replace("</head>", catch), encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=1000", "--dump-dom",
        (tmp_path / "all.html").as_uri(),
    ]  # fmt: skip
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert dict(re.findall(r'id="(\w+)" .*?title="([^"]*)"', dumped)) == dict.fromkeys(made, "390")


def test_estimates_of_few_runs_know_what_they_do_not_know() -> None:
    assert estimate(np.array([np.nan])) is None
    assert estimate(np.array([3.0, np.nan])) == Estimate(3.0, None, None, 1)
    found = estimate(np.array([1.0, 2.0, 3.0]))
    assert found is not None
    assert (found.mean, found.count) == (2.0, 3)
    assert found.low == pytest.approx(2 - 4.302653 / 3**0.5)  # Student's t with 2 degrees of freedom
