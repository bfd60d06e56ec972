"""`--config FILE`: flags in YAML, as vLLM takes them (vllm/utils/argparse_utils.py, `FlexibleArgumentParser`).

They are put in front of the command line's own, which win therefore; a model on the command line wins over the
file's. `true` is a switch, `false` is nothing, a list is several values, a mapping is JSON.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fake_vllm.cli.profile import ParametersError, document
from fake_vllm.engine.config import EngineConfigError


def put_in(words: Sequence[str]) -> list[str]:
    """The words with those of the file that they name in front.

    Raises:
        EngineConfigError: if there is no such file, or it holds something else than flags.
    """
    at = [number for number, word in enumerate(words) if word == "--config" or word.startswith("--config=")]
    if not at:
        return list(words)
    if len(at) > 1:
        raise EngineConfigError("--config: more than one config file specified")
    _, equals, path = words[at[0]].partition("=")
    behind = at[0] + 1
    if not equals:
        path, behind = words[behind] if behind < len(words) else "", behind + 1
    if not path or path.startswith("-"):
        raise EngineConfigError("--config needs a value")
    rest = [*words[: at[0]], *words[behind:]]
    model, flags = (rest[:1], rest[1:]) if rest and not rest[0].startswith("-") else ([], rest)
    return [*model, *_flags(path), *flags]


def _flags(path: str) -> list[str]:
    if not path.endswith((".yaml", ".yml")):
        raise EngineConfigError(f"--config {path}: the file must be YAML, and its name must end in .yaml or .yml")
    try:
        said = document(path)
    except ParametersError as error:
        raise EngineConfigError(f"--config {error}") from error
    if not isinstance(said, Mapping):
        raise EngineConfigError(f"--config {path}: must be a mapping from flag to value")
    words: list[str] = []
    for name, value in said.items():
        words += _words(f"--{str(name).replace('_', '-')}", value)
    return words


def _words(flag: str, value: Any) -> list[str]:
    if value is False or value is None:
        return []
    if value is True:
        return [flag]
    if isinstance(value, list):
        return [flag, *map(_text, value)] if value else []
    return [flag, _text(value)]


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
