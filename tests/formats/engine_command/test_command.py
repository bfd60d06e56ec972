"""Command lines of real manifests and deployments, and what the engine reads from them."""

import pytest

from formats.engine_command import SGLANG, VLLM, EngineArgs, read_command, read_engine_args
from formats.errors import FormatError

API_SERVER = "vllm.entrypoints.openai.api_server"


def args(*command: str, **env: str) -> EngineArgs:
    return read_engine_args(command, env)


@pytest.mark.parametrize(
    "command",
    [
        ["vllm", "serve", "acme/base", "--max-loras", "3"],
        ["/usr/local/bin/vllm", "serve", "acme/base", "--max-loras=3"],
        ["python3", "-m", API_SERVER, "--model", "acme/base", "--max_loras", "3"],
        ["--model=acme/base", "--max_loras=3"],
        ["serve", "acme/base", "--max-loras", "2", "--max-loras", "3"],
        ["/bin/sh", "-c", "vllm serve acme/base --max-loras 3"],
        ["/bin/sh", "-c", "exec vllm serve acme/base \\\n --max-loras 3"],
        ["bash", "-lc", "source /venv/bin/activate && exec vllm serve acme/base --max-loras 3"],
        ["bash", "-ec", 'vllm serve "$MODEL" --max-loras ${SLOTS}'],
        ["bash", "-euxo", "pipefail", "-c", "vllm serve $MODEL --max-loras ${SLOTS:-4}"],
        ["bash", "-c", "echo 'vllm serve other --max-loras 9'; vllm serve acme/base --max-loras 3"],
        ["sh", "-c", "pip install vllm==0.11 && vllm serve acme/base --max-loras 3 2>&1 | tee /tmp/log"],
        ["sh", "-c", f"HF_HOME=/models PATH=$PATH:/usr/bin python3 -m {API_SERVER} --model acme/base --max-loras 3"],
        ["sh", "-c", "export FLAGS='--max-loras 3'\n# start\nvllm serve $MODEL $FLAGS # at last"],
        ["sh", "-c", "vllm serve $MODEL $VLLM_ARGS"],
        ["sh", "-c", 'exec vllm serve "$@"', "sh", "acme/base", "--max-loras", "3"],
        ["sh", "-c", "cd /app; bash -c 'vllm serve acme/base --max-loras 3'"],
        ["sh", "-c", 'if [ -n "$MODEL" ]; then vllm serve $MODEL --max-loras 3; fi'],
        ["tini", "--", "vllm", "serve", "acme/base", "--max-loras", "3"],
        ["env", "VLLM_USE_V1=1", "vllm", "serve", "acme/base", "--max-loras", "3"],
        ["/usr/bin/env", "-u", "MODEL", "A=b c", "bash", "-c", "vllm serve acme/base --max-loras $SLOTS"],
        ["tini", "--", "env", "SLOTS=9", "vllm", "serve", "acme/base", "--max-loras", "$(SLOTS)"],
        ["sh", "-c", "exec env -i SLOTS=9 vllm serve $MODEL --max-loras $SLOTS"],
        ["vllm", "serve", "$(MODEL)", "-tp", "2", "--max-loras", "$(SLOTS)"],
        ["vllm", "serve", "--enable-lora", "acme/base", "--dtype", "auto", "--max-loras", "3"],
        ["vllm", "serve", "--dtype", "auto", "acme/base", "--max-loras", "3", "-O3", "-cc.mode", "3"],
    ],
)
def test_every_way_to_write_a_command_means_the_same(command: list[str]) -> None:
    env = {"MODEL": "acme/base", "SLOTS": "3", "VLLM_ARGS": "--max-loras 3"}
    result = read_engine_args(command, env)
    assert (result.flavor, result.model, result.served_model_names) == (VLLM, "acme/base", ("acme/base",))
    assert (result.max_loras, result.capacity) == (3, 3)


def test_an_abbreviation_is_resolved_as_argparse_does() -> None:
    assert args("vllm", "serve", "m", "--max-cpu-l", "4").max_cpu_loras == 4
    with pytest.raises(FormatError, match="ambiguous option: --max-lo could match --max-loras, --max-lora-rank"):
        args("vllm", "serve", "m", "--max-lo", "4")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--max-loras four", "argument --max-loras: invalid int value: 'four'"),
        ("--port", "argument --port: expected one argument"),
        ("--enable-lora=true", "argument --enable-lora/--no-enable-lora: ignored explicit argument 'true'"),
        ("--lora-modules a", "Invalid JSON format for --lora-modules: a"),
        ("--max-model-len 1.5K", "argument --max-model-len: Decimals are not allowed with binary suffixes like K"),
    ],
)
def test_a_wrong_value_has_the_error_text_of_argparse(command: str, message: str) -> None:
    with pytest.raises(FormatError) as raised:
        args("vllm", "serve", "m", *command.split())
    assert message in str(raised.value)


def test_the_words_of_an_unknown_flag_are_not_taken_for_the_model() -> None:
    result = args("vllm", "serve", "--brand-new", "value", "--port", "81", "--other=1")
    assert (result.model, result.port, result.unknown) == ("", 81, ("--brand-new", "value", "--other=1"))


def test_flags_without_a_meaning_are_listed() -> None:
    result = args("vllm", "serve", "m", "--swap-space", "16", "--no-enable-dbo", "--attention-config.x", "y")
    assert result.ignored == ("--swap-space", "--no-enable-dbo", "--attention-config")


def test_an_unset_variable_stays_and_two_dollars_are_one() -> None:
    assert read_command(["vllm", "serve", "$(GONE)", "$$(MODEL)"], {"MODEL": "m"}).args == ("$(GONE)", "$(MODEL)")


@pytest.mark.parametrize("text", ["vllm serve 'm", 'vllm serve "m'])
def test_a_quote_that_is_not_closed_is_an_error(text: str) -> None:
    with pytest.raises(FormatError, match="the shell command cannot be read"):
        args("sh", "-c", text)


def test_a_shell_without_an_engine_is_read_by_its_last_command() -> None:
    engine = read_command(["sh", "-c", "sleep 1; ./start.sh --max-loras 4"], {})
    assert (engine.flavor, engine.args) == ("", ("./start.sh", "--max-loras", "4"))
    assert args("sh", "-c", "sleep 1; ./start.sh --max-loras 4").max_loras == 4


def test_assignments_in_the_script_reach_the_engine() -> None:
    command = "export VLLM_ALLOW_RUNTIME_LORA_UPDATING=True; VLLM_API_KEY=sk vllm serve m"
    result = args("sh", "-c", command)
    assert (result.runtime_updating, result.api_keys) == (True, ("sk",))
    assert "sk" not in repr(result).replace("--", "")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("env A=1 B=x=y vllm serve m", {"A": "1", "B": "x=y", "OLD": "0"}),
        ("/usr/bin/env -u OLD A=1 vllm serve m", {"A": "1"}),
        ("env --unset=OLD -C /app -- A=1 vllm serve m", {"A": "1"}),
        ("env -i A=1 env B=2 vllm serve m", {"A": "1", "B": "2"}),
        ("nohup env A=1 vllm serve m --env B=2", {"A": "1", "OLD": "0"}),
        ("vllm serve env A=1", {"OLD": "0"}),
    ],
)
def test_the_variables_of_env_reach_the_engine(command: str, expected: dict[str, str]) -> None:
    result = read_command(command.split(), {"OLD": "0"})
    assert (result.flavor, result.env) == (VLLM, expected)


def test_env_splits_a_text_into_a_command() -> None:
    result = read_command(["env", "-S", "A='b c' vllm serve", "m"], {})
    assert (result.args, result.env) == (("m",), {"A": "b c"})
    with pytest.raises(FormatError, match="No closing quotation"):
        read_command(["env", "-S", "A='b vllm serve", "m"], {})


def test_the_keys_of_the_flag_win_over_the_variable() -> None:
    assert args("--api-key", "one", "two", VLLM_API_KEY="three").api_keys == ("one", "two")
    assert args(VLLM_API_KEY="three").api_keys == ("three",)


def test_sglang_is_recognized_and_has_its_own_defaults() -> None:
    result = args(
        *["python3", "-m", "sglang.launch_server", "--model-path", "m", "--tp", "2", "--lora-paths", "a=/a", "b"]
    )
    assert (result.flavor, result.model, result.port, result.max_loras) == (SGLANG, "m", 30000, 8)
    assert (result.enable_lora, result.lora_modules) == (True, (("a", "/a"), ("b", "b")))
    assert result.capacity > 10**6
    assert args("sglang", "serve", "--max-loaded-loras", "4").capacity == 4
