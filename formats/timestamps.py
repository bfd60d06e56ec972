"""RFC 3339 timestamps as Kubernetes writes them.

`metav1.Time` has whole seconds, `metav1.MicroTime` six digits. Inside the program a timestamp is an aware `datetime`,
or a `float` in seconds since 1970.
"""

from datetime import UTC, datetime

from formats.errors import FormatError, quoted

_ALLOWED = "an RFC 3339 timestamp such as 2026-01-31T12:00:00Z"


def format_time(timestamp: datetime) -> str:
    """Return a `metav1.Time`: UTC, fractions of a second cut off."""
    return f"{_utc(timestamp).isoformat(timespec='seconds')}Z"


def format_micro_time(timestamp: datetime) -> str:
    """Return a `metav1.MicroTime`: UTC with microseconds."""
    return f"{_utc(timestamp).isoformat(timespec='microseconds')}Z"


def format_milli_time(timestamp: datetime) -> str:
    """Return UTC with milliseconds, as log lines have it."""
    return f"{_utc(timestamp).isoformat(timespec='milliseconds')}Z"


def parse_timestamp(text: str) -> datetime:
    """Return the timestamp, with its time zone.

    Raises:
        FormatError: if `text` is not an RFC 3339 timestamp.
    """
    try:
        timestamp = datetime.fromisoformat(text)
    except ValueError:
        raise FormatError(f"{quoted(text)} is not a timestamp", _ALLOWED) from None
    if timestamp.tzinfo is None or text[4:5] != "-" or text[10:11] not in "Tt ":
        raise FormatError(f"{quoted(text)} is not a timestamp with a time zone", _ALLOWED)
    return timestamp


def _utc(timestamp: datetime) -> datetime:
    return timestamp.astimezone(UTC).replace(tzinfo=None)
