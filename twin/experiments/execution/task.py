"""The unit of work and its result.

Tasks are sent to other processes and machines, so a task holds the scenario itself and no path that it would need.
Nothing in a row depends on where, when or how fast the task was run.
"""

from typing import Any

import msgspec

from twin.scenario import Scenario


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One run to do."""

    key: str
    """Digest of everything that the result depends on; a stored row with this key is not run again."""
    variant: str
    seed: int
    settings: dict[str, str]
    """Paths and values that define the variant, as for `--set`."""
    scenario: Scenario
    """Includes the seed."""
    source: str = ""
    """Folder of the checkout whose operator runs; empty for this process's own."""
    keep: str = ""
    """Run folder to write; empty for none."""
    collect: tuple[str, ...] = ()
    """Additional results to extract from the trace, by their names in `collectors.py`."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a task."""

    key: str
    variant: str
    seed: int
    settings: dict[str, str]
    measures: dict[str, float | None] = {}
    """By their names in `summary.json`; None if nothing was measured, empty if the run crashed."""
    passed: bool | None = None
    """True if all invariants and expectations passed; None if the run crashed."""
    violation: str = ""
    """The first violated invariant, with its object."""
    error: str = ""
    """Why the run crashed, on one line."""
    collected: dict[str, Any] = {}


class Interrupted(Exception):
    """The run was stopped by Ctrl-C before its end; there is no row."""
