"""`http-error` with a Retry-After: a duration, or the text of the header itself."""

import pytest

from fake_vllm.faults.effects import FaultRules
from fake_vllm.faults.rules import FaultRule
from fake_vllm.faults.spec import FaultSpec, describe


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("24h", "86400"),
        ("7s", "7"),
        ("0", "0"),
        ("inf", "inf"),
        ("-5", "-5"),
        ("Fri, 31 Jan 2026 12:00:00 GMT", "Fri, 31 Jan 2026 12:00:00 GMT"),
    ],
)
@pytest.mark.parametrize("body", ["", "{}"])
def test_the_header_is_sent_with_the_error(text: str, header: str, body: str) -> None:
    rules = FaultRules()
    rules.add(FaultRule("http-error", status=429, body=body, retry_after=text))
    effect = rules.effect("controller", "/v1/models", "", lambda: 0.0)
    assert effect is not None
    assert effect.response is not None
    assert (effect.response.status, effect.response.headers["retry-after"]) == (429, header)


def test_without_it_there_is_no_header() -> None:
    rules = FaultRules()
    rules.add(FaultRule("http-error", status=503))
    effect = rules.effect("controller", "/v1/models", "", lambda: 0.0)
    assert effect is not None
    assert effect.response is not None
    assert "retry-after" not in effect.response.headers


def test_it_is_read_from_a_file_and_described_again() -> None:
    fields = {"kind": "http-error", "status": 503, "retry_after": "24h"}
    assert describe(FaultSpec.parse(fields))["retry_after"] == "24h"


@pytest.mark.parametrize("text", ["a\r\nx-evil: 1", "é", "\x00"])
def test_a_text_that_cannot_be_a_header_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="retry_after"):
        FaultRule("http-error", retry_after=text)
