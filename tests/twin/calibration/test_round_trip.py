"""Values drawn from a file of times are fitted back, and runs with the fitted file have the same medians."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import generate_latest

from fake_vllm.cli import profile as parameters
from fake_vllm.cli.profile import ModelProfile
from tests.twin.worlds import a_scenario, adapters
from twin import cli
from twin.calibration import from_measurements, profile_yaml, read
from twin.evaluate import invariants
from twin.evaluate.measures import summarise
from twin.kernel.loop import run
from twin.sim.simulation import Simulation, simulate

KNOWN = """\
startup: {lognormal: {median: 20s, p95: 35s}}
load: {lognormal: {median: 900ms, p95: 3s}}
unload: {uniform: [20ms, 60ms]}
timing: {step_base: 12ms, per_sequence: 300us, per_prefill_token: 40us, spread: 1.3, answer: {median: 90, p95: 400}}
"""
HEADING = "startup_seconds,load_seconds,unload_seconds,ttft_seconds,itl_seconds,prompt_tokens,output_tokens,sequences"


def samples(path: Path, known: ModelProfile, count: int = 1500) -> Path:
    """Return measurements of engines with these times."""
    rng = np.random.default_rng(5)
    timing, sigma = known.timing, np.log(known.timing.spread) / 1.645
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(HEADING.split(","))
        for number in range(count):
            together, prompt = int(rng.integers(1, 40)), int(rng.integers(20, 1500))
            luck, again = np.exp(sigma * rng.standard_normal(2))
            rows.writerow(
                [
                    known.startup.draw(rng) if number < 300 else "",
                    known.load.draw(rng),
                    known.unload.draw(rng),
                    timing.seconds(1, prompt) * luck,
                    timing.seconds(together, 0) * again,
                    prompt,
                    max(1, round(timing.answer.draw(rng))),
                    together,
                ]
            )
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return the known file, and the one fitted to values drawn from it."""
    known, fitted = tmp_path / "known.yaml", tmp_path / "fitted.yaml"
    known.write_text(KNOWN)
    table = samples(tmp_path / "measured.csv", parameters.read(str(known)))
    fitted.write_text(profile_yaml(from_measurements(read([str(table)]))))
    return known, fitted


def test_values_drawn_from_a_file_of_times_are_fitted_back(files: tuple[Path, Path]) -> None:
    known, fitted = (parameters.read(str(file)) for file in files)
    for entry in ("startup", "load"):
        one, two = getattr(known, entry), getattr(fitted, entry)
        assert two.median == pytest.approx(one.median, rel=0.06)
        assert two.p95 == pytest.approx(one.p95, rel=0.12)
    assert (fitted.unload.low, fitted.unload.high) == pytest.approx((0.02, 0.06), rel=0.02)  # type: ignore[attr-defined]
    for entry in ("step_base", "per_sequence", "per_prefill_token", "spread"):
        assert getattr(fitted.timing, entry) == pytest.approx(getattr(known.timing, entry), rel=0.06), entry
    assert fitted.timing.answer.median == pytest.approx(90, rel=0.06)


def test_a_run_with_the_fitted_file_has_the_medians_of_the_original(files: tuple[Path, Path], tmp_path: Path) -> None:
    known, fitted = (medians(tmp_path, file) for file in files)
    assert fitted == pytest.approx(known, rel=0.05)


def medians(folder: Path, file: Path) -> dict[str, float]:
    engine = {"parameters": file.name}
    scenario = a_scenario(
        folder,
        cluster={"engines": {"default": engine}},
        adapters=[adapters(24, arrive={"poisson": "6/min", "from": "1m"})],
        traffic={"rate": "4/s", "prompt_tokens": 800, "output_tokens": 40, "from": "3m"},
    )
    lines = simulate(scenario).lines
    found = summarise(lines, invariants.check(lines))
    return {
        "time to running": found["time_to_running_seconds"]["p50"],
        "first token": found["traffic"]["ttft_seconds"]["p50"],
        "end to end": found["traffic"]["e2e_seconds"]["p50"],
    }


def test_engines_and_the_operator_are_calibrated_from_their_own_metrics(tmp_path: Path) -> None:
    (tmp_path / "known.yaml").write_text(KNOWN)
    pages = metrics_of(tmp_path, engine={"parameters": "known.yaml"})
    found = from_measurements(read(pages))
    fitted = tmp_path / "fitted.yaml"
    fitted.write_text(profile_yaml(found))
    times = parameters.read(str(fitted))
    assert times.load.median == pytest.approx(0.9, rel=0.25)  # type: ignore[attr-defined]
    assert times.timing.step_base == pytest.approx(0.012, rel=0.15)
    assert times.timing.per_prefill_token == pytest.approx(40e-6, rel=0.3)
    assert times.timing.spread == pytest.approx(1.3, rel=0.1)
    assert times.timing.answer.median == pytest.approx(60, rel=0.1)


def metrics_of(folder: Path, engine: dict[str, Any]) -> list[str]:
    """Return the metrics pages of three engines and their operator after ten minutes of traffic."""
    simulation = Simulation(
        a_scenario(
            folder,
            cluster={"engines": {"default": engine}, "artifacts": {"bandwidth": "100Gbit/s"}},
            adapters=[adapters(12, replicas=3, arrive={"poisson": "6/min", "from": "1m"})],
            traffic={
                "rate": "2/s",
                "prompt_tokens": 800,
                "output_tokens": {"lognormal": {"median": 60, "p95": 150}},
                "from": "2m",
            },
        )
    )
    pages: list[str] = []

    async def scraped() -> None:
        await simulation.main(None)
        pages.extend(host.engine.metrics_page() for host in simulation.world.hosts.values() if host.engine is not None)
        pages.append(generate_latest(simulation.replicas[0].metrics.registry).decode())

    run(scraped(), simulation.env)
    files = [folder / f"{number}.metrics" for number, _ in enumerate(pages)]
    for file, page in zip(files, pages, strict=True):
        file.write_text(page)
    return [str(file) for file in files]


def test_the_command_writes_file_and_picture_and_the_fake_engine_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("known.yaml").write_text(KNOWN)
    samples(Path("measured.csv"), parameters.read("known.yaml"), count=200)
    monkeypatch.setattr("sys.argv", ["twin", "calibrate", "measured.csv", "--out", "mine.yaml", "--gpu", "L4"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert "timing.per_prefill_token" in capsys.readouterr().out
    assert parameters.read("mine.yaml").load != parameters.DEFAULT_PROFILE.load
    page = Path("mine.html").read_text()
    assert page.count("<svg") == 5
    assert "fits well: the share below any length is off by at most" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
