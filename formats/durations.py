"""Durations as text."""


def format_clock(seconds: float, *, long: bool = False) -> str:
    """Return `seconds` as `m:ss`, from one hour on as `h:mm:ss`; with `long` always as `h:mm`."""
    whole = round(seconds)
    if long:
        return f"{whole // 3600}:{whole % 3600 // 60:02}"
    minutes = f"{whole // 60}:{whole % 60:02}"
    return minutes if whole < 3600 else f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"
