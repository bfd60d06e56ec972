"""A Secret that a refused adapter depends on: who hears of its change, and when."""

import asyncio
from collections.abc import Awaitable, Callable

from controller.api.types import ObjectMeta, Secret
from controller.cache.secret_watcher import SecretWatcher
from controller.cache.secrets import SecretCache
from controller.client.interface import Forbidden, Unavailable
from controller.clock import SystemClock
from tests.controller.fake_client import QUIET, FakeCluster, FakeServer
from twin.kernel.loop import run

KEYS, OTHER = ("default", "keys"), ("default", "other")


def a_secret(name: str = "keys", value: str = "1") -> Secret:
    return Secret(metadata=ObjectMeta(name=name, namespace="default"), data={"k": value.encode()})


class Scene:
    """Watches on a server of a few lines; `woken` is who was woken, and when."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.server = FakeServer()
        self.cluster = FakeCluster(self.server)
        self.credentials = SecretCache(self.cluster, SystemClock())
        self.woken: list[tuple[float, str]] = []
        self.watches = SecretWatcher(self.cluster, self.credentials, self._wake, QUIET)
        self._tasks = tasks

    def _wake(self, adapter: str) -> None:
        self.woken.append((asyncio.get_running_loop().time(), adapter))

    def want(self, adapter: str, *places: tuple[str, str]) -> None:
        self.watches.want(adapter, places, self._tasks)


def story(tell: Callable[[Scene], Awaitable[None]]) -> None:
    """Tells it in virtual time."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            scene = Scene(tasks)
            await tell(scene)
            for adapter in ("a", "b"):
                scene.want(adapter)

    run(main())


def test_all_who_depend_on_it_hear_at_once_and_nobody_else() -> None:
    async def tell(scene: Scene) -> None:
        scene.server.put(a_secret())
        scene.credentials.changed(KEYS, "1")
        scene.want("a", KEYS)
        scene.want("b", KEYS, OTHER)
        await asyncio.sleep(60)
        assert scene.woken == [], "what is there was known"
        scene.server.put(a_secret(value="2"))
        await asyncio.sleep(1)
        assert scene.woken == [(60, "a"), (60, "b")]
        scene.server.put(a_secret("other"))
        await asyncio.sleep(1)
        assert scene.woken[2:] == [(61, "b")]
        assert scene.cluster.count("list") == 0

    story(tell)


def test_a_change_between_the_read_and_the_watch_is_heard() -> None:
    async def tell(scene: Scene) -> None:
        scene.credentials.changed(KEYS, "1")
        scene.server.put(a_secret())
        scene.server.put(a_secret(value="2"))
        scene.want("a", KEYS)
        await asyncio.sleep(1)
        assert scene.woken == [(0, "a")]

    story(tell)


def test_one_that_goes_and_comes_back_is_heard_both_times() -> None:
    async def tell(scene: Scene) -> None:
        scene.server.put(a_secret())
        scene.credentials.changed(KEYS, "1")
        scene.want("a", KEYS)
        await asyncio.sleep(1)
        scene.server.remove("default/keys")
        await asyncio.sleep(1)
        scene.server.put(a_secret())
        await asyncio.sleep(1)
        assert scene.woken == [(1, "a"), (2, "a")]

    story(tell)


def test_once_nobody_wants_it_the_watch_ends() -> None:
    async def tell(scene: Scene) -> None:
        scene.want("a", KEYS)
        scene.want("b", KEYS)
        await asyncio.sleep(1)
        scene.want("a")
        scene.server.put(a_secret())
        await asyncio.sleep(1)
        assert [adapter for _, adapter in scene.woken] == ["b"]
        scene.want("b")
        scene.server.put(a_secret(value="2"))
        await asyncio.sleep(60)
        assert len(scene.woken) == 1
        assert scene.cluster.count("watch") == 1

    story(tell)


def test_a_watch_that_ends_is_begun_anew_and_misses_nothing() -> None:
    async def tell(scene: Scene) -> None:
        scene.want("a", KEYS)
        await asyncio.sleep(1)
        scene.server.end_watches()
        await asyncio.sleep(1)
        scene.server.put(a_secret())
        await asyncio.sleep(20)
        assert [adapter for _, adapter in scene.woken] == ["a"]

    story(tell)


def test_who_may_not_watch_looks_every_ten_seconds() -> None:
    async def tell(scene: Scene) -> None:
        scene.cluster.unwatchable = Forbidden("may not watch", code=403)
        scene.want("a", KEYS)
        await asyncio.sleep(35)
        scene.server.put(a_secret())
        await asyncio.sleep(35)
        assert scene.woken == [(40, "a")]
        assert scene.cluster.count("get") == 7

    story(tell)


def test_a_server_that_is_away_is_asked_again() -> None:
    async def tell(scene: Scene) -> None:
        scene.cluster.trouble = Unavailable("away")
        scene.want("a", KEYS)
        await asyncio.sleep(25)
        scene.cluster.trouble = None
        scene.server.put(a_secret())
        await asyncio.sleep(10)
        assert scene.woken == [(30, "a")]

    story(tell)
