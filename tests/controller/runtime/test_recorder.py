"""Kubernetes Events: one object for repeats, written in the background."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from controller.api.types import Event
from controller.client.interface import Forbidden, Unavailable
from controller.runtime.recorder import EventRecorder
from tests.controller.builders import an_adapter
from tests.controller.fake_client import QUIET, FakeClient, FakeServer
from twin.kernel.loop import run


class _Clock:
    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


class Scene:
    """A server, a client of it, and recorders on that client."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.client = FakeClient(self.server)
        self.recorder = self.another()

    def another(self) -> EventRecorder:
        return EventRecorder(self.client, _Clock(), "lora-controller-0", QUIET)

    def play(self, story: Callable[[], Awaitable[None]]) -> list[Event]:
        """Run a story while the recorder writes; return the Events at the end."""

        async def body() -> None:
            writing = asyncio.ensure_future(self.recorder.run())
            await story()
            await self.recorder.flush()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

        run(body())
        return list(self.server.objects.values())


def test_repeats_are_counted_on_one_event() -> None:
    scene = Scene()

    async def story() -> None:
        for _ in range(3):
            scene.recorder.event(an_adapter(), "Warning", "LoadFailed", "no")
        scene.recorder.event(an_adapter(), "Normal", "Loaded", "yes")

    refused, loaded = scene.play(story)
    assert (refused.reason, refused.note, refused.type) == ("LoadFailed", "no", "Warning")
    assert refused.series is not None
    assert refused.series.count == 3
    assert (loaded.reason, loaded.series) == ("Loaded", None)
    assert (refused.regarding.kind, refused.regarding.name, refused.regarding.uid) == ("ModelAdapter", "sql", "uid-sql")


def test_a_restarted_operator_counts_on() -> None:
    scene = Scene()

    async def story() -> None:
        scene.recorder.event(an_adapter(), "Warning", "LoadFailed", "no")

    scene.play(story)
    scene.recorder = scene.another()
    (event,) = scene.play(story)
    assert event.series is not None
    assert event.series.count == 2


def test_a_note_is_no_longer_than_an_api_server_takes() -> None:
    scene = Scene()

    async def story() -> None:
        scene.recorder.event(an_adapter(), "Warning", "LoadFailed", "ü" * 2000)

    (event,) = scene.play(story)
    assert len(event.note.encode()) == 1024


def test_one_that_cannot_be_written_is_dropped_and_the_next_one_is_written() -> None:
    scene = Scene()

    async def story() -> None:
        scene.client.error = Unavailable("away")
        scene.recorder.event(an_adapter(), "Warning", "LoadFailed", "lost")
        await scene.recorder.flush()
        scene.client.error = None
        scene.recorder.event(an_adapter(), "Normal", "Loaded", "kept")

    assert [event.note for event in scene.play(story)] == ["kept"]


def test_a_count_that_could_not_be_read_after_a_restart_is_read_again() -> None:
    scene = Scene()

    async def repeat() -> None:
        for _ in range(3):
            scene.recorder.event(an_adapter(), "Warning", "LoadFailed", "no")

    scene.play(repeat)
    scene.recorder = scene.another()
    get = scene.client.get

    async def forbidden(*_: object) -> object:
        raise Forbidden("cannot get events")

    async def story() -> None:
        scene.client.get = forbidden  # type: ignore[assignment, method-assign]
        scene.recorder.event(an_adapter(), "Warning", "LoadFailed", "no")
        await scene.recorder.flush()
        scene.client.get = get  # type: ignore[method-assign]
        scene.recorder.event(an_adapter(), "Warning", "LoadFailed", "no")

    (event,) = scene.play(story)
    assert event.series is not None
    assert event.series.count == 4
