"""The weights behind the fake's answers are those that a real vLLM of each recorded release answered with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from fake_vllm.cli.artifact_digest import digest_of
from fake_vllm.distributions import Constant
from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.context import EngineContext, Randomness
from fake_vllm.engine.engine import Artifact, Engine
from fake_vllm.engine.timing import DEFAULT_TIMING, EngineTimes
from fake_vllm.flavors import flavor_of
from fake_vllm.router import Request, Stream, handle
from formats.engine_command import ServerArgs
from tests.conformance.adapters.artifacts import make_all
from tests.conformance.recording_files import RecordingError
from tests.conformance.stories import prefix_cache
from tests.conformance.stories.prefix_cache import OTHER, Outcome, Step


class _InProcess(httpx.BaseTransport):
    """A fake engine that advances only while it is asked, so that an open stream goes on between requests."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._runner = asyncio.Runner()
        self._engine = engine()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        sent = Request(request.method, request.url.path, headers, body, request.url.query.decode())
        answer = self._runner.run(handle(self._engine, sent))
        if isinstance(answer, Stream):
            return httpx.Response(answer.status, headers=dict(answer.headers), stream=_Chunks(answer, self._runner))
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body)

    def close(self) -> None:
        self._engine.close()
        self._runner.close()


class _Chunks(httpx.SyncByteStream):
    def __init__(self, stream: Stream, runner: asyncio.Runner) -> None:
        self._chunks: AsyncIterator[bytes] = stream.chunks
        self._runner = runner

    def __iter__(self) -> Iterator[bytes]:
        with contextlib.suppress(StopAsyncIteration):
            while True:
                yield self._runner.run(self._next())

    def close(self) -> None:
        self._runner.run(self._end())

    async def _next(self) -> bytes:
        return await anext(self._chunks)

    async def _end(self) -> None:
        await self._chunks.aclose()  # type: ignore[attr-defined]


def _engine(version: str) -> Engine:
    config = EngineConfig(
        served_model_names=("base",),
        enable_lora=True,
        max_loras=2,
        runtime_updating=True,
        server=ServerArgs(development=True),
        max_model_len=512,
        version=version,
    )
    times = EngineTimes(Constant(0.0), Constant(0.0), DEFAULT_TIMING)
    context = EngineContext(find_artifact=lambda path: Artifact(size=1, digest=digest_of(Path(path))))
    return Engine(config, flavor_of(config), times, Randomness(np.random.default_rng(0)), context)


@pytest.mark.parametrize("version", prefix_cache.FILES.versions())
def test_answers_come_from_the_weights_that_the_real_server_answered_with(version: str, tmp_path: Path) -> None:
    loras = tmp_path / "loras"
    make_all(loras)
    with httpx.Client(transport=_InProcess(lambda: _engine(version)), base_url="http://engine") as client:
        played = prefix_cache.play_to(client, loras, tmp_path)
    recorded = prefix_cache.read(version)
    assert played == recorded


def test_every_recorded_release_mixes_weights_if_files_change_behind_a_path() -> None:
    assert len(prefix_cache.FILES.versions()) >= 4
    for version in prefix_cache.FILES.versions():
        recorded = prefix_cache.read(version)
        assert recorded["same-path-other-files"][1] == Outcome(OTHER, cached=True)
        assert recorded["same-path-other-files-reset"][1] == Outcome("l1", cached=False)
        assert recorded["reset-beside-a-stream"][1] == Outcome(OTHER, cached=True)
        assert recorded["reset-running-beside-a-stream"][1] == Outcome("l1", cached=False)


def test_a_recording_of_another_version_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_cache, "FILES", replace(prefix_cache.FILES, folder=tmp_path))
    prefix_cache.write("0.28.0", {"story": [Outcome("l0", cached=False)]})
    prefix_cache.FILES.path("0.28.0").rename(prefix_cache.FILES.path("0.29.0"))
    with pytest.raises(RecordingError, match=r"weights-0\.29\.0\.json"):
        prefix_cache.read("0.29.0")


def test_a_recording_that_lacks_a_story_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = prefix_cache.read("0.32.0")
    monkeypatch.setattr(prefix_cache, "FILES", replace(prefix_cache.FILES, folder=tmp_path))
    del recorded["other-path"]
    prefix_cache.write("0.32.0", recorded)
    with pytest.raises(RecordingError, match=r"weights-0\.32\.0\.json is damaged at other-path"):
        prefix_cache.read("0.32.0")


def test_each_story_asks_something() -> None:
    assert all(any(step.act.startswith("ask") for step in steps) for steps in prefix_cache.STORIES.values())
    assert Step("reset") in prefix_cache.STORIES["same-path-other-files-reset"]
