"""`--config FILE`: arguments in a YAML file, as vLLM reads them (`FlexibleArgumentParser._pull_args_from_config`).

They are put in front of the command line's own, which therefore win; a model on the command line wins over the file's.
`true` is a switch, `false` is nothing, a list is several values, a mapping is JSON.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from formats.errors import FormatError


def merge_config_file(args: Sequence[str], load: Callable[[str], Any]) -> list[str]:
    """Return the arguments with those of the file that `--config` names; `load` returns the content of a YAML file.

    Raises:
        FormatError: if the file is not a mapping from flag to value.
    """
    flags = [index for index, arg in enumerate(args) if arg == "--config" or arg.startswith("--config=")]
    if not flags:
        return list(args)
    if len(flags) > 1:
        raise FormatError("More than one config file specified!")
    _, equals, path = args[flags[0]].partition("=")
    end = flags[0] + 1
    if not equals:
        path, end = args[end] if end < len(args) else "", end + 1
    if not path:
        raise FormatError("No config file specified! Please check your command-line arguments.")
    rest = [*args[: flags[0]], *args[end:]]
    model, rest = (rest[:1], rest[1:]) if rest and not rest[0].startswith("-") else ([], rest)
    return [*model, *_read(path, load), *rest]


def _read(path: str, load: Callable[[str], Any]) -> list[str]:
    extension = path.rpartition(".")[2]
    if extension not in ("yaml", "yml"):
        raise FormatError(f"Config file must be of a yaml/yml type. {extension} supplied")
    content = load(path)
    if not isinstance(content, Mapping):
        raise FormatError(f"argument --config: {path} must be a mapping from flag to value")
    return [arg for name, value in content.items() for arg in _arguments(f"--{str(name).replace('_', '-')}", value)]


def _arguments(flag: str, value: Any) -> list[str]:
    if value is False or value is None:
        return []
    if value is True:
        return [flag]
    if isinstance(value, list):
        return [flag, *map(_text, value)] if value else []
    return [flag, _text(value)]


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
