"""Edge values of request bodies: accepted, converted and refused as pydantic does."""

import json
from typing import Any

import pytest

from fake_vllm.http.validation import RequestValidationError, parse_body
from fake_vllm.openai.protocol.completion import CompletionRequest

ACCEPTED: list[tuple[str, Any, Any]] = [
    ("max_tokens", "5", 5),
    ("max_tokens", " 5 ", 5),
    ("max_tokens", "1_000", 1000),
    ("max_tokens", 5.0, 5),
    ("max_tokens", "5.0", 5),
    ("max_tokens", True, 1),
    ("max_tokens", None, 16),
    ("max_tokens", 10**30, 10**30),
    ("temperature", "0.5", 0.5),
    ("temperature", True, 1.0),
    ("temperature", None, None),
    ("ignore_eos", "yes", True),
    ("ignore_eos", 1.0, True),
    ("ignore_eos", "OFF", False),
    ("stop", "end", "end"),
]
REFUSED: list[tuple[str, Any, str]] = [
    ("max_tokens", 5.5, "int_from_float"),
    ("max_tokens", "five", "int_parsing"),
    ("max_tokens", [5], "int_type"),
    ("n", None, "int_type"),
    ("temperature", "warm", "float_parsing"),
    ("ignore_eos", None, "bool_type"),
    ("ignore_eos", "maybe", "bool_parsing"),
    ("seed", 2**63, "less_than_equal"),
    ("user", 5, "string_type"),
]


def parse(field: str, value: Any) -> CompletionRequest:
    body = json.dumps({"prompt": "hi", field: value}).encode()
    return parse_body(CompletionRequest, "application/json", body)


@pytest.mark.parametrize(("field", "value", "expected"), ACCEPTED)
def test_an_accepted_value_is_converted_as_pydantic_converts_it(field: str, value: Any, expected: Any) -> None:
    result = getattr(parse(field, value), field)
    assert (result, type(result)) == (expected, type(expected))


@pytest.mark.parametrize(("field", "value", "kind"), REFUSED)
def test_a_refused_value_is_reported_with_pydantics_error(field: str, value: Any, kind: str) -> None:
    with pytest.raises(RequestValidationError) as refused:
        parse(field, value)
    assert f"'type': '{kind}', 'loc': ('body', '{field}')" in str(refused.value)
    assert refused.value.param == f"body.{field}"


def test_all_errors_of_a_body_are_reported_in_one_message() -> None:
    with pytest.raises(RequestValidationError, match=r"^2 validation errors:\n") as refused:
        parse_body(CompletionRequest, "application/json", b'{"prompt": "hi", "n": "x", "max_tokens": "y"}')
    assert refused.value.param == "body.max_tokens"  # errors are in the order of the fields in vLLM's class


def test_a_long_input_is_not_quoted_in_full() -> None:
    with pytest.raises(RequestValidationError) as refused:
        parse("max_tokens", "x" * 100_000)
    assert len(str(refused.value)) < 5000
