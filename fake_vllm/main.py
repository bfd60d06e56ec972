"""`fake-vllm`: one fake engine on a socket, started with the command line of a real one.

`vllm serve MODEL --port 8000 ...` becomes `fake-vllm serve MODEL --port 8000 ...`.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from textwrap import fill
from typing import NoReturn

from fake_vllm.cli import options, profile
from fake_vllm.cli.flags import OWN_FLAGS
from fake_vllm.engine.engine import EngineConfigError
from fake_vllm.server.process import Server
from formats.engine_command import SGLANG, VLLM

_HELP = """usage: fake-vllm serve [MODEL] [flags]

A vLLM server that needs no GPU.

vLLM's flags that make a difference:
{vllm}
vLLM's other flags are accepted and listed in one warning; --config FILE is read as vLLM reads it.
Environment variables: VLLM_ALLOW_RUNTIME_LORA_UPDATING, VLLM_API_KEY.

SGLang's flags that make a difference, with --dialect sglang:
{sglang}

Flags of the fake's own:
{own}

Presets: {presets}
"""


def main() -> None:
    """Run the command and exit: 0 after a shutdown, 1 if the engine cannot start, 2 for a wrong command line."""
    args = sys.argv[1:]
    if not args or {"-h", "--help"} & set(args):
        print(_help())
        return
    if "--version" in args:
        from importlib.metadata import version  # slow to import

        print(f"fake-vllm {version('lora-twin')}")
        return
    try:
        config, own = options.read(args, os.environ)
        if own.ignored:
            print(f"fake-vllm: ignored: {', '.join(own.ignored)}", file=sys.stderr)
        server = Server(config, own, _now)
    except EngineConfigError as error:
        _refuse(error)
    try:
        asyncio.run(server.run())
    except KeyboardInterrupt:  # during startup; later a signal shuts the server down
        sys.exit(130)
    except OSError as error:
        print(f"fake-vllm: cannot listen on {config.host}:{config.port}: {error.strerror}", file=sys.stderr)
        sys.exit(1)


def _refuse(error: EngineConfigError) -> NoReturn:
    """Print why the engine does not start, and exit as the real one."""
    if error.hint:
        print(f"fake-vllm: {error.hint}", file=sys.stderr)
    print(f"fake-vllm: error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)


def _help() -> str:
    own = "\n".join(f"  --{name:<16}{meaning}" for name, meaning in OWN_FLAGS.items())
    vllm, sglang = (_list(options.flags_with_meaning(flavor)) for flavor in (VLLM, SGLANG))
    return _HELP.format(vllm=vllm, sglang=sglang, own=own, presets=", ".join(profile.presets()))


def _list(flags: list[str]) -> str:
    return fill(", ".join(flags), 118, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _now() -> float:
    return datetime.now(UTC).timestamp()  # noqa: TID251 - the process's own clock; everything else gets one
