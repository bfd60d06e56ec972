"""The command line of `vllm serve`.

The names of flags without a meaning here are in `vllm_flags.txt`, so that they are accepted, abbreviations are
resolved as in vLLM, and a misspelled flag is detected. They were read in vLLM's public sources,
`vllm/engine/arg_utils.py` and `vllm/entrypoints/openai/cli_args.py`, from release 0.6 on; flags that were removed are
still listed, since manifests still have them.
"""

import argparse
from importlib.resources import files

from formats.engine_command.argument_parser import (
    FlexibleArgumentParser,
    human_readable_int,
    human_readable_int_or_auto,
)
from formats.engine_command.lora_modules import LoRAParserAction
from formats.engine_command.server_args import add_server_flags
from formats.engine_command.vllm_values import FlagValues
from formats.engine_releases import Release

_SHORT = {
    "data-parallel-size-local": "-dpl",
    "data-parallel-rank": "-dpn",
    "data-parallel-start-rank": "-dpr",
    "data-parallel-address": "-dpa",
    "data-parallel-rpc-port": "-dpp",
    "data-parallel-backend": "-dpb",
    "data-parallel-hybrid-lb": "-dph",
    "data-parallel-external-lb": "-dpe",
    "decode-context-parallel-size": "-dcp",
    "prefill-context-parallel-size": "-pcp",
    "enable-expert-parallel": "-ep",
    "quantization": "-q",
    "compilation-config": "-cc",
    "nnodes": "-n",
    "node-rank": "-r",
}
_DEFAULT_LORA_RANK = 16  # vllm/config/lora.py
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # the same file


def vllm_parser(release: Release | None = None) -> FlexibleArgumentParser:
    """Return a parser for the arguments behind `vllm serve`.

    Args:
        release: its values and flags alone are accepted; None: those of all releases.
    """
    parser = FlexibleArgumentParser()
    parser.add_argument("model_tag", nargs="?")
    parser.add_argument("--model")
    parser.add_argument("--config")
    parser.add_argument("--served-model-name", nargs="+", default=[])
    parser.add_argument("--host")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--api-key", nargs="+")
    parser.add_argument("--enable-lora", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--max-loras", type=int, default=1)
    parser.add_argument("--max-cpu-loras", type=int)
    parser.add_argument("--max-lora-rank", type=int, choices=LORA_RANKS, default=_DEFAULT_LORA_RANK)
    parser.add_argument("--lora-modules", nargs="+", action=LoRAParserAction, default=[])
    parser.add_argument("--max-model-len", type=human_readable_int_or_auto)
    parser.add_argument("--max-num-seqs", type=int)
    parser.add_argument("--max-num-batched-tokens", type=human_readable_int)
    parser.add_argument("--max-logprobs", type=int)
    parser.add_argument("--enable-auto-tool-choice", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--tool-call-parser", default="")
    parser.add_argument("--trust-request-chat-template", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gpu-memory-utilization", action="ignored", type=float)
    parser.add_argument("--distributed-executor-backend")
    parser.add_argument("--tensor-parallel-size", "-tp", type=int, default=1)
    parser.add_argument("--pipeline-parallel-size", "-pp", type=int, default=1)
    parser.add_argument("--enable-prefix-caching", action=argparse.BooleanOptionalAction, default=None)
    values = FlagValues.of(release)
    add_server_flags(parser, values.lacking)
    _add_ignored(parser, values)
    return parser


def _add_ignored(parser: FlexibleArgumentParser, values: FlagValues) -> None:
    text = files("formats.engine_command").joinpath("vllm_flags.txt").read_text("utf-8")
    switches, single, several = (paragraph.partition("\n")[2].split() for paragraph in text.split("\n\n")[1:])
    for name in switches:
        if name not in values.lacking:
            parser.add_argument(*_options(name), f"--no-{name}", action="ignored", nargs=0)
    for name, nargs in (*((name, None) for name in single), *((name, "+") for name in several)):
        if name not in values.lacking:
            parser.add_argument(
                *_options(name),
                action="ignored",
                nargs=nargs,
                type=values.types.get(name, str),
                choices=values.choices.get(name),
            )


def _options(name: str) -> list[str]:
    return [*filter(None, [_SHORT.get(name)]), f"--{name}"]
