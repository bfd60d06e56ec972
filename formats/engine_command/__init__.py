"""The command line of a container that runs vLLM or SGLang, as values.

The operator (capacity, port), the simulated world and the fake engine all use `read_engine_args`. Start reading at
`engine_args.py`; `command.py` finds the engine's arguments in a container's command, `shell.py` reads shell scripts,
`argument_parser.py` is vLLM's kind of `argparse` parser.
"""

from formats.engine_command.command import SGLANG, VLLM, EngineCommand, read_command
from formats.engine_command.config_file import merge_config_file
from formats.engine_command.engine_args import EngineArgs, engine_parser, read_engine_args
from formats.engine_command.server_args import DEFAULT_SERVER_ARGS, ServerArgs
from formats.engine_command.variables import expand_environment, expand_variables

__all__ = [
    "DEFAULT_SERVER_ARGS",
    "SGLANG",
    "VLLM",
    "EngineArgs",
    "EngineCommand",
    "ServerArgs",
    "engine_parser",
    "expand_environment",
    "expand_variables",
    "merge_config_file",
    "read_command",
    "read_engine_args",
]
