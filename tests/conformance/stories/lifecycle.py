"""Life and death of a server: each story needs a server of its own, which it ends."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from tests.conformance.exchange import PROMPT, completion, get, load, unload
from tests.conformance.playing.masking import Masker
from tests.conformance.playing.player import Answer, Player
from tests.conformance.profiles import PROFILES
from tests.conformance.servers.engines import Engine, Running, serving

_LONG = {"model": "base", "prompt": PROMPT, "max_tokens": 400, "ignore_eos": True, "stream": True}


Act = Callable[[Running, Player, Path], list[Answer]]


@dataclass(frozen=True, slots=True)
class Story:
    """Action on a server that was started with `flags` beside the profile's."""

    act: Act
    flags: tuple[str, ...] = ()


def play(engine: Engine, names: Iterable[str], masker: Masker, loras: Path, folder: Path) -> dict[str, Any]:
    """Return what each story showed, step by step."""
    result = {}
    for name in names:
        story = STORIES[name]
        profile = replace(PROFILES["lora"], flags=(*PROFILES["lora"].flags, *story.flags))
        with serving(engine, profile, folder / f"{name}.log") as running:
            result[name] = story.act(running, Player(running.client, str(loras), masker), loras)
    return result


def _sigterm_while_streaming(running: Running, player: Player, loras: Path) -> list[Answer]:
    return [_stream_until(running, lambda: running.process.send_signal(signal.SIGTERM)), _exit(running)]


def _sigterm_while_idle(running: Running, player: Player, loras: Path) -> list[Answer]:
    answers = [player.answer(load())]
    running.process.send_signal(signal.SIGTERM)
    return [*answers, _exit(running)]


def _engine_core_killed(running: Running, player: Player, loras: Path) -> list[Answer]:
    stream = _stream_until(running, lambda: _kill_engine_core(running))
    return [stream, _after_death(player), _exit(running)]


def _engine_core_killed_while_idle(running: Running, player: Player, loras: Path) -> list[Answer]:
    """Send no request: the server still says that it is healthy, and then ends."""
    _kill_engine_core(running)
    return [player.answer(get("/health")), player.answer(get("/v1/models")), _exit(running)]


def _evicted_adapter_deleted(running: Running, player: Player, loras: Path) -> list[Answer]:
    """An adapter that others have pushed out is asked for after its folder has gone."""
    copy = _copy(loras)
    answers = _load_and_evict(player, copy)
    shutil.rmtree(copy)
    return [*answers, player.answer(completion("gone")), _after_death(player), _exit(running)]


def _evicted_adapter_broken(running: Running, player: Player, loras: Path) -> list[Answer]:
    """An adapter that others have pushed out is asked for after its folder has become one that vLLM refuses."""
    copy = _copy(loras)
    answers = _load_and_evict(player, copy)
    _replace(copy, loras / "dora")
    return [*answers, player.answer(completion("gone")), _after_death(player), _exit(running)]


def _evicted_adapter_changed(running: Running, player: Player, loras: Path) -> list[Answer]:
    """An adapter that others have pushed out is asked for after other weights came to its folder."""
    copy = _copy(loras)
    answers = _load_and_evict(player, copy)
    _replace(copy, loras / "l1")
    return [*answers, player.answer(completion("gone")), player.answer(get("/v1/models"))]


def _resident_adapter_deleted(running: Running, player: Player, loras: Path) -> list[Answer]:
    """The folder of an adapter in memory goes: it serves on, until it is loaded again."""
    copy = _copy(loras)
    answers = [player.answer(load("gone", str(copy)))]
    shutil.rmtree(copy)
    steps = (
        completion("gone"),
        load("gone", str(copy), load_inplace=True),
        completion("gone"),
        unload("gone"),
        load("gone", str(copy)),
        get("/health"),
    )
    return [*answers, *(player.answer(step) for step in steps)]


def _in_place_adapter_deleted(running: Running, player: Player, loras: Path) -> list[Answer]:
    """An adapter that was loaded in place is read again at each use."""
    copy = _copy(loras)
    answers = [player.answer(load("gone", str(copy), load_inplace=True)), player.answer(completion("gone"))]
    shutil.rmtree(copy)
    return [*answers, player.answer(completion("gone")), _after_death(player), _exit(running)]


def _in_place_adapter_changed(running: Running, player: Player, loras: Path) -> list[Answer]:
    """Other files come to the folder of an adapter that was loaded in place: good ones first, then refused ones."""
    copy = _copy(loras)
    answers = [player.answer(load("gone", str(copy), load_inplace=True)), player.answer(completion("gone"))]
    _replace(copy, loras / "l1")
    answers.append(player.answer(completion("gone")))
    _replace(copy, loras / "dora")
    return [*answers, player.answer(completion("gone")), _after_death(player), _exit(running)]


STORIES: dict[str, Story] = {
    "sigterm-while-streaming": Story(_sigterm_while_streaming),
    "sigterm-with-timeout": Story(_sigterm_while_streaming, ("--shutdown-timeout", "30")),
    "sigterm-while-idle": Story(_sigterm_while_idle),
    "engine-core-killed": Story(_engine_core_killed),
    "engine-core-killed-while-idle": Story(_engine_core_killed_while_idle),
    "evicted-adapter-deleted": Story(_evicted_adapter_deleted),
    "evicted-adapter-broken": Story(_evicted_adapter_broken),
    "evicted-adapter-changed": Story(_evicted_adapter_changed),
    "resident-adapter-deleted": Story(_resident_adapter_deleted),
    "in-place-adapter-deleted": Story(_in_place_adapter_deleted),
    "in-place-adapter-changed": Story(_in_place_adapter_changed),
}


def _load_and_evict(player: Player, folder: Path) -> list[Answer]:
    """Load an adapter from `folder`, and enough others to evict it."""
    steps = [load("gone", str(folder)), *(load(f"x{number}", f"<loras>/l{number}") for number in range(5))]
    return [player.answer(step) for step in steps]


def _replace(folder: Path, by: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(by, folder)


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


def _after_death(player: Player) -> Answer:
    """Return how the next request fails: the engine's error and a refused connection are the same here.

    The port closes a tenth of a second after the first error, so that which of them comes is chance. Old releases send
    the error with status 200.
    """
    answer = player.answer(completion())
    dead = "error" in answer or "error" in answer.get("json", {})
    return {"next request": "fails" if dead else answer}


def _exit(running: Running) -> Answer:
    return {"exit": running.wait(running.patience)}


def _kill_engine_core(running: Running) -> None:
    """Kill the engine core; the fake has no such process, and crashes it by a fault."""
    if running.admin_url:
        httpx.post(f"{running.admin_url}/_faults", json={"kind": "engine-core-crash"}, trust_env=False)
    else:
        os.kill(_engine_core(running.process.pid), signal.SIGKILL)


def _engine_core(server: int) -> int:
    """Return the process id of the engine core: the server's own child, beside a resource tracker of Python's.

    Raises:
        RuntimeError: if there is not exactly one.
    """
    listing = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listing.splitlines()[1:]]
    children = [int(pid) for pid, parent, args in rows if parent == str(server) and "resource_tracker" not in args]
    if len(children) != 1:
        raise RuntimeError(f"server {server} has {len(children)} children that may be its engine core, not one")
    return children[0]
