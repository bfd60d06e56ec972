"""Where two runs that should be the same part ways, said so that a person can start looking."""

from itertools import zip_longest

import msgspec

MOST = 240
"""Characters of a line that are shown."""


def first_difference(name: str, before: bytes, now: bytes) -> str:
    """The first line of a file in which `now` is not `before`; empty if they are the same bytes."""
    if before == now:
        return ""
    old, new = before.split(b"\n"), now.split(b"\n")
    for i, (was, is_) in enumerate(zip_longest(old, new), start=1):
        if was != is_:
            return f"{name}: line {i} differs\n  recorded: {_gist(was)}\n  now:      {_gist(is_)}"
    raise AssertionError("bytes that differ have a line that differs")


def _gist(line: bytes | None) -> str:
    """The line with what tells lines apart first: when, what, of which object."""
    if not line:
        return "nothing, it ends before"
    said = line.decode(errors="replace")
    try:
        value = msgspec.json.decode(line)
    except msgspec.DecodeError:
        value = None
    if isinstance(value, dict) and "kind" in value:
        head = f"t={value.get('t')} {value['kind']} {value.get('event', '')} {value.get('object', '')}".rstrip()
        said = f"{head}: {said}"
    return said if len(said) <= MOST else said[:MOST] + "…"


def until(events: bytes, t: float) -> bytes:
    """The lines before `t`: what an interrupted run has in common with a whole one, its last moment aside."""
    kept = [line for line in events.splitlines(keepends=True) if msgspec.json.decode(line)["t"] < t]
    return b"".join(kept)
