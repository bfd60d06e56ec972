"""Column names that users type: a name or a list, and errors that name the columns that exist."""

import difflib
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Columns: TypeAlias = str | Sequence[str]
"""One column, or several."""


def column_list(names: Columns, existing: Iterable[str], parameter: str = "by") -> list[str]:
    """Return the names as a list.

    Raises:
        ValueError: if no column has one of the names; the message has the columns that exist.
    """
    listed = [names] if isinstance(names, str) else list(names)
    columns = [str(column) for column in existing]
    for name in listed:
        if name not in columns:
            close = difflib.get_close_matches(str(name), columns, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(f"{parameter}: no column {name!r}{hint}; there are: {', '.join(columns)}")
    return listed
