"""Sizes and rates as people write them: `80MiB`, `1.5GB/s`."""

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def size(text: object) -> int:
    """Bytes.

    Raises:
        ValueError: if that is no size.
    """
    if isinstance(text, str):
        for unit, factor in sorted(_UNITS.items(), key=lambda each: -len(each[0])):
            number = text.removesuffix(unit).strip()
            if text.endswith(unit) and number.replace(".", "", 1).isdecimal():
                return int(float(number) * factor)
    raise ValueError(f"{text!r} is no size; write it as in 80MiB")


def rate(text: object) -> float:
    """Bytes a second.

    Raises:
        ValueError: if that is no rate.
    """
    try:
        if isinstance(text, str) and text.endswith("/s"):
            return float(size(text.removesuffix("/s")))
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no rate; write it as in 1.5GB/s")
