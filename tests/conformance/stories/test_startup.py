"""The message of a server that refused to start, and the fake's beside the recorded ones."""

from pathlib import Path
from typing import Any

import pytest

from fake_vllm.cli import options
from fake_vllm.engine.engine import EngineConfigError
from fake_vllm.server.process import Server
from tests.conformance import recording
from tests.conformance.adapters.artifacts import make_all
from tests.conformance.playing.masking import Masker
from tests.conformance.profiles import UPDATING
from tests.conformance.servers.engines import fake_flags
from tests.conformance.stories.startup import REFUSALS, last_error, with_loras

_OF_SEVERAL = """ValidationError: 1 validation error for LoRAConfig
  Value error, max_cpu_loras (2) must be >= max_loras (4) [type=value_error, input_value=ArgsKwargs(), input_type=X]
    For further information visit https://errors.pydantic.dev/2.12/v/value_error
"""
_PYDANTIC = """(APIServer pid=12) Traceback (most recent call last):
(APIServer pid=12)   File "x.py", line 1, in main
(APIServer pid=12) pydantic_core._pydantic_core.ValidationError: 2 validation errors for LoRAConfig
(APIServer pid=12) max_loras
(APIServer pid=12)   Input should be greater than or equal to 1 [type=greater_than_equal, input_value=0, input_type=int]
(APIServer pid=12)     For further information visit https://errors.pydantic.dev/2.12/v/greater_than_equal
(APIServer pid=12) max_cpu_loras
(APIServer pid=12)   Value error, too few [type=value_error, input_value=0, input_type=int]
"""


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (_PYDANTIC, "max_loras: Input should be greater than or equal to 1; max_cpu_loras: too few"),
        (_OF_SEVERAL, "max_cpu_loras (2) must be >= max_loras (4)"),
        ("usage: vllm serve\nvllm serve: error: argument --port: invalid\n", "argument --port: invalid"),
        ("vllm: error: unrecognized arguments: --x\n", "unrecognized arguments: --x"),
        ("fake-vllm: error: unrecognized arguments: --x\n", "unrecognized arguments: --x"),
        ("RuntimeError: first\nValueError: Loading lora a failed\n", "Loading lora a failed"),
        ("INFO started\n", ""),
    ],
)
def test_a_refusal_is_reduced_to_its_message(output: str, message: str) -> None:
    assert last_error(output) == message


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("startup") / "loras"
    make_all(folder)
    return folder


@pytest.mark.parametrize("version", recording.versions())
def test_the_fake_refuses_to_start_as_each_recorded_release(version: str, loras: Path) -> None:
    real = recording.read(recording.path_of(version)).startup
    fake = {name: _start(version, name, loras) for name in real}
    assert len(real) >= 40
    assert fake == real


def _start(version: str, name: str, loras: Path) -> dict[str, Any]:
    """Return exit code and message of the fake, which is not run: it refuses before it serves."""
    model, flags = fake_flags(version)
    args = ["serve", model, "--served-model-name", "base", "--port", "8000", *flags]
    try:
        config, own = options.read([*args, *with_loras(REFUSALS[name], loras)], UPDATING)
        Server(config, own, lambda: 0.0)
    except EngineConfigError as error:
        return {"exit": error.exit_code, "error": Masker({str(loras): "<loras>"}).text(str(error))}
    return {"exit": None, "error": ""}
