"""Allowed values of flags that have no meaning here, and lacking flags, by release of vLLM.

The data were read from the parsers of the releases that the file names. A release between two of them counts as the
earlier one for values, and as having a flag that the later one has.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from formats.engine_releases import Release, parse_release

FILE = Path(__file__).parent / "vllm_values.json"
_TYPES: Mapping[str, type[int] | type[float]] = {"int": int, "float": float}


@dataclass(frozen=True, slots=True)
class FlagValues:
    """Values of one release's flags, by the flag's name without dashes.

    Attributes:
        types: type of flags that take a number, the same in all releases.
        choices: allowed values of flags that take one of several words.
        lacking: flags that only later releases have.
    """

    types: Mapping[str, type[int] | type[float]]
    choices: Mapping[str, tuple[str, ...]]
    lacking: frozenset[str]

    @classmethod
    def of(cls, release: Release | None) -> "FlagValues":
        """Return the values of a release; without one, every flag exists and takes any word."""
        content = _content()
        types = {name: _TYPES[kind] for name, kind in content["numbers"].items()}
        if release is None:
            return cls(types, {}, frozenset())
        lacking = frozenset(name for name, newest in content["lacking"].items() if release <= parse_release(newest))
        choices: dict[str, tuple[str, ...]] = {}
        for version, values in content["choices"].items():
            if parse_release(version) <= release:
                choices |= {name: tuple(words or ()) for name, words in values.items()}
        return cls(types, {name: words for name, words in choices.items() if words}, lacking)


@lru_cache(maxsize=1)
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return content
