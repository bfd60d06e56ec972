"""`--lora-modules` of `vllm serve`: adapters that are loaded at the start.

See `LoRAParserAction` in `vllm/entrypoints/launchers/cli_args.py`. Errors have vLLM's texts.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LoRAModulePath:
    """Fields of an adapter that is given as JSON, by vLLM's names; Python names the wrong ones in its errors."""

    name: str
    path: str
    base_model_name: str | None = None


class LoRAParserAction(argparse.Action):
    """Stores name and path of each adapter: `name=path`, or JSON with those two keys."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, _: str | None = None
    ) -> None:
        words: Sequence[str] = values if isinstance(values, list) else []
        setattr(namespace, self.dest, [_module(parser, word) for word in words if word])


def _module(parser: argparse.ArgumentParser, word: str) -> tuple[str, str]:
    if "=" in word and "," not in word:
        name, _, path = word.partition("=")
        return name, path
    try:
        fields: Any = json.loads(word)
        module = LoRAModulePath(**fields)
    except json.JSONDecodeError:
        parser.error(f"Invalid JSON format for --lora-modules: {word}")
    except TypeError as error:
        parser.error(f"Invalid fields for --lora-modules: {word} - {error}")
    return str(module.name), str(module.path)
