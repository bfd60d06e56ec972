"""Arithmetic expansions in a container's shell script."""

import pytest

from formats.engine_command.arithmetic import arithmetic_value
from formats.engine_command.shell import simple_commands


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        (" (1+2)*3 ", 9),
        ("RANK * 8", 16),
        ("UNSET + 1", 1),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("1 / 0", None),
        ("2 ** 99", None),
        ("x()", None),
        ("1 +", None),
        ("9" * 300, None),
    ],
)
def test_whole_numbers_are_computed_and_anything_else_is_not(expression: str, value: int | None) -> None:
    assert arithmetic_value(expression, {"RANK": "2"}) == value


def test_a_script_may_compute_a_flag() -> None:
    script = "START=$(( ${LWS_WORKER_INDEX:-0} * 8 ))\nvllm serve m --start $START --port $((8000+1))"
    (command,) = simple_commands(script, {"LWS_WORKER_INDEX": "2"})
    assert command.words == ("vllm", "serve", "m", "--start", "16", "--port", "8001")


def test_a_command_substitution_stays_as_it_is() -> None:
    (command,) = simple_commands("echo $((cat /etc/hosts) | wc -l)", {})
    assert command.words == ("echo", "$((cat /etc/hosts) | wc -l)")
