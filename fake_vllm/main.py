"""`fake-vllm`: one fake engine on a socket, started with the command line of a real one.

`vllm serve MODEL --port 8000 ...` becomes `fake-vllm serve MODEL --port 8000 ...`.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from importlib.metadata import version

from fake_vllm.cli import options
from fake_vllm.cli import profile as parameters
from fake_vllm.cli import sglang_args as command
from fake_vllm.engine.engine import EngineConfigError
from fake_vllm.server.process import Server

_HELP = """usage: fake-vllm serve [MODEL] [flags]

A vLLM server that needs no GPU.

vLLM's flags that count:
  {count}
Other flags of vLLM's are accepted, and named in one line of warning; --config FILE is read as vLLM reads it.
Variables: VLLM_ALLOW_RUNTIME_LORA_UPDATING, VLLM_API_KEY.

With --dialect sglang, SGLang's flags instead, of which these count:
  {sglang}

Flags of the fake's own:
{own}

Presets: {presets}
"""


def main() -> None:
    """The command, from its words to its exit code."""
    words = sys.argv[1:]
    if not words or {"-h", "--help"} & set(words):
        print(_help())
        return
    if "--version" in words:
        print(f"fake-vllm {version('lora-twin')}")
        return
    try:
        config, told = options.read(words, os.environ)
        if told.ignored:
            print(f"fake-vllm: makes no difference here: {', '.join(told.ignored)}", file=sys.stderr)
        process = Server(config, told, _now)
    except EngineConfigError as error:
        print(f"fake-vllm: {error}", file=sys.stderr)
        sys.exit(2)
    try:
        asyncio.run(process.run())
    except KeyboardInterrupt:  # while it starts up; later on a signal ends it in good order
        sys.exit(130)
    except OSError as error:
        print(f"fake-vllm: cannot listen on {config.host}:{config.port}: {error.strerror}", file=sys.stderr)
        sys.exit(1)


def _help() -> str:
    own = "\n".join(f"  --{name:<16}{meaning}" for name, meaning in options.OWN.items())
    count, sglang = (", ".join(f"--{name}" for name in names) for names in (options.COUNT, command.COUNT))
    return _HELP.format(count=count, sglang=sglang, own=own, presets=", ".join(parameters.presets()))


def _now() -> float:
    return datetime.now(UTC).timestamp()  # noqa: TID251 - the process's own clock; everything else is told
