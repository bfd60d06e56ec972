"""Values of the header Retry-After, as servers send them and as they should not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.retry_after import parse_retry_after

NOW = "Fri, 31 Jan 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "date", "expected"),
    [
        ("0", "", 0.0),
        ("7", "", 7.0),
        (" 7 ", "", 7.0),
        ("1.5", "", 1.5),
        ("86400", "", 86400.0),
        ("999999999999", "", 86400.0),
        ("9" * 400, "", None),
        ("", "", None),
        ("-1", "", None),
        ("inf", "", None),
        ("nan", "", None),
        ("1e999", "", 86400.0),
        ("7s", "", None),
        ("٣", "", None),
        ("Fri, 31 Jan 2026 12:00:30 GMT", NOW, 30.0),
        ("Fri, 31 Jan 2026 11:00:00 GMT", NOW, 0.0),
        ("Fri, 31 Jan 9999 12:00:00 GMT", NOW, 86400.0),
        ("Friday, 31-Jan-26 12:00:30 GMT", NOW, 30.0),
        ("Fri, 31 Jan 2026 12:00:30 GMT", "", None),
        ("Fri, 31 Jan 2026 12:00:30 GMT", "yesterday", None),
        ("Fri, 99 Foo 2026 12:00:30 GMT", NOW, None),
    ],
)
def test_seconds_and_dates_are_read_and_nothing_else(value: str, date: str, expected: float | None) -> None:
    assert parse_retry_after(value, date) == expected


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_a_number_of_seconds_up_to_a_day_or_none(value: str, date: str) -> None:
    seconds = parse_retry_after(value, date)
    assert seconds is None or 0.0 <= seconds <= 86400.0
