"""Profiles: presets, files, and errors of invalid ones."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_vllm.cli import options
from fake_vllm.cli import profile as parameters
from fake_vllm.cli.profile import ProfileError
from fake_vllm.distributions import Constant, LogNormal
from fake_vllm.engine.engine import EngineConfigError
from fake_vllm.faults.spec import KINDS, FaultSpec


def read(folder: Path, text: str) -> parameters.ModelProfile:
    file = folder / "times.yaml"
    file.write_text(text)
    return parameters.read(str(file))


def test_values_of_a_file_are_used_and_others_are_defaults(tmp_path: Path) -> None:
    profile = read(
        tmp_path,
        "model: acme/base\ngpu: A100\nsources: [measured]\n"
        "startup: 30s\nlora_memory: 2GiB\nload: {lognormal: {median: 1s, p95: 4s}}\n"
        "timing: {step_base: 6ms, per_sequence: 250us, kv_tokens: 1000, spread: 1.5, disk: 1.5GB/s,"
        " answer: {median: 100, p95: 300}}\n",
    )
    assert profile.startup == Constant(30.0)
    assert (profile.lora_memory, profile.timing.disk) == (2 << 30, 1.5e9)
    assert profile.load == LogNormal(1.0, 4.0)
    assert profile.unload == parameters.DEFAULT_PROFILE.unload
    assert (profile.timing.step_base, profile.timing.per_sequence, profile.timing.kv_tokens) == (0.006, 0.00025, 1000)
    assert profile.timing.answer == LogNormal(100.0, 300.0)
    assert profile.timing.batched_tokens == parameters.DEFAULT_PROFILE.timing.batched_tokens


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping"),
        ("- 1", "the file: must be a mapping"),
        ("spede: 1s", "spede: unknown key; allowed: model, gpu"),
        ("load: soon", "load: "),
        ("load: -1s", "load: "),
        ("load: {lognormal: {median: 4s, p95: 1s}}", "load: "),
        ("timing: 3", "timing: must be a mapping"),
        ("timing: {stp: 1ms}", "timing.stp: unknown key"),
        ("pace: {step: 1ms}", 'pace: unknown key; it is called "timing" now'),
        ("timing: {step: 1ms}", 'timing.step: unknown key; it is called "step_base" now'),
        ("timing: {sequence: 1ms}", 'timing.sequence: unknown key; it is called "per_sequence" now'),
        ("timing: {prompt_token: 1ms}", 'timing.prompt_token: unknown key; it is called "per_prefill_token" now'),
        ("timing: {while_loading: 2}", 'timing.while_loading: unknown key; it is called "loading_slowdown" now'),
        ("timing: {step_base: 0s, per_sequence: 0s}", "a step must take some time"),
        ("timing: {step_base: fast}", "timing.step_base: "),
        ("timing: {kv_tokens: 1.5}", "timing.kv_tokens: 1.5 is not a whole number"),
        ("timing: {kv_tokens: 0}", "kv_tokens is 0; it must be at least 1"),
        ("timing: {spread: true}", "timing.spread: True is not a number"),
        ("timing: {spread: 0.5}", "spread is 0.5; it must be at least 1"),
        ("timing: {answer: {median: 3}}", "timing.answer: needs median and p95, in tokens"),
        ("timing: {disk: 3}", "timing.disk: 3 is not a bandwidth; allowed: a bandwidth such as 2Gbit/s or 250MB/s"),
        ("timing: {disk: 0B/s}", "timing.disk: must be above 0"),
        ("lora_memory: much", 'lora_memory: "much" is not a size'),
        ("timing: {answer: 3}", "timing.answer: must be a mapping"),
        ("load: [1s", "times.yaml:1:10: not YAML"),
        ("\0", "not YAML"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ProfileError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert "times.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"nowhere\.yaml: cannot be read: No such file"):
        parameters.read(str(tmp_path / "nowhere.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ProfileError, match=r"latin\.yaml: cannot be read"):
        parameters.read(str(tmp_path / "latin.yaml"))


@pytest.mark.parametrize("name", parameters.presets())
def test_each_preset_is_whole_and_every_number_of_its_timing_has_a_source(name: str) -> None:
    profile = parameters.preset(name)
    assert profile.startup.mean() > 10
    assert profile.timing.step_base > 0
    text = (Path(parameters.__file__).parents[1] / "presets" / f"{name}.yaml").read_text()
    assert "https://" in text
    timing = text.partition("timing:\n")[2].splitlines()
    assert timing
    assert all("  # " in line for line in timing if line.strip())


def test_an_unknown_preset_is_refused_with_the_presets_that_exist() -> None:
    with pytest.raises(ProfileError, match=r"there is no preset 'h100'; allowed: llama-3\.1-8b-h100,"):
        parameters.preset("h100")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "x", "--parameters", "y"], "only one of them can be given"),
        (["--parameters", "/nowhere"], "/nowhere: cannot be read"),
        (["--startup", "soon"], "--startup: "),
        (["--load-latency", "-1s"], "--load-latency: "),
        (["--admin-port", "70000"], "--admin-port is 70000; it must be between 0 and 65535"),
        (["--max-num-batched-tokens", "-1"], "max_num_batched_tokens: Input should be greater than or equal to 1"),
        (["--fault", "slow,factor"], "'factor' does not have the form key=value"),
        (["--fault", "slwo"], "did you mean 'slow'?"),
        (["--faults", "/nowhere"], "/nowhere: cannot be read"),
        (["--catalogue", "/nowhere"], "/nowhere: cannot be read"),
        (["--dialect", "tgi"], "--dialect is 'tgi'; it must be one of vllm, sglang"),
        (["--emulate", "new"], "'new' is not a vLLM version"),
        (["--max-lorsa", "3"], "unrecognized arguments: --max-lorsa 3"),
        (["stray", "words"], "unrecognized arguments: words"),
    ],
)
def test_a_command_line_that_cannot_be_used_says_why_in_one_line(words: list[str], message: str) -> None:
    with pytest.raises(EngineConfigError) as caught:
        options.read(["serve", *words], {})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_faults_says_which_of_them_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("faults:\n  - {kind: slow, factor: 2}\n  - {kind: crash, code: 300}\n")
    with pytest.raises(
        EngineConfigError, match=r"faults.yaml: faults\[1\]: code: must be a whole number from 0 to 255"
    ):
        options.read(["serve", "--faults", str(file)], {})
    file.write_text("slow: 2")
    with pytest.raises(EngineConfigError, match=r"faults.yaml: must be a list of faults"):
        options.read(["serve", "--faults", str(file)], {})


@given(
    st.dictionaries(
        st.sampled_from(
            ["kind", "from", "until", "at", "every", "callers", "adapters", "probability", "factor", "status", "after"]
        ),
        st.sampled_from([*KINDS, "1s", "x", "", "controller"])
        | st.lists(st.sampled_from(["controller", "traffic", "x"]), max_size=2)
        | st.integers(-2, 700)
        | st.floats()
        | st.booleans()
        | st.none(),
    )
)
def test_any_text_of_a_fault_is_parsed_or_refused_in_one_line(said: dict[str, object]) -> None:
    refusal = ""
    try:
        planned = FaultSpec.parse(said)
    except ValueError as error:
        refusal = str(error)
        assert refusal
    else:
        assert planned.kind in KINDS
    assert "\n" not in refusal


def test_flags_of_old_and_new_releases_are_named_in_one_line_of_warning() -> None:
    words = (
        "serve base --speculative-model acme/draft --num-speculative-tokens 4 --swap-space 16 --disable-log-requests"
        " --gpu-memory-utilization=0.9 --tensor-parallel-size 2 --enforce-eager --no-enable-chunked-prefill"
        " --max-num-queued-reqs 100 --attention-config.backend FLASH_ATTN --limit-mm-per-prompt {} --port 8001"
    )
    config, own = options.read(words.split(), {})
    assert (config.model, config.port) == ("base", 8001)
    assert own.ignored == (
        *("--speculative-model", "--num-speculative-tokens", "--swap-space", "--disable-log-requests"),
        *("--gpu-memory-utilization", "--enforce-eager", "--no-enable-chunked-prefill"),
        *("--max-num-queued-reqs", "--attention-config", "--limit-mm-per-prompt"),
    )
