"""The step-time model is fitted to load tests: a known one is found again, and a real server's is predicted.

`measured/` has load tests of vLLM 0.32.0's CPU build with a two-layer model and adapters of rank 8, at
`--max-lora-rank` 16 and 64, made by the driver of `twin calibrate --measure` on two cores.
"""

import dataclasses
from pathlib import Path

import pytest
from msgspec import structs

from fake_vllm.cli import profile as profiles
from fake_vllm.engine.adapters.costs import LoraCosts
from fake_vllm.engine.timing import DEFAULT_TIMING, StepTimeModel
from twin.calibration import profile_yaml
from twin.calibration.load_test.levels import Grid
from twin.calibration.load_test.records import (
    Level,
    LevelRun,
    LoadTest,
    RecordError,
    RequestTiming,
    ServerSettings,
    parse_load_test,
    read_load_test,
)
from twin.calibration.step_fit.calibrated import calibration_of
from twin.calibration.step_fit.fit import FitError, fit_steps
from twin.calibration.step_fit.prediction import error_shares, held_back_errors
from twin.calibration.step_fit.simulate import simulate_run

MEASURED = Path(__file__).parent / "measured"
RANK_16 = MEASURED / "vllm-0.32.0-cpu-rank-16.json"
RANK_64 = MEASURED / "vllm-0.32.0-cpu-rank-64.json"
SERVER = ServerSettings(
    model="base", max_num_seqs=256, max_num_batched_tokens=2048, max_loras=2, max_cpu_loras=4, max_lora_rank=16
)
GPU = StepTimeModel(
    step_base=0.0065,
    per_sequence=0.0003,
    per_prefill_token=32e-6,
    per_request=0.002,
    request_latency=0.004,
    lora=LoraCosts(step_base=0.001, per_adapter=0.0004, per_sequence=0.0001, per_prefill_token=10e-6, cpu_to_gpu=0.003),
)
CPU = StepTimeModel(
    step_base=0.004,
    per_sequence=0.0004,
    per_prefill_token=70e-6,
    per_request=0.004,
    request_latency=0.01,
    lora=LoraCosts(step_base=0.004, per_adapter=0.001, per_sequence=0.0005, per_prefill_token=230e-6, cpu_to_gpu=0.002),
)


def blank(level: Level) -> LevelRun:
    request = RequestTiming(0.0, 1.0, 2.0, level.prompt_tokens, level.output_tokens, 0)
    return LevelRun(level, 0, (request,) * level.requests)


GRID = Grid(concurrency=(1, 2, 4, 8, 16), prompt_tokens=(64, 384, 1024), adapters=(0, 1, 2, 3))
SMALL_GRID = Grid(concurrency=(1, 4, 6), prompt_tokens=(64, 384), adapters=(0, 3))


def simulated(model: StepTimeModel, server: ServerSettings = SERVER, grid: Grid = GRID) -> LoadTest:
    """Return the load test of a server with these step times."""
    levels = grid.levels()
    return LoadTest(server, 0, tuple(simulate_run(blank(level), server, model) for level in levels))


@pytest.mark.parametrize("model", [GPU, CPU])
def test_known_step_times_are_found_again_from_a_load_test(model: StepTimeModel) -> None:
    fit = fit_steps([simulated(model)], DEFAULT_TIMING)
    assert error_shares(held_back_errors(fit.levels, fit.timing)).p95 < 0.06
    for name in ("step_base", "per_sequence", "per_prefill_token"):
        assert getattr(fit.timing, name) == pytest.approx(getattr(model, name), rel=0.1), name
    assert fit.timing.per_request + fit.timing.request_latency == pytest.approx(
        model.per_request + model.request_latency, rel=0.1
    )
    assert fit.timing.lora is not None
    assert model.lora is not None
    assert fit.timing.lora.step_base == pytest.approx(model.lora.step_base, rel=0.2)
    assert fit.timing.lora.per_prefill_token == pytest.approx(model.lora.per_prefill_token, rel=0.1)


def test_reading_an_evicted_adapter_is_told_from_computing_with_it() -> None:
    assert CPU.lora is not None
    cold = dataclasses.replace(CPU, lora=dataclasses.replace(CPU.lora, disk_to_cpu=0.02))
    fit = fit_steps([simulated(cold, structs.replace(SERVER, max_cpu_loras=2), SMALL_GRID)], DEFAULT_TIMING)
    assert error_shares(held_back_errors(fit.levels, fit.timing)).p95 < 0.06
    assert fit.timing.lora is not None
    assert fit.timing.lora.disk_to_cpu is not None
    assert fit.timing.lora.disk_to_cpu + fit.timing.lora.cpu_to_gpu == pytest.approx(0.022, rel=0.2)


def test_two_servers_with_different_maximum_ranks_tell_what_the_rank_costs() -> None:
    model = dataclasses.replace(
        CPU, lora=LoraCosts(step_base=0.004, per_sequence=5e-4, per_prefill_token=23e-5, rank_share=0.6)
    )
    tests = [simulated(model), simulated(model, replace_rank(64))]
    fit = fit_steps(tests, DEFAULT_TIMING)
    assert fit.values["lora.rank_share"] == pytest.approx(0.6, rel=0.1)


def replace_rank(rank: int) -> ServerSettings:
    return ServerSettings(
        model="base", max_num_seqs=256, max_num_batched_tokens=2048, max_loras=2, max_cpu_loras=4, max_lora_rank=rank
    )


def test_queueing_is_not_taken_for_prefill_on_a_real_server() -> None:
    """A lone prompt of 384 tokens takes 40 ms there, one of eight at once 200 ms."""
    fit = fit_steps([read_load_test(RANK_16)], DEFAULT_TIMING)
    assert fit.timing.per_prefill_token < 0.2e-3


@pytest.mark.parametrize(
    ("files", "median", "p95"),
    [
        ((RANK_16,), 0.10, 0.25),
        # at rank 64 the CPU kernels' time grows faster than the number of prompt tokens, which the model does not have
        ((RANK_64,), 0.10, 0.50),
        ((RANK_16, RANK_64), 0.12, 0.45),
    ],
)
def test_levels_that_the_fit_has_not_seen_are_predicted(files: tuple[Path, ...], median: float, p95: float) -> None:
    fit = fit_steps([read_load_test(file) for file in files], DEFAULT_TIMING)
    errors = held_back_errors(fit.levels, fit.timing)
    assert len(errors) >= len(fit.levels) // 2
    shares = error_shares(errors)
    assert shares.median <= median
    assert shares.p95 <= p95


def test_the_same_load_test_gives_the_same_file(tmp_path: Path) -> None:
    texts = [profile_yaml(calibration_of(fit_steps([read_load_test(RANK_16)], DEFAULT_TIMING), ["m"])) for _ in "12"]
    assert texts[0] == texts[1]
    file = tmp_path / "calibrated.yaml"
    file.write_text(texts[0])
    profile = profiles.read(str(file))
    assert profile.timing.lora is not None
    assert profile.timing.lora.rank == 16
    assert 0 < profile.uncertainty["timing.step_base"] < 1


def test_a_load_test_survives_its_file() -> None:
    test = read_load_test(RANK_16)
    assert parse_load_test(test.to_json(), "m") == test


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "m.json: not a load test: "),
        ("{}", "m.json: not a load test: Object missing required field"),
        ('{"format":"another","server":{},"seed":0,"runs":[]}', "m.json: not a load test: "),
        (LoadTest(SERVER, 0, ()).to_json(), "m.json: not a load test: it has no runs"),
        (
            LoadTest(SERVER, 0, (LevelRun(Level(2, 64, 32, 0, 4), 0, ()),)).to_json(),
            "m.json: not a load test: a run of 2 clients has 0 of 4 requests",
        ),
        (
            LoadTest(SERVER, 0, (LevelRun(Level(1, 8, 8, 0, 1), 0, (RequestTiming(0, 2, 1, 8, 8, 0),)),)).to_json(),
            "m.json: not a load test: a request is impossible",
        ),
    ],
)
def test_a_damaged_file_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse_load_test(text, "m.json")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_load_test_with_one_concurrency_determines_no_model() -> None:
    levels = Grid(concurrency=(1,), prompt_tokens=(64, 384)).levels()
    runs = tuple(simulate_run(blank(level), SERVER, GPU) for level in levels)
    with pytest.raises(FitError, match="one value of concurrency; at least two are needed"):
        fit_steps([LoadTest(SERVER, 0, runs)], DEFAULT_TIMING)
