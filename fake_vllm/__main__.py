"""`fake-vllm`: one fake engine on a socket, started with the command line of a real one.

`vllm serve MODEL --port 8000 ...` becomes `fake-vllm serve MODEL --port 8000 ...`: vLLM's own flags and
variables are read by `config.py`, flags that make no difference are skipped, and the few options declared
below are the fake's own.
"""

import asyncio
import os
import re
import sys
from typing import Annotated

import numpy as np
import typer
import uvicorn

from fake_vllm.app import App
from fake_vllm.engine import Engine, EngineConfig, EngineConfigError
from fake_vllm.latency import Constant
from fake_vllm.versions import DEFAULT_VERSION

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_EPILOGUE = """
vLLM's flags that count: [MODEL] or --model, --served-model-name, --max-model-len, --enable-lora, --max-loras,
--max-cpu-loras, --max-lora-rank, --lora-modules, --api-key, --host, --port. Others are accepted and skipped.
Variables: VLLM_ALLOW_RUNTIME_LORA_UPDATING, VLLM_API_KEY.

Adapters, health, version and the list of models are answered; generation and metrics are not there yet.
"""


def seconds(text: str) -> float:
    """Seconds of a duration such as `250ms`, `1.8s` or `1m30s`.

    Raises:
        typer.BadParameter: if that is none.
    """
    if not _DURATION.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no duration; write it as in 250ms, 1.8s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text))


def serve(
    context: typer.Context,
    startup: Annotated[
        str, typer.Option(help="Until then nothing listens, as while a real one reads its weights.")
    ] = "0s",
    load_latency: Annotated[str, typer.Option(help="Time that loading an adapter takes.")] = "500ms",
    unload_latency: Annotated[str, typer.Option(help="Time that unloading one takes.")] = "20ms",
    seed: Annotated[int, typer.Option(help="Of everything drawn at random.")] = 0,
    version: Annotated[str, typer.Option(help="The vLLM release to behave like.")] = DEFAULT_VERSION,
) -> None:
    """A vLLM server that needs no GPU; takes vLLM's own flags, too."""
    wait = seconds(startup)
    load, unload = Constant(seconds(load_latency)), Constant(seconds(unload_latency))
    try:
        config = EngineConfig.from_command(context.args, os.environ, version=version)
        engine = Engine(config, load=load, unload=unload, rng=np.random.default_rng(seed))
    except EngineConfigError as error:
        print(f"fake-vllm: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    try:
        asyncio.run(_listen(engine, wait))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


async def _listen(engine: Engine, startup: float) -> None:
    await asyncio.sleep(startup)
    settings = uvicorn.Config(
        App(engine),
        host=engine.config.host,
        port=engine.config.port,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )
    try:
        await uvicorn.Server(settings).serve()
    finally:
        engine.close()


def main() -> None:
    """Entry point of the `fake-vllm` command."""
    app = typer.Typer(add_completion=False)
    app.command(
        epilog=_EPILOGUE,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(serve)
    app()


if __name__ == "__main__":
    main()
