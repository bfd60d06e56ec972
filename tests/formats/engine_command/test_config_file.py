"""`--config FILE`, as vLLM takes it (its docs: "Configuration file" under `vllm serve`)."""

from pathlib import Path

import pytest

from fake_vllm.cli import options
from fake_vllm.cli.profile import ProfileError, document
from fake_vllm.engine.engine import EngineConfigError
from formats.engine_command import merge_config_file
from formats.errors import FormatError

TEXT = """\
model: acme/base
host: 127.0.0.1
port: 6379
max_loras: 4
enable-lora: true
enforce-eager: false
served-model-name: [base, alias]
lora-modules:
  - {name: sql, path: /sql}
uvicorn-log-level: info
"""


def written(folder: Path, text: str = TEXT, name: str = "config.yaml") -> str:
    file = folder / name
    file.write_text(text)
    return str(file)


def test_keys_are_flags(tmp_path: Path) -> None:
    config, notes = options.read(["serve", "--config", written(tmp_path)], {})
    assert (config.model, config.served_model_names, config.port) == ("acme/base", ("base", "alias"), 6379)
    assert (config.enable_lora, config.max_loras, config.lora_modules) == (True, 4, (("sql", "/sql"),))
    assert notes.ignored == ("--uvicorn-log-level",)


def test_the_command_line_takes_precedence_at_any_position(tmp_path: Path) -> None:
    file = written(tmp_path)
    for args in (["mine", "--port", "1", "--config", file], ["mine", f"--config={file}", "--port", "1"]):
        config, _ = options.read(["serve", *args], {})
        assert (config.model, config.port, config.max_loras) == ("mine", 1, 4)


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--config"], "No config file specified!"),
        (["--config", "--port", "1"], "Config file must be of a yaml/yml type. --port supplied"),
        (["--config", "a.yaml", "--config", "b.yaml"], "More than one config file specified!"),
        (["--config", "a.json"], "Config file must be of a yaml/yml type. json supplied"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml: cannot be read"),
    ],
)
def test_no_such_file_is_refused(args: list[str], complaint: str) -> None:
    with pytest.raises((FormatError, ProfileError), match=complaint.replace("--", "[-]{2}")):
        merge_config_file(args, document)


@pytest.mark.parametrize(
    ("text", "complaint"), [("[1]", "must be a mapping"), ("max-lorsa: 3", "unrecognized arguments: --max-lorsa 3")]
)
def test_what_is_in_it_is_checked(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(EngineConfigError, match=complaint):
        options.read(["serve", "--config", written(tmp_path, text)], {})
