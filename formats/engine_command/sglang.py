"""The command line of `python -m sglang.launch_server` (`sglang/srt/server_args.py`), as far as it matters to readers.

Other flags of SGLang's are unknown to the parser.
"""

import argparse
import json
from typing import Any

from formats.engine_command.argument_parser import FlexibleArgumentParser


def sglang_parser() -> FlexibleArgumentParser:
    """Return a parser for the arguments behind `sglang.launch_server`."""
    parser = FlexibleArgumentParser()
    parser.add_argument("model_tag", nargs="?")  # as `fake-vllm serve MODEL --dialect sglang` has it
    parser.add_argument("--model-path", "--model", dest="model")
    parser.add_argument("--served-model-name", nargs=1, default=[])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=30000)
    parser.add_argument("--api-key", nargs=1)
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--lora-paths", nargs="*", type=_lora_path, default=[], dest="lora_modules")
    parser.add_argument("--lora-target-modules", nargs="*")
    parser.add_argument("--max-loras-per-batch", type=int, default=8, dest="max_loras")
    parser.add_argument("--max-loaded-loras", type=int)
    parser.add_argument("--max-lora-rank", type=int)
    parser.add_argument("--context-length", type=int, dest="max_model_len")
    parser.add_argument("--max-running-requests", type=int, dest="max_num_seqs")
    parser.add_argument("--chunked-prefill-size", type=int, dest="max_num_batched_tokens")
    parser.add_argument("--enable-metrics", action="store_true")
    parser.add_argument("--random-seed", type=int, default=0, dest="seed")
    return parser


def _lora_path(text: str) -> tuple[str, str]:
    """Return name and path of one word of `--lora-paths`: `path`, `name=path`, or JSON."""
    if text.startswith("{"):
        try:
            value: Any = json.loads(text)
            return str(value["lora_name"]), str(value["lora_path"])
        except (ValueError, KeyError, TypeError) as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not JSON with lora_name and lora_path") from error
    name, equals, path = text.partition("=")
    return (name, path) if equals else (text, text)
