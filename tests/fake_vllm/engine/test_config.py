"""Settings of the fake, read from the command line of a real server."""

import dataclasses

import pytest

from fake_vllm.cli.command_line import read
from fake_vllm.engine.config import DEFAULT_MODEL
from fake_vllm.engine.engine import EngineConfig, EngineConfigError
from fake_vllm.engine.versions import VersionQuirks


def parse(*command: str, **env: str) -> EngineConfig:
    return read(command, env)


def test_a_manifests_command_is_understood() -> None:
    words = (
        "vllm serve --host 0.0.0.0 --port 8000 --uvicorn-log-level warning --model Qwen/Qwen2.5-Coder-1.5B-Instruct"
        " --served-model-name qwen-coder --enable-lora --max-loras 4 --max-cpu-loras 8"
    )
    config = parse(*words.split(), VLLM_ALLOW_RUNTIME_LORA_UPDATING="True")
    assert config == EngineConfig(
        served_model_names=("qwen-coder",),
        model="Qwen/Qwen2.5-Coder-1.5B-Instruct",
        enable_lora=True,
        max_loras=4,
        max_cpu_loras=8,
        runtime_updating=True,
    )


@pytest.mark.parametrize(
    "command",
    [
        ["vllm", "serve", "acme/base", "--max-loras", "3"],
        ["/usr/local/bin/vllm", "serve", "acme/base", "--max-loras=3"],
        ["python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "acme/base", "--max_loras", "3"],
        ["--model=acme/base", "--max_loras=3"],
        ["serve", "acme/base", "--max-loras", "2", "--max-loras", "3"],
        ["/bin/sh", "-c", "exec vllm serve acme/base \\\n --max-loras 3"],
        ["bash", "-ec", 'vllm serve "$MODEL" --max-loras ${SLOTS}'],
        ["vllm", "serve", "$(MODEL)", "-tp", "2", "--max-loras", "$(SLOTS)"],
    ],
)
def test_every_way_to_write_a_command_means_the_same(command: list[str]) -> None:
    config = read(command, {"MODEL": "acme/base", "SLOTS": "3"})
    assert (config.model, config.served_model_names, config.max_loras) == ("acme/base", ("acme/base",), 3)


@pytest.mark.parametrize(
    ("command", "enabled"),
    [
        ("--enable-lora", True),
        ("--enable_lora", True),
        ("", False),
        ("--no-enable-lora", False),
        ("--enable-lora --no-enable-lora", False),
        ("--no-enable-lora --enable-lora", True),
    ],
)
def test_the_later_of_a_switch_and_its_negation_counts(command: str, enabled: bool) -> None:
    assert parse(*command.split()).enable_lora is enabled


@pytest.mark.parametrize(
    ("value", "allowed"), [("1", True), ("true", True), ("TRUE", True), ("0", False), ("", False), ("yes", False)]
)
def test_runtime_updating_follows_the_variable(value: str, allowed: bool) -> None:
    assert parse(VLLM_ALLOW_RUNTIME_LORA_UPDATING=value).runtime_updating is allowed


def test_the_flags_keys_win_over_the_variables() -> None:
    assert parse("--api-key", "one", "two", VLLM_API_KEY="three").api_keys == ("one", "two")
    assert parse(VLLM_API_KEY="three").api_keys == ("three",)
    assert parse().api_keys == ()


def test_no_representation_shows_a_key() -> None:
    config = parse("--api-key", "sk-secret")
    assert "sk-secret" not in repr(config) + str(config)


def test_static_adapters_are_read_in_both_forms() -> None:
    config = parse("--enable-lora", "--lora-modules", "a=/adapters/a", '{"name": "b", "path": "/adapters/b"}')
    assert config.lora_modules == (("a", "/adapters/a"), ("b", "/adapters/b"))


def test_without_any_flag_the_defaults_are_vllms() -> None:
    config = parse()
    assert (config.model, config.port, config.max_loras, config.max_lora_rank) == (DEFAULT_MODEL, 8000, 1, 16)
    assert config.max_cpu_loras == config.max_loras


@pytest.mark.parametrize(
    ("command", "flag", "code"),
    [
        ("--enable-lora --max-loras 0", "--max-loras", 1),
        ("--enable-lora --max-loras 4 --max-cpu-loras 2", "--max-cpu-loras", 1),
        ("--port 70000", "--port", 1),
        ("--gpu-memory-utilization 0", "--gpu-memory-utilization", 1),
        ("--max-num-batched-tokens 0", "--max-num-batched-tokens", 1),
        ("--shutdown-timeout -1", "--shutdown-timeout", 1),
        ("--data-parallel-size 2 VLLM_ALLOW_RUNTIME_LORA_UPDATING=1", "--api-server-count", 1),
        ("--max-lorsa 3", "--max-lorsa", 2),
    ],
)
def test_what_vllm_would_not_start_with_is_refused_by_the_flags_name(command: str, flag: str, code: int) -> None:
    words = [word for word in command.split() if not word.startswith("VLLM_")]
    env = dict(word.split("=") for word in command.split() if word.startswith("VLLM_"))
    with pytest.raises(EngineConfigError) as caught:
        parse(*words, **env)
    assert (caught.value.flag, caught.value.exit_code) == (flag, code)


@pytest.mark.parametrize(
    "command",
    [
        "--max-loras four",
        "--enable-lora=true",
        "--max-lora-rank 17",
        "--port",
        "--enable-lora --lora-modules a",
        '--enable-lora --lora-modules {"name":1}',
        "bash -c 'vllm",
    ],
)
def test_a_command_that_cannot_be_parsed_ends_with_code_2(command: str) -> None:
    with pytest.raises(EngineConfigError) as caught:
        parse(*command.split(maxsplit=2 if command.startswith("bash") else -1))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "command",
    [
        "--max-loras 0",
        "--enable-lora --max-cpu-loras 0",
        "--max-model-len auto",
        "--api-server-count 2",
        "--data-parallel-size 2 --data-parallel-rank 0 VLLM_ALLOW_RUNTIME_LORA_UPDATING=1",
        "--preset llama-3.1-8b-h100",
    ],
)
def test_what_vllm_or_the_fake_starts_with_is_not_refused(command: str) -> None:
    env = dict(word.split("=") for word in command.split() if word.startswith("VLLM_"))
    assert parse(*(word for word in command.split() if not word.startswith("VLLM_")), **env).port == 8000


def test_no_version_is_refused() -> None:
    with pytest.raises(EngineConfigError, match="newest"):
        dataclasses.replace(EngineConfig(), version="newest")


@pytest.mark.parametrize(("length", "tokens"), [("8192", 8192), ("4k", 4000), ("4K", 4096)])
def test_a_length_may_be_written_short(length: str, tokens: int) -> None:
    assert parse("--max-model-len", length).max_model_len == tokens


@pytest.mark.parametrize(
    ("version", "in_place", "status"),
    [
        ("0.7.1", False, 422),
        ("0.15.0", True, 400),
        ("v0.27.1rc1", True, 400),
        ("0.28.0.dev12+gabc", True, 400),
        ("latest", True, 400),
    ],
)
def test_releases_behave_differently(version: str, in_place: bool, status: int) -> None:
    behaviour = VersionQuirks.of(version)
    assert (behaviour.load_inplace, behaviour.unload_removes) == (in_place, False)
    assert behaviour.validation_status == status
