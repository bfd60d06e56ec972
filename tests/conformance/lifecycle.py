"""Life and death of a server: each story needs a server of its own, which it ends."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx

from tests.conformance.exchange import PROMPT, completion, load
from tests.conformance.masking import Masker
from tests.conformance.player import Answer, Player
from tests.conformance.profiles import PROFILES
from tests.conformance.servers import Engine, Running, serving

_LONG = {"model": "base", "prompt": PROMPT, "max_tokens": 400, "ignore_eos": True, "stream": True}


def play(engine: Engine, names: Iterable[str], masker: Masker, loras: Path, folder: Path) -> dict[str, Any]:
    """Return what each story showed, step by step."""
    result = {}
    for name in names:
        with (
            serving(engine, PROFILES["lora"], folder / f"{name}.log") as running,
            Player(running.url, str(loras), masker) as player,
        ):
            result[name] = STORIES[name](running, player, loras)
    return result


def _sigterm_while_streaming(running: Running, player: Player, loras: Path) -> list[Answer]:
    return [_stream_until(running, lambda: running.process.send_signal(signal.SIGTERM)), _exit(running)]


def _engine_core_killed(running: Running, player: Player, loras: Path) -> list[Answer]:
    stream = _stream_until(running, lambda: os.kill(_engine_core(running), signal.SIGKILL))
    return [stream, player.answer(completion()), _exit(running)]


def _evicted_adapter_deleted(running: Running, player: Player, loras: Path) -> list[Answer]:
    """An adapter that others have pushed out is asked for after its folder has gone."""
    copy = _copy(loras)
    steps = [load("gone", str(copy)), *(load(f"x{number}", f"<loras>/l{number}") for number in range(5))]
    answers = [player.answer(step) for step in steps]
    shutil.rmtree(copy)
    return [*answers, player.answer(completion("gone")), player.answer(completion()), _exit(running)]


def _in_place_adapter_deleted(running: Running, player: Player, loras: Path) -> list[Answer]:
    """An adapter that was loaded in place is read again at each use."""
    copy = _copy(loras)
    answers = [player.answer(load("gone", str(copy), load_inplace=True)), player.answer(completion("gone"))]
    shutil.rmtree(copy)
    return [*answers, player.answer(completion("gone")), player.answer(completion()), _exit(running)]


STORIES: dict[str, Callable[[Running, Player, Path], list[Answer]]] = {
    "sigterm-while-streaming": _sigterm_while_streaming,
    "engine-core-killed": _engine_core_killed,
    "evicted-adapter-deleted": _evicted_adapter_deleted,
    "in-place-adapter-deleted": _in_place_adapter_deleted,
}


def _copy(loras: Path) -> Path:
    copy = loras / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(loras / "l0", copy)
    return copy


def _stream_until(running: Running, act: Callable[[], None]) -> Answer:
    """Open a stream, act after its first event, and return how it ended."""
    events: list[str] = []
    try:
        with httpx.stream("POST", f"{running.url}/v1/completions", json=_LONG, timeout=60, trust_env=False) as response:
            for line in response.iter_lines():
                if line.startswith("data: "):
                    events.append(line)
                    if len(events) == 1:
                        act()
    except httpx.TransportError as error:
        return {"stream": type(error).__name__}
    last = events[-2:]
    return {"stream": "ended", "last": ["error" if '"error"' in event else event[:13] for event in last]}


def _exit(running: Running) -> Answer:
    return {"exit": running.wait(running.patience)}


def _engine_core(running: Running) -> int:
    """Return the process id of the engine core: vLLM names that process itself."""
    deadline = time.perf_counter() + running.patience / 4
    while time.perf_counter() < deadline:
        listing = subprocess.run(["ps", "-eo", "pid,pgid,args"], capture_output=True, text=True, check=True).stdout
        for line in listing.splitlines():
            if match := re.match(rf"\s*(\d+)\s+{running.process.pid}\s.*EngineCore", line):
                return int(match[1])
    return running.process.pid
