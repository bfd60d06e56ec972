"""Texts that were reviewed once and are compared from then on; not a test."""

from collections.abc import Sequence
from itertools import zip_longest


def difference(reviewed: Sequence[str], now: Sequence[str], module: str) -> str:
    """Return the first line that differs, under its heading, and what to do if that is meant; empty without one.

    `module`: the one that writes these texts.
    """
    heading = ""
    for before, text in zip_longest(reviewed, now):
        if before is not None and before.startswith("# "):
            heading = before
        if before != text:
            return (
                f"{heading}: {text!r}, was {before!r}; if meant, `python -m {module}` writes it down: review the change"
            )
    return ""
