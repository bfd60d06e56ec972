"""The cache follows the API server, whatever happens to the watch."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api.types import PODS, ObjectMeta, Pod
from controller.client.interface import Unavailable
from controller.runtime.informer import Informer
from tests.controller.fake_client import QUIET, FakeClient, FakeServer
from twin.kernel.loop import run

AWAY = Unavailable("connection refused")


def a_pod(name: str, **labels: str) -> Pod:
    return Pod(metadata=ObjectMeta(name=name, namespace="default", labels=labels))


class Scene:
    """A server, its informer, and the recorded calls of the handler."""

    def __init__(self, resync: float = 0.0) -> None:
        self.server = FakeServer()
        self.client = FakeClient(self.server)
        self.informer: Informer[Pod] = Informer(self.client, PODS, QUIET, resync=resync)
        self.changes: list[tuple[Pod | None, Pod | None]] = []
        self.informer.on_change(lambda old, new: self.changes.append((old, new)))

    def names(self) -> list[str]:
        return sorted(pod.metadata.name for pod in self.informer)

    def lists(self) -> int:
        return self.client.count("list")


def story(tell: Callable[[Scene], Awaitable[None]], **options: Any) -> None:
    """Run a story with a running informer in virtual time."""

    async def main() -> None:
        scene = Scene(**options)
        following = asyncio.create_task(scene.informer.run())
        await tell(scene)
        assert not following.done()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    run(main())


def test_what_is_there_is_listed_and_what_changes_is_followed() -> None:
    async def tell(scene: Scene) -> None:
        scene.server.put(a_pod("a"))
        await scene.informer.wait_for_sync()
        assert scene.names() == ["a"]
        scene.server.put(a_pod("b"))
        scene.server.put(a_pod("a", color="red"))
        scene.server.remove("default/b")
        await asyncio.sleep(0.1)
        assert scene.names() == ["a"]
        assert scene.informer.get("default/a").metadata.labels == {"color": "red"}
        assert [(old is None, new is None) for old, new in scene.changes] == [
            (True, False),
            (True, False),
            (False, False),
            (False, True),
        ]

    story(tell)


def test_a_watch_that_ends_goes_on_from_where_it_was_without_a_list() -> None:
    async def tell(scene: Scene) -> None:
        scene.server.put(a_pod("a"))
        await asyncio.sleep(10)
        scene.server.end_watches()
        scene.server.put(a_pod("b"))
        await asyncio.sleep(1)
        assert scene.names() == ["a", "b"]
        assert scene.lists() == 1

    story(tell)


def test_a_version_that_is_too_old_is_answered_with_a_list_at_once() -> None:
    async def tell(scene: Scene) -> None:
        scene.server.put(a_pod("a"))
        scene.server.put(a_pod("b"))
        await asyncio.sleep(10)
        scene.server.remove("default/a")
        scene.server.put(a_pod("c"))
        scene.server.compact()
        scene.server.put(a_pod("d"))
        await asyncio.sleep(0.1)
        assert scene.names() == ["b", "c", "d"]
        assert scene.lists() == 2
        assert ("a", None) in [(old.metadata.name, new) for old, new in scene.changes if old is not None]

    story(tell)


def test_a_server_that_was_restored_from_a_backup_is_listed_and_its_lower_versions_are_accepted() -> None:
    async def tell(scene: Scene) -> None:
        kept = scene.server.put(a_pod("kept"))
        removed = scene.server.put(a_pod("removed"))
        await asyncio.sleep(10)
        backup = scene.server.version, dict(scene.server.objects)
        scene.server.put(a_pod("kept", color="red"))
        scene.server.remove("default/removed")
        scene.server.put(a_pod("lost"))
        await asyncio.sleep(10)
        assert scene.names() == ["kept", "lost"]
        scene.server.restore(*backup)
        await asyncio.sleep(1)
        assert {pod.metadata.name: pod for pod in scene.informer} == {"kept": kept, "removed": removed}
        scene.server.put(a_pod("kept", color="blue"))
        await asyncio.sleep(1)
        assert scene.informer.get("default/kept").metadata.labels == {"color": "blue"}
        assert scene.lists() == 2
        stored = scene.server.put(a_pod("kept", color="green"))
        scene.informer.apply_local(stored)
        assert scene.informer.get("default/kept") is stored

    story(tell)


def test_a_quiet_kind_is_listed_again_when_another_one_noticed_that_versions_went_back() -> None:
    """Its last version may be lower than the restored server's, and is that of other objects all the same."""

    async def tell(scene: Scene) -> None:
        noticed: list[str] = []
        scene.informer.on_restored(lambda: noticed.append("too large"))
        old = scene.server.put(a_pod("a", color="old"))
        await asyncio.sleep(10)
        new = msgspec.structs.replace(old, metadata=msgspec.structs.replace(old.metadata, labels={"color": "new"}))
        scene.server.objects["default/a"] = new
        scene.informer.relist()
        await asyncio.sleep(1)
        assert list(scene.informer) == [new]
        assert (scene.lists(), noticed) == (2, [])
        scene.server.restore(0, {})
        await asyncio.sleep(1)
        assert (scene.names(), noticed) == ([], ["too large"])

    story(tell)


def test_a_second_relist_while_the_watch_is_closed_changes_nothing() -> None:
    async def tell(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.informer.relist()
        await asyncio.sleep(0)
        scene.informer.relist()
        await asyncio.sleep(1)
        assert scene.lists() == 2

    story(tell)


def test_a_bookmark_saves_the_list_after_old_versions_are_forgotten() -> None:
    async def tell(scene: Scene) -> None:
        scene.server.put(a_pod("a"))
        await asyncio.sleep(10)
        scene.server.bookmark()
        await asyncio.sleep(1)
        scene.server.compact()
        scene.server.end_watches()
        scene.server.put(a_pod("b"))
        await asyncio.sleep(5)
        assert scene.names() == ["a", "b"]
        assert scene.lists() == 1

    story(tell)


def test_a_silent_watch_is_given_up_after_two_and_a_half_bookmarks_and_everything_is_listed() -> None:
    async def tell(scene: Scene) -> None:
        await scene.informer.wait_for_sync()
        scene.client.silent = True
        scene.server.put(a_pod("a"))
        await asyncio.sleep(149)
        assert (scene.names(), scene.lists()) == ([], 1)
        await asyncio.sleep(2)
        assert (scene.names(), scene.lists()) == (["a"], 2)
        scene.server.put(a_pod("b"))
        await asyncio.sleep(151)
        assert (scene.names(), scene.lists()) == (["a", "b"], 3)

    story(tell)


def test_a_watch_that_brings_only_bookmarks_is_kept() -> None:
    async def tell(scene: Scene) -> None:
        for _ in range(10):
            await asyncio.sleep(60)
            scene.server.bookmark()
        assert scene.lists() == 1

    story(tell)


def test_an_unavailable_server_is_polled_with_backoff_and_then_caught_up_with() -> None:
    async def tell(scene: Scene) -> None:
        scene.client.error = AWAY
        await asyncio.sleep(200)
        times = [at for at, _ in scene.client.requests]
        waits = [after - before for before, after in pairwise(times)]
        assert waits[:7] == [0.5, 1, 2, 4, 8, 16, 30]
        assert set(waits[6:]) == {30}
        scene.server.put(a_pod("a"))
        scene.client.error = None
        await asyncio.sleep(30)
        assert scene.names() == ["a"]

    story(tell)


def test_a_server_that_is_slow_to_refuse_is_polled_with_backoff_too() -> None:
    async def tell(scene: Scene) -> None:
        scene.client.error, scene.client.latency = AWAY, 4.0
        await asyncio.sleep(200)
        times = [at for at, _ in scene.client.requests]
        refused_after = scene.client.latency / 2
        waits = [after - before - refused_after for before, after in pairwise(times)]
        assert waits[:7] == [0.5, 1, 2, 4, 8, 16, 30]

    story(tell)


def test_the_wait_is_short_again_after_a_watch_that_brought_something() -> None:
    async def tell(scene: Scene) -> None:
        scene.client.error = AWAY
        await asyncio.sleep(20)
        scene.client.error = None
        await asyncio.sleep(60)
        scene.client.requests.clear()
        scene.client.error = AWAY
        scene.server.bookmark()
        await asyncio.sleep(1)
        scene.client.error = None
        first = scene.client.requests[0][0]
        await asyncio.sleep(2)
        assert [round(at - first, 3) for at, _ in scene.client.requests] == [0, 1]

    story(tell)


def test_a_server_that_asks_for_time_gets_it() -> None:
    async def tell(scene: Scene) -> None:
        scene.client.error = Unavailable("too many requests", code=429, retry_after=17)
        await asyncio.sleep(40)
        assert [at for at, _ in scene.client.requests] == [0, 17, 34]

    story(tell)


def test_a_watch_that_ends_at_once_each_time_is_not_asked_in_a_hot_loop() -> None:
    async def tell(scene: Scene) -> None:
        scene.client.ends_at_once = True
        await asyncio.sleep(60)
        assert scene.client.count("watch") < 10

    story(tell)


def test_a_server_that_calls_its_own_list_too_old_is_not_asked_in_a_hot_loop() -> None:
    async def tell(scene: Scene) -> None:
        scene.server.compacted = 10**9
        await asyncio.sleep(60)
        assert 1 < scene.lists() < 10

    story(tell)


def test_an_own_write_is_visible_before_its_watch_event_which_is_then_ignored() -> None:
    async def tell(scene: Scene) -> None:
        scene.server.put(a_pod("a"))
        await asyncio.sleep(1)
        stored = scene.server.put(a_pod("a", color="red"))
        scene.informer.apply_local(stored)
        assert scene.informer.get("default/a") is stored
        await asyncio.sleep(1)
        assert len(scene.changes) == 2

    story(tell)


def test_a_late_answer_to_a_write_does_not_bring_a_deleted_object_back() -> None:
    async def tell(scene: Scene) -> None:
        stored = scene.server.put(a_pod("a"))
        await asyncio.sleep(1)
        scene.server.remove("default/a")
        await asyncio.sleep(1)
        scene.informer.apply_local(stored)
        assert scene.names() == []
        scene.server.put(a_pod("a"))
        await asyncio.sleep(1)
        assert scene.names() == ["a"], "but one of that name that was made since is another"

    story(tell)


def test_a_resync_shows_every_object_again() -> None:
    async def tell(scene: Scene) -> None:
        scene.server.put(a_pod("a"))
        scene.server.put(a_pod("b"))
        await asyncio.sleep(10)
        assert len(scene.changes) == 2
        await asyncio.sleep(291)
        assert [old is new for old, new in scene.changes[2:]] == [True, True]

    story(tell, resync=300)


Step = Callable[[Scene], Coroutine[Any, Any, None]]


def _step(act: Callable[[Scene, str, float], object]) -> st.SearchStrategy[Step]:
    def build(name: str, seconds: float) -> Step:
        async def step(scene: Scene) -> None:
            act(scene, name, seconds)
            await asyncio.sleep(seconds)

        return step

    return st.builds(build, st.sampled_from("abc"), st.sampled_from([0.0, 0.01, 0.7, 3.0]))


def _write(scene: Scene, name: str, _: float) -> None:
    scene.server.put(a_pod(name))


def _write_and_hear_of_it_first(scene: Scene, name: str, _: float) -> None:
    scene.informer.apply_local(scene.server.put(a_pod(name)))


def _delete(scene: Scene, name: str, _: float) -> None:
    if f"default/{name}" in scene.server.objects:
        scene.server.remove(f"default/{name}")


async def _restore(scene: Scene) -> None:
    """Undo the last two writes of a server that can be reached; the informer notices each of them, and that."""
    if scene.client.error is not None:
        return
    await asyncio.sleep(31)
    objects: dict[str, Any] = {}
    version = max(scene.server.version - 2, 0)
    for at, event in scene.server.log:
        if at <= version and event.type != "BOOKMARK":
            objects[event.object.key] = event.object
            if event.type == "DELETED":
                del objects[event.object.key]
    scene.server.restore(version, objects)
    await asyncio.sleep(31)


def _away(scene: Scene, *_: object) -> None:
    scene.client.error = AWAY
    scene.server.end_watches()


def _back(scene: Scene, *_: object) -> None:
    scene.client.error = None


steps = st.one_of(
    *map(
        _step,
        (
            _write,
            _write_and_hear_of_it_first,
            _delete,
            _away,
            _back,
            lambda scene, *_: scene.server.end_watches(),
            lambda scene, *_: scene.server.compact(),
            lambda scene, *_: scene.server.bookmark(),
        ),
    ),
    st.just(_restore),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=25))
def test_the_cache_always_ends_equal_to_the_server_and_handlers_see_each_change(todo: list[Step]) -> None:
    async def tell(scene: Scene) -> None:
        for step in todo:
            await step(scene)
        scene.client.error = None
        await asyncio.sleep(61)
        assert {pod.key: pod for pod in scene.informer} == scene.server.objects
        replayed: dict[str, Pod] = {}
        for old, new in scene.changes:
            assert old == replayed.get((old or new).key)
            if new is None:
                del replayed[old.key]
            else:
                replayed[new.key] = new
        assert replayed == scene.server.objects

    story(tell)
