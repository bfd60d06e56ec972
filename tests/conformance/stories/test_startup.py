"""The message of a server that refused to start."""

import pytest

from tests.conformance.stories.startup import last_error

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
