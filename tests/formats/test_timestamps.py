"""RFC 3339 timestamps."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.errors import FormatError
from formats.timestamps import format_micro_time, format_milli_time, format_time, parse_timestamp

NOON = datetime(2026, 1, 31, 12, 0, 5, 123456, UTC)


def test_each_precision_cuts_off() -> None:
    assert format_time(NOON) == "2026-01-31T12:00:05Z"
    assert format_milli_time(NOON) == "2026-01-31T12:00:05.123Z"
    assert format_micro_time(NOON) == "2026-01-31T12:00:05.123456Z"


def test_other_time_zones_are_written_in_utc() -> None:
    assert format_time(NOON.astimezone(timezone(timedelta(hours=9)))) == "2026-01-31T12:00:05Z"


@pytest.mark.parametrize("text", ["2026-01-31T12:00:05Z", "2026-01-31T13:00:05+01:00", "2026-01-31T12:00:05.000Z"])
def test_a_timestamp_is_read_with_its_time_zone(text: str) -> None:
    assert parse_timestamp(text) == NOON.replace(microsecond=0)


@pytest.mark.parametrize("text", ["", "noon", "2026-01-31", "2026-01-31T12:00:05", "20260131T120005Z"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(FormatError, match="allowed: an RFC 3339 timestamp"):
        parse_timestamp(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_formatted_timestamp_parses_to_the_same_instant(timestamp: datetime) -> None:
    assert parse_timestamp(format_micro_time(timestamp)) == timestamp
    assert parse_timestamp(format_time(timestamp)) == timestamp.replace(microsecond=0)
