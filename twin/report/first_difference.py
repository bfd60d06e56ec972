"""First difference between the files of two runs that should be equal."""

from itertools import zip_longest

import msgspec

MOST = 240
"""Characters of a line that are shown."""


def first_difference(name: str, before: bytes, now: bytes) -> str:
    """Describe the first line in which two versions of a file differ; empty if the bytes are equal."""
    if before == now:
        return ""
    old, new = before.split(b"\n"), now.split(b"\n")
    for i, (was, is_) in enumerate(zip_longest(old, new), start=1):
        if was != is_:
            return f"{name}: line {i} differs\n  recorded: {_gist(was)}\n  now:      {_gist(is_)}"
    raise AssertionError("different bytes have a different line")


def _gist(line: bytes | None) -> str:
    """Return a line, preceded by its time, kind and object."""
    if not line:
        return "end of file"
    text = line.decode(errors="replace")
    try:
        value = msgspec.json.decode(line)
    except msgspec.DecodeError:
        value = None
    if isinstance(value, dict) and "kind" in value:
        head = f"t={value.get('t')} {value['kind']} {value.get('event', '')} {value.get('object', '')}".rstrip()
        text = f"{head}: {text}"
    return text if len(text) <= MOST else text[:MOST] + "…"


def until(events: bytes, t: float) -> bytes:
    """Return the lines before `t`, which an interrupted run has in common with a complete one."""
    lines = [line for line in events.splitlines(keepends=True) if msgspec.json.decode(line)["t"] < t]
    return b"".join(lines)
