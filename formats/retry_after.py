"""Values of the HTTP header Retry-After: seconds, or a date (RFC 9110, section 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST = 64
"""Characters; a date has 29."""
_DAY = 86400.0
"""Seconds; larger values are the same as this one to every caller."""


def parse_retry_after(value: str, date: str = "") -> float | None:
    """Return the seconds that a server asks to wait, at most a day; None if the value is not valid.

    A date is compared with the time of the same server's clock, its header `Date`; without one it is not valid.
    Fractions of a second are accepted although they are not in the standard.
    """
    text = value.strip()
    if not text or len(text) > _LONGEST or not text.isascii():
        return None
    if text[0].isdigit():
        try:
            return min(float(text), _DAY)
        except ValueError:
            return None
    until, now = _time(text), _time(date)
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), _DAY)


def _time(text: str) -> datetime | None:
    try:
        time = parsedate_to_datetime(text[:_LONGEST])
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
