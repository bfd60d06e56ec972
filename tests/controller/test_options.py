"""Command line and environment of `lora-controller`."""

from dataclasses import fields

import pytest

from controller.option_types import DURATION, OptionError
from controller.options import RENAMED, Options, flag, parse, variable
from controller.settings import Settings


def test_defaults_are_those_of_the_twin() -> None:
    defaults, settings = Settings(), parse([], {}).settings("operators")
    for name in Settings.__slots__:
        if name not in ("elect", "namespace"):
            assert getattr(settings, name) == getattr(defaults, name), name
    assert settings.namespace == "operators"


def test_a_flag_wins_over_the_environment() -> None:
    environment = {
        "LORA_CONTROLLER_MAX_CONCURRENT_RECONCILES": "3",
        "LORA_CONTROLLER_LOG_FORMAT": "console",
        "PATH": "/bin",
    }
    options = parse(["--max-concurrent-reconciles=5"], environment)
    assert (options.max_concurrent_reconciles, options.log_format) == (5, "console")


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("5s", 5), ("1.5m", 90), ("2h", 7200), ("500ms", 0.5), ("1m30s", 90)]
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert DURATION.parse(text) == seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":8080", ("0.0.0.0", 8080)),
        ("127.0.0.1:9", ("127.0.0.1", 9)),
        ("[::1]:80", ("::1", 80)),
        ("0", None),
    ],
)
def test_addresses_have_the_form_of_other_operators(text: str, expected: object) -> None:
    assert parse([f"--metrics-bind-address={text}"], {}).metrics_bind_address == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], True),
        (["--leader-elect"], True),
        (["--leader-elect=false"], False),
        (["--leader-elect=true"], True),
        (["--leader-elect", "--policy=spread"], True),
    ],
)
def test_leader_election_is_on_unless_it_is_turned_off(arguments: list[str], expected: bool) -> None:
    assert parse(arguments, {}).leader_elect is expected


def test_namespaces_are_listed_once() -> None:
    assert parse(["--namespaces", "a, b,a,"], {}).namespaces == ("a", "b")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--max-concurrent-reconciles=0", "--max-concurrent-reconciles=0: must be a whole number, at least 1"),
        ("--max-concurrent-reconciles=many", "must be a whole number"),
        ("--retry-base=soon", '"soon" is not a duration; allowed: a duration such as 250ms'),
        ("--retry-base=0", "must be longer than 0"),
        ("--retry-factor=0.5", "must be a number, at least 1"),
        ("--kube-api-qps=nan", "must be a number, at least 0"),
        ("--rebalance=ilp", "must be one of none, greedy, min-cost-flow"),
        ("--rebalance-tolerance=10%", "must be a number from 0 to 1"),
        ("--policy=best", "unknown policy 'best'; allowed: default,"),
        ("--policies=spread,best", "unknown policy 'best'"),
        ("--enable-runtime-sidecar=perhaps", "must be true or false"),
        ("--log-format=xml", "must be one of json, console"),
        ("--log-level=loud", "must be one of debug, info"),
        ("--leader-elect=maybe", "must be true or false"),
        ("--namespaces=Team_A", "'Team_A' is not a valid name of a namespace"),
        ("--metrics-bind-address=8080", "must be HOST:PORT"),
        ("--metrics-bind-address=:99999", "must be HOST:PORT"),
        ("--engine-proxy=localhost:1", "must start with http://"),
        ("--leader-elect-renew-deadline=20s", "shorter than --leader-elect-lease-duration"),
        ("--no-such-flag", "No such option: --no-such-flag; see lora-controller --help"),
        ("--retry=3", "No such option: --retry"),
        ("stray", "Got unexpected extra argument(s) (stray)"),
        ("--retry-base", "'--retry-base' requires an argument; see"),
    ],
)
def test_an_invalid_option_is_refused_in_one_line(argument: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse([argument], {})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rebalancing_by_requests_needs_an_algorithm_that_can_weigh_them() -> None:
    with pytest.raises(OptionError, match=r"min-cost-flow counts adapters .* allowed with requests: greedy"):
        parse(["--rebalance=min-cost-flow", "--rebalance-by=requests"], {})


def test_an_unknown_variable_with_the_prefix_is_refused() -> None:
    with pytest.raises(OptionError, match="unknown variable LORA_CONTROLLER_WORKER; see lora-controller --help"):
        parse([], {"LORA_CONTROLLER_WORKER": "3"})


@pytest.mark.parametrize("old", RENAMED)
def test_an_option_of_an_earlier_release_is_refused_with_its_new_name(old: str) -> None:
    new = RENAMED[old]
    with pytest.raises(OptionError, match=f"^unknown flag {flag(old)}; it is called {flag(new)} now$"):
        parse([f"{flag(old)}=1"], {})
    with pytest.raises(OptionError, match=f"^unknown variable {variable(old)}; it is called {variable(new)} now$"):
        parse([], {variable(old): "1"})
    assert new in {item.name for item in fields(Options)}


def test_an_invalid_variable_is_named() -> None:
    with pytest.raises(OptionError, match="LORA_CONTROLLER_MAX_CONCURRENT_RECONCILES=x: must be a whole number"):
        parse([], {"LORA_CONTROLLER_MAX_CONCURRENT_RECONCILES": "x"})


def test_help_lists_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--help"], {})
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for item in fields(Options):
        assert flag(item.name) in text
    assert variable("log_format") in text
