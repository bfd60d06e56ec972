"""The part of JSONPath that printer columns use: fields, indices, `[*]`, and one equality filter.

Source: `additionalPrinterColumns` of CustomResourceDefinitions ("a simple JSON path").
"""

import re
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"""\.(?P<field>(?:[^.\[\]\\]|\\.)+)
      | \[(?:'(?P<quote>[^']*)'|"(?P<doubled>[^"]*)"|(?P<index>-?\d+)|(?P<all>\*)
        | \?\(\s*@\.(?P<key>[\w.-]+)\s*==\s*["'](?P<value>[^"']*)["']\s*\))\]""",
    re.VERBOSE,
)
Step = tuple[str, Any]


def find(obj: Any, path: str) -> Any:
    """Return the first value at a path, or None if it is missing or the path is not supported."""
    values = [obj]
    for kind, argument in _steps(path):
        values = [after for before in values for after in _follow(before, kind, argument)]
    return values[0] if values else None


@lru_cache(maxsize=256)
def _steps(path: str) -> tuple[Step, ...]:
    text = path.strip()
    text = text[1:-1] if text.startswith("{") else text
    text = text.removeprefix("$")
    steps: list[Step] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return (("never", None),)
        position = match.end()
        if match["key"] is not None:
            steps.append(("where", (match["key"], match["value"])))
        elif match["all"] is not None:
            steps.append(("all", None))
        elif match["index"] is not None:
            steps.append(("index", int(match["index"])))
        else:
            name = match["field"] or match["quote"] or match["doubled"] or ""
            steps.append(("field", re.sub(r"\\(.)", r"\1", name)))
    return tuple(steps)


def _follow(value: Any, kind: str, argument: Any) -> list[Any]:
    match kind:
        case "field" if isinstance(value, dict) and argument in value:
            return [value[argument]]
        case "index" if isinstance(value, list) and -len(value) <= argument < len(value):
            return [value[argument]]
        case "all" if isinstance(value, (list, dict)):
            return list(value.values() if isinstance(value, dict) else value)
        case "where" if isinstance(value, list):
            key, expected = argument
            return [item for item in value if isinstance(item, dict) and str(item.get(key)) == expected]
        case _:
            return []
