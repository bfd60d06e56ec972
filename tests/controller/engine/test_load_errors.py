"""Blame for failed loads, held against what real servers answered and against what vLLM's source can raise."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.engine.errors import EngineError, Scope, failure
from controller.engine.load_errors import presentable, unwrap
from tests.conformance import recording
from tests.conformance.cases import CASES
from tests.conformance.load_errors import raises
from tests.conformance.load_errors.load_faults import RAISED, expected
from tests.conformance.load_errors.raises import Raise

_LOAD_PATHS = ("/v1/load_lora_adapter", "/adapters")
_ONE_PROCESS = "Call to add_lora method failed: {}"
_SEVERAL = (
    "Call to add_lora method failed: Worker failed with error '{}',"
    " please check the stack trace above for the root cause"
)


def load_error(status: int, message: str, type: str = "InternalServerError") -> EngineError:
    body = {"error": {"message": message, "type": type, "param": None, "code": status}}
    response = httpx.Response(status, json=body)
    return failure("load", response, response.content)


def blame(error: EngineError) -> tuple[str, str]:
    if error.elsewhere:
        return "engine", error.reason
    return error.scope.value, error.reason


def recorded_refusals() -> list[tuple[str, int, Any]]:
    """Return (place, status, body) of every load that a recorded server refused; the adapters are in `/loras`."""
    steps = {case.name: case.steps for case in CASES}
    found = []
    for version in recording.versions():
        for name, answers in recording.read(recording.path_of(version)).cases.items():
            for number, (step, answer) in enumerate(zip(steps.get(name, ()), answers, strict=False)):
                if step.path in _LOAD_PATHS and step.method == "POST" and answer.get("status", 200) >= 400:
                    found.append((f"{version}/{name}[{number}]", answer["status"], _unmasked(answer.get("json"))))
    return found


def _unmasked(body: Any) -> Any:
    """Return a body with a folder in place of its mask: releases before 0.27 show paths."""
    return json.loads(json.dumps(body).replace("<loras>", "/loras"))


def raised() -> list[tuple[str, Raise]]:
    """Return (release, statement) of every `raise` that a load can reach."""
    files = sorted(raises.FOLDER.glob("vllm-*.json"))
    return [(file.stem, statement) for file in files for statement in raises.read(file)]


def test_every_refusal_that_was_recorded_is_blamed_as_checked_by_hand() -> None:
    refusals = recorded_refusals()
    assert len(refusals) > 60
    wrong = []
    for place, status, body in refusals:
        response = httpx.Response(status, json=body)
        text = body["error"]["message"] if isinstance(body.get("error"), dict) else body.get("detail", "")
        result, checked = blame(failure("load", response, response.content)), expected(status, unwrap(text).strip())
        if result != checked:
            wrong.append(f"{place}: {status} {text[:120]}: {result}, checked by hand: {checked}")
    assert wrong == []


_PASSED_ON = ("LoRAAdapterNotFoundError",)
"""The server answers 404 for it, with a text that the recordings have."""


@pytest.mark.parametrize("wrapping", [_ONE_PROCESS, _SEVERAL], ids=["one process", "several processes"])
def test_every_raise_that_a_load_can_reach_is_blamed_as_checked_by_hand(wrapping: str) -> None:
    statements = raised()
    assert len(statements) > 50
    wrong = []
    for release, statement in statements:
        if statement.exception in _PASSED_ON or statement.text.startswith("Worker failed with error"):
            continue
        text = statement.text.replace("{}", "x")
        result, checked = blame(load_error(500, wrapping.format(text))), expected(500, text)
        if result != checked:
            wrong.append(f"{release} {statement.where}: {text[:120]}: {result}, checked by hand: {checked}")
    assert wrong == []


def test_an_adapter_with_a_fault_of_its_own_and_a_high_rank_is_not_tried_elsewhere() -> None:
    error = load_error(500, _ONE_PROCESS.format("vLLM does not yet support DoRA. LoRA rank 64 is greater than"
                                                " max_lora_rank 16."))  # fmt: skip
    assert (error.scope, error.retriable) == (Scope.ADAPTER, False)


@pytest.mark.parametrize(
    ("status", "message", "flag"),
    [
        (500, _SEVERAL.format("LoRA is not enabled. Use --enable-lora to enable LoRA."), "--enable-lora"),
        (500, _ONE_PROCESS.format("LoRA rank 64 is greater than max_lora_rank 16."), "--max-lora-rank"),
    ],
)
def test_a_fault_of_the_pod_names_the_flag_to_set_and_is_final_there(status: int, message: str, flag: str) -> None:
    error = load_error(status, message)
    assert (error.scope, error.retriable, error.elsewhere) == (Scope.POD, False, False)
    assert flag in error.message


def test_an_engine_without_the_route_names_the_variable_to_set() -> None:
    response = httpx.Response(404, json={"detail": "Not Found"})
    error = failure("load", response, response.content)
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True" in error.message
    assert (error.scope, error.retriable) == (Scope.POD, False)


def test_a_text_that_is_not_in_the_table_is_tried_on_other_pods_first() -> None:
    error = load_error(500, _ONE_PROCESS.format("gremlins"))
    assert (error.reason, error.retriable, error.elsewhere) == ("LoadFailed", True, True)
    assert error.message == "500 gremlins"


def test_a_refusal_without_a_text_says_where_the_cause_is() -> None:
    assert load_error(500, "Call to add_lora method failed: ").message.endswith("the engine's log has the cause")


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_busy_or_unreachable_engine_keeps_its_place(status: int) -> None:
    error = load_error(status, "later")
    assert (error.retriable, error.elsewhere) == (True, False)


@pytest.mark.parametrize("status", [404, 500])
def test_a_request_other_than_a_load_is_not_blamed_on_the_adapter(status: int) -> None:
    response = httpx.Response(status, json={"error": {"message": "vLLM does not yet support DoRA.", "type": ""}})
    assert failure("list", response, response.content).scope is Scope.POD


@given(text=st.text(), wrapping=st.sampled_from([_ONE_PROCESS, _SEVERAL]))
def test_wrapping_changes_no_verdict(text: str, wrapping: str) -> None:
    stripped = text.strip()
    assert blame(load_error(500, wrapping.format(stripped))) == blame(load_error(500, stripped))


@given(text=st.text())
def test_what_a_condition_shows_is_one_short_line(text: str) -> None:
    shown = presentable(text)
    assert len(shown) <= 300
    assert len(shown.splitlines()) <= 1


def test_a_long_text_keeps_its_beginning_and_its_advice() -> None:
    modules = ", ".join(f"'model.layers.{number}.self_attn.c_attn'" for number in range(400))
    text = f"While loading /m, expected target modules in {{'q_proj'}} but received [{modules}]. Please verify it"
    shown = presentable(text)
    assert shown.startswith("While loading /m, expected target modules in {'q_proj'}")
    assert shown.endswith("Please verify it")


def test_the_signature_of_a_url_is_not_shown() -> None:
    text = "No adapter found for https://store.example/a.tgz?X-Amz-Signature=0123abcd"
    assert presentable(text) == "No adapter found for https://store.example/a.tgz?…"


def test_two_orders_of_one_set_give_one_message() -> None:
    texts = ["Missing required configuration fields: {'r', 'lora_alpha'}",
             "Missing required configuration fields: {'lora_alpha', 'r'}"]  # fmt: skip
    assert len({presentable(text) for text in texts}) == 1


def test_the_table_checked_by_hand_has_no_line_that_nothing_raises() -> None:
    texts = {statement.text for _, statement in raised()}
    stale = [
        template
        for template, result in RAISED.items()
        if not any(expected(500, text.replace("{}", "x")) == result and _begins(template, text) for text in texts)
    ]
    assert stale == []


def _begins(template: str, text: str) -> bool:
    return text.startswith(template.split("{}")[0])
