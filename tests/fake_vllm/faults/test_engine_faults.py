"""Requests to which a fault applies, and its effect on them."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_vllm.faults.effects import FaultEffect, FaultRules
from fake_vllm.faults.rules import CATALOGUE, FaultRule, caller_of

LOAD, UNLOAD, MODELS, HEALTH = "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/models", "/health"


def never() -> float:
    raise AssertionError("nothing is chancy here, so that nothing is drawn")


def some(*rules: FaultRule) -> FaultRules:
    faults = FaultRules()
    for rule in rules:
        faults.add(rule)
    return faults


def effect(
    faults: FaultRules, path: str = LOAD, adapter: str = "sql", caller: str = "controller"
) -> FaultEffect | None:
    return faults.effect(caller, path, adapter, never)


def test_without_rules_nothing_is_wrong() -> None:
    assert effect(FaultRules()) is None


@pytest.mark.parametrize(
    ("rule", "kind", "after", "factor"),
    [
        (FaultRule("connection-refused"), "refuse", False, 1.0),
        (FaultRule("connection-reset"), "reset", False, 1.0),
        (FaultRule("connection-reset", after=True), "reset", True, 1.0),
        (FaultRule("timeout"), "hang", False, 1.0),
        (FaultRule("slow", factor=3.0), "slow", False, 3.0),
    ],
)
def test_what_the_connection_does(rule: FaultRule, kind: str, after: bool, factor: float) -> None:
    assert effect(some(rule)) == FaultEffect(kind, factor, None, after)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "status", "kind", "says"),
    [
        (FaultRule("http-error"), 500, "InternalServerError", "injected fault"),
        (FaultRule("http-error", status=429, message="busy"), 429, "BadRequestError", "busy"),
        (
            FaultRule("invalid-adapter"),
            500,
            "InternalServerError",
            "Call to add_lora method failed: Error while deserializing",
        ),
        (FaultRule("invalid-adapter", message="{adapter}: {odd}"), 500, "InternalServerError", "sql: {odd}"),
    ],
)
def test_answers_in_the_envelope(rule: FaultRule, status: int, kind: str, says: str) -> None:
    found = effect(some(rule))
    assert found is not None
    assert found.response is not None
    error = json.loads(found.response.body)["error"]
    assert (found.response.status, error["code"], error["type"]) == (status, status, kind)
    assert says in error["message"]


@pytest.mark.parametrize(
    ("body", "content_type"), [('{"a": 1}', "application/json"), ("upstream gone", "text/plain; charset=utf-8")]
)
def test_a_given_body_is_answered_as_it_is(body: str, content_type: str) -> None:
    found = effect(some(FaultRule("http-error", status=502, body=body)))
    assert found is not None
    assert found.response is not None
    assert (found.response.status, found.response.body) == (502, body.encode())
    assert found.response.headers == {"content-type": content_type}


@pytest.mark.parametrize(
    ("rule", "caller", "path", "adapter", "applies"),
    [
        (FaultRule("timeout"), "controller", MODELS, "", True),
        (FaultRule("timeout"), "probes", HEALTH, "", False),
        (FaultRule("timeout"), caller_of(HEALTH, ""), HEALTH, "", False),
        (FaultRule("timeout", callers=("probes",)), caller_of(MODELS, "kube-probe/1.36"), MODELS, "", True),
        (
            FaultRule("timeout", callers=("traffic",)),
            caller_of("/v1/completions", "curl/8"),
            "/v1/completions",
            "",
            True,
        ),
        (FaultRule("timeout"), caller_of(LOAD, "curl/8"), LOAD, "sql", True),
        (FaultRule("timeout", callers=("probes", "traffic")), "traffic", MODELS, "", True),
        (FaultRule("timeout", adapters=("sql",)), "controller", LOAD, "sql", True),
        (FaultRule("timeout", adapters=("sql",)), "controller", LOAD, "chat", False),
        (FaultRule("timeout", adapters=("sql",)), "controller", MODELS, "", False),
        (FaultRule("timeout", adapters=("sql-*", "chat")), "controller", UNLOAD, "sql-7", True),
        (FaultRule("unauthorized"), "controller", MODELS, "", True),
        (FaultRule("unauthorized", callers=("probes",)), "probes", HEALTH, "", False),
        (FaultRule("invalid-adapter"), "controller", LOAD, "sql", True),
        (FaultRule("invalid-adapter"), "controller", UNLOAD, "sql", False),
        (FaultRule("invalid-adapter"), "controller", MODELS, "", False),
        (FaultRule("timeout", probability=0.0), "controller", MODELS, "", False),
    ],
)
def test_callers_to_which_a_fault_applies(rule: FaultRule, caller: str, path: str, adapter: str, applies: bool) -> None:
    assert (some(rule).effect(caller, path, adapter, lambda: 0.0) is not None) is applies


def test_the_first_rule_that_applies_decides_and_slowness_accumulates() -> None:
    slow, reset, hang = FaultRule("slow", factor=2.0), FaultRule("connection-reset"), FaultRule("timeout")
    assert effect(some(slow, slow)) == FaultEffect("slow", 4.0)
    assert effect(some(slow, reset, hang)) == FaultEffect("reset", 2.0)
    assert effect(some(hang, slow)) == FaultEffect("hang", 1.0)


def test_only_rules_that_apply_and_are_random_draw() -> None:
    drawn: list[float] = []

    def draw() -> float:
        drawn.append(0.9)
        return 0.9

    faults = some(
        FaultRule("timeout", probability=0.5, callers=("probes",)),
        FaultRule("timeout", probability=0.5, adapters=("chat",)),
        FaultRule("timeout", probability=0.5),
        FaultRule("connection-reset"),
        FaultRule("timeout", probability=0.5),
    )
    assert faults.effect("controller", LOAD, "sql", draw) == FaultEffect("reset")
    assert len(drawn) == 1


@settings(deadline=None)
@given(probability=st.floats(0, 1), number=st.floats(0, 1, exclude_max=True))
def test_a_random_rule_applies_below_its_probability(probability: float, number: float) -> None:
    faults = some(FaultRule("timeout", probability=probability))
    found = faults.effect("controller", MODELS, "", lambda: number)
    assert (found is not None) is (number < probability)


def test_adding_and_removing_rules_calls_the_callbacks() -> None:
    faults = FaultRules()
    seen: list[int] = []
    faults.on_change.append(lambda: seen.append(len(faults.rules)))
    first = faults.add(FaultRule("timeout"))
    second = faults.add(FaultRule("timeout", callers=("probes",), probability=0.5))
    assert (faults.affects_probes, faults.probes_are_random) == (True, True)
    faults.remove(second)
    assert (faults.affects_probes, faults.probes_are_random) == (False, False)
    assert faults.rules == (FaultRule("timeout"),)
    faults.remove(first)
    assert seen == [1, 2, 1, 0]
    with pytest.raises(KeyError, match="removed already"):
        faults.remove(first)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: FaultRule("time-out"), "connection-refused"),
        (lambda: FaultRule("timeout", callers=()), "no callers"),
        (lambda: FaultRule("timeout", callers=("kubelet",)), "kubelet"),
        (lambda: FaultRule("timeout", probability=1.5), "between 0 and 1"),
        (lambda: FaultRule("slow", factor=0), "above 0"),
        (lambda: FaultRule("http-error", status=200), "between 400 and 599"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(build: Callable[[], FaultRule], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        build()


def test_every_kind_in_the_catalogue_can_be_added_and_its_parameters_exist() -> None:
    for name, kind in CATALOGUE.items():
        rule = FaultRule(name)
        assert name == kind.name
        assert all(hasattr(rule, parameter.name) for parameter in kind.parameters)
