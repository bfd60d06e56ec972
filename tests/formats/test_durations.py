"""Durations: one grammar wherever a user types them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.durations import format_clock, format_duration, parse_duration, parse_positive_duration
from formats.errors import FormatError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("90s", 90),
        ("1m30s", 90),
        ("1h30m", 5400),
        ("1.5m", 90),
        ("2d", 172800),
        ("1.8s", 1.8),
        (".5s", 0.5),
        ("1.s", 1),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("7ns", 7e-9),
        ("0s", 0),
        ("0", 0),
        (0, 0),
        (" 5s ", 5),
    ],
)
def test_a_duration_is_read_in_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "value", ["", "5", "5 s", "s", "-5s", "1e3s", "5sec", "1,5s", "٣s", None, True, [1], float("nan"), 7, "1s" * 300]
)
def test_other_texts_are_refused_with_the_allowed_ones(value: object) -> None:
    with pytest.raises(FormatError) as raised:
        parse_duration(value)
    assert raised.value.allowed == "a duration such as 250ms, 90s, 1h30m or 2d"


@pytest.mark.parametrize(("value", "seconds"), [("90", 90), ("1.5", 1.5), (90, 90), ("1m30s", 90)])
def test_numbers_are_seconds_only_where_that_is_allowed(value: object, seconds: float) -> None:
    assert parse_duration(value, plain_seconds=True) == seconds


@pytest.mark.parametrize("value", ["-1", "1e3", "nan", float("inf"), -1, "inf"])
def test_not_every_number_is_a_number_of_seconds(value: object) -> None:
    with pytest.raises(FormatError):
        parse_duration(value, plain_seconds=True)


def test_a_missing_unit_is_suggested() -> None:
    with pytest.raises(FormatError, match='did you mean "5s"'):
        parse_duration(5)
    with pytest.raises(FormatError, match='did you mean "5s"'):
        parse_duration("5")


def test_a_positive_duration_is_longer_than_zero() -> None:
    assert parse_positive_duration("1ms") == 0.001
    with pytest.raises(FormatError, match="longer than 0"):
        parse_positive_duration("0s")


@given(st.floats(min_value=0, max_value=1e9, allow_nan=False))
def test_a_formatted_duration_parses_to_the_same_float(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text", "long"), [(75, "1:15", "0:01"), (3600, "1:00:00", "1:00"), (7325, "2:02:05", "2:02")]
)
def test_a_clock_shows_hours_only_from_one_hour_on(seconds: float, text: str, long: str) -> None:
    assert (format_clock(seconds), format_clock(seconds, long=True)) == (text, long)
