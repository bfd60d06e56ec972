"""`twin calibrate --measure`: drives a load test against a running server and returns its measurements."""

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from formats.errors import FormatError
from twin.commands.common import UsageError
from twin.commands.progress import share_bar

if TYPE_CHECKING:
    from formats.engine_command import EngineArgs
    from twin.calibration.load_test.client import CompletionClient
    from twin.calibration.load_test.levels import Grid
    from twin.calibration.load_test.records import LoadTest, ServerSettings

KEY_VARIABLE = "OPENAI_API_KEY"
_REQUEST_TIMEOUT = 300.0  # seconds for one completion under load
_SEQUENCES, _BATCHED_TOKENS, _RANK = (
    256,
    2048,
    16,
)  # vLLM's defaults on GPUs of less than 70 GiB, and for --max-lora-rank
_MOST_VALUES = 16


@dataclass(frozen=True, slots=True)
class LoadTestOptions:
    """Values of the command line. Empty ones mean: what the server says."""

    url: str
    base: str
    adapters: str
    levels: tuple[str, str, str]
    """Comma-separated values: concurrency, prompt tokens, output tokens."""
    engine_args: str
    api_key_file: Path | None
    budget: float
    repetitions: int
    seed: int


def run_load_test(options: LoadTestOptions) -> "LoadTest":
    """Measure the server.

    Raises:
        UsageError: if the options are wrong, or the server cannot be measured.
    """
    import asyncio

    from twin.calibration.load_test.client import LoadTestError

    if not options.url.startswith(("http://", "https://")):
        raise UsageError(f"--measure {options.url}: is not an address; allowed: such as http://10.0.3.7:8000")
    key, args = _api_key(options.api_key_file), _engine_args(options.engine_args)
    grid = _grid(options.levels)
    try:
        with share_bar(options.url) as progress:
            return asyncio.run(_measure(options, key, args, grid, progress))
    except LoadTestError as error:
        raise UsageError(str(error)) from None


async def _measure(
    options: LoadTestOptions, key: str, args: "EngineArgs", grid: "Grid", progress: Callable[[float, str], None]
) -> "LoadTest":
    from twin.calibration.load_test.client import CompletionClient
    from twin.calibration.load_test.driver import LoadTestDriver, LoadTestSettings
    from twin.calibration.load_test.records import LoadTest
    from twin.calibration.load_test.server import read_models

    client = CompletionClient(options.url, key, _REQUEST_TIMEOUT)
    try:
        models = await read_models(client, options.base)
        adapters = tuple(name for name in options.adapters.split(",") if name) or models.adapters
        missing = [name for name in adapters if name not in models.adapters]
        if missing:
            listed = ", ".join(models.adapters) or "none"
            raise UsageError(f"--adapters {missing[0]}: the server has no such adapter; allowed: {listed}")
        server = await _server(client, options, args, models.base, adapters)
        counts = _adapter_counts(len(adapters), max(grid.concurrency), server)
        settings = LoadTestSettings(
            models.base, adapters, replace(grid, adapters=counts), options.budget, options.repetitions, options.seed
        )
        return LoadTest(server, options.seed, await LoadTestDriver(client, settings, progress).run())
    finally:
        await client.close()


def _adapter_counts(available: int, concurrency: int, server: "ServerSettings") -> tuple[int, ...]:
    """Return numbers of adapters: none, one, two, and as many as fit into the slots and the memory, and one more."""
    most = min(available, concurrency)
    limits = (server.max_loras, server.max_cpu_loras)
    return tuple(sorted({count for count in (0, 1, 2, *limits, *(limit + 1 for limit in limits)) if count <= most}))


async def _server(
    client: "CompletionClient", options: LoadTestOptions, args: "EngineArgs", base: str, adapters: Sequence[str]
) -> "ServerSettings":
    """Return the server's settings: from the flags in the options, else what it says itself, else vLLM's defaults."""
    from twin.calibration.load_test.records import ServerSettings
    from twin.calibration.load_test.server import read_max_loras, read_metrics

    page = await read_metrics(client)
    is_given = "max-loras" in options.engine_args.replace("_", "-")
    measured = None if is_given else await read_max_loras(client, adapters)
    slots = measured or args.max_loras
    return ServerSettings(
        model=base,
        max_num_seqs=args.max_num_seqs or _SEQUENCES,
        max_num_batched_tokens=args.max_num_batched_tokens or _BATCHED_TOKENS,
        max_loras=slots,
        max_cpu_loras=args.max_cpu_loras or slots,
        max_lora_rank=args.max_lora_rank or _RANK,
        kv_tokens=page.kv_tokens,
    )


def _engine_args(text: str) -> "EngineArgs":
    from formats.engine_command import read_engine_args

    try:
        args = read_engine_args(["vllm", "serve", "model", *shlex.split(text)], {})
    except (FormatError, ValueError) as error:
        raise UsageError(f"--engine-args: {error}") from None
    if args.unknown:
        raise UsageError(f"--engine-args: unrecognized arguments: {' '.join(args.unknown)}")
    return args


def _api_key(file: Path | None) -> str:
    if file is None:
        return os.environ.get(KEY_VARIABLE, "")
    try:
        key = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(f"--api-key-file {file}: cannot be read: {reason}") from None
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"--api-key-file {file}: does not contain one key")
    return key


def _grid(levels: tuple[str, str, str]) -> "Grid":
    from twin.calibration.load_test.levels import Grid

    concurrency, prompts, outputs = levels
    return Grid(
        _numbers("--concurrency", concurrency, fewest=2),
        _numbers("--prompt-tokens", prompts, fewest=2),
        _numbers("--output-tokens", outputs, fewest=1, least=2),
    )


def _numbers(flag: str, text: str, *, fewest: int, least: int = 1) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    numbers = sorted({int(word) for word in words if word.isdecimal()})
    if not all(word.isdecimal() for word in words) or numbers[0] < least or not fewest <= len(numbers) <= _MOST_VALUES:
        kind = f"{fewest} to {_MOST_VALUES} whole numbers of at least {least}, separated by commas"
        raise UsageError(f"{flag} {text}: allowed: {kind}")
    return tuple(numbers)
