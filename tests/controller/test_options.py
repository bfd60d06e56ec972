"""The command line of `lora-controller`, its environment, and what both refuse."""

from dataclasses import fields

import pytest

from controller.option_types import OptionError, duration
from controller.options import RENAMED, Options, flag, parse, variable
from controller.settings import Settings


def test_what_is_not_said_is_as_in_the_twin() -> None:
    defaults, told = Settings(), parse([], {}).settings("operators")
    for name in Settings.__slots__:
        if name not in ("elect", "namespace"):
            assert getattr(told, name) == getattr(defaults, name), name
    assert told.namespace == "operators"


def test_a_flag_wins_over_the_environment() -> None:
    environment = {
        "LORA_CONTROLLER_MAX_CONCURRENT_RECONCILES": "3",
        "LORA_CONTROLLER_LOG_FORMAT": "console",
        "PATH": "/bin",
    }
    options = parse(["--max-concurrent-reconciles=5"], environment)
    assert (options.max_concurrent_reconciles, options.log_format) == (5, "console")


@pytest.mark.parametrize(("text", "seconds"), [("5", 5), ("5s", 5), ("1.5m", 90), ("2h", 7200), ("500ms", 0.5)])
def test_durations_have_units(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (":8080", ("0.0.0.0", 8080)),
        ("127.0.0.1:9", ("127.0.0.1", 9)),
        ("[::1]:80", ("::1", 80)),
        ("0", None),
    ],
)
def test_addresses_are_as_other_operators_have_them(text: str, wanted: object) -> None:
    assert parse([f"--metrics-bind-address={text}"], {}).metrics_bind_address == wanted


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [([], True), (["--leader-elect"], True), (["--leader-elect=false"], False), (["--leader-elect=true"], True)],
)
def test_leader_election_is_on_unless_it_is_turned_off(arguments: list[str], wanted: bool) -> None:
    assert parse(arguments, {}).leader_elect is wanted


def test_namespaces_are_listed_once() -> None:
    assert parse(["--namespaces", "a, b,a,"], {}).namespaces == ("a", "b")


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--max-concurrent-reconciles=0", "--max-concurrent-reconciles=0: must be a whole number, at least 1"),
        ("--max-concurrent-reconciles=many", "must be a whole number"),
        ("--retry-base=soon", "must be a duration such as 250ms"),
        ("--retry-base=0", "must be longer than 0"),
        ("--retry-factor=0.5", "must be a number, at least 1"),
        ("--kube-api-qps=nan", "must be a number, at least 0"),
        ("--policy=best", "unknown policy 'best'; known are default,"),
        ("--policies=spread,best", "unknown policy 'best'"),
        ("--enable-runtime-sidecar=perhaps", "must be true or false"),
        ("--log-format=xml", "must be one of json, console"),
        ("--log-level=loud", "must be one of debug, info"),
        ("--leader-elect=maybe", "must be true or false"),
        ("--namespaces=Team_A", "'Team_A' cannot be the name of a namespace"),
        ("--metrics-bind-address=8080", "must be HOST:PORT"),
        ("--metrics-bind-address=:99999", "must be HOST:PORT"),
        ("--engine-proxy=localhost:1", "must start with http://"),
        ("--leader-elect-renew-deadline=20s", "shorter than --leader-elect-lease-duration"),
        ("--no-such-flag", "unrecognized arguments: --no-such-flag"),
        ("--work=3", "unrecognized arguments"),
        ("stray", "unrecognized arguments: stray"),
    ],
)
def test_what_cannot_be_used_gets_one_line(argument: str, said: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse([argument], {})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_variable_that_is_no_option_is_refused_so_that_a_slip_is_seen() -> None:
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


def test_a_variable_that_cannot_be_used_is_named() -> None:
    with pytest.raises(OptionError, match="LORA_CONTROLLER_MAX_CONCURRENT_RECONCILES=x: must be a whole number"):
        parse([], {"LORA_CONTROLLER_MAX_CONCURRENT_RECONCILES": "x"})


def test_help_tells_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--help"], {})
    assert caught.value.code == 0
    told = capsys.readouterr().out
    for item in fields(Options):
        assert flag(item.name) in told
    assert variable("log_format") in told
