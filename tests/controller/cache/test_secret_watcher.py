"""A change of a Secret wakes the refused adapters that depend on it."""

import asyncio
from collections.abc import Awaitable, Callable

from controller.api.types import ObjectMeta, Secret
from controller.cache.secret_watcher import SecretWatcher
from controller.cache.secrets import SecretCache
from controller.client.interface import Forbidden, Unavailable
from controller.clock import SystemClock
from tests.controller.fake_client import QUIET, FakeClient, FakeServer
from twin.kernel.loop import run

KEYS, OTHER = ("default", "keys"), ("default", "other")


def a_secret(name: str = "keys", value: str = "1") -> Secret:
    return Secret(metadata=ObjectMeta(name=name, namespace="default"), data={"k": value.encode()})


class Scene:
    """A watcher on a small server; `woken`: when each adapter was woken."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.server = FakeServer()
        self.client = FakeClient(self.server)
        self.secrets = SecretCache(self.client, SystemClock())
        self.woken: list[tuple[float, str]] = []
        self.watcher = SecretWatcher(self.client, self.secrets, self._wake, tasks, QUIET)

    def _wake(self, adapter: str) -> None:
        self.woken.append((asyncio.get_running_loop().time(), adapter))

    def watch(self, adapter: str, *secrets: tuple[str, str]) -> None:
        self.watcher.watch(adapter, secrets)


def story(tell: Callable[[Scene], Awaitable[None]]) -> None:
    """Run a story in virtual time."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            scene = Scene(tasks)
            await tell(scene)
            for adapter in ("a", "b"):
                scene.watch(adapter)

    run(main())


def test_only_the_adapters_that_depend_on_it_are_woken() -> None:
    async def tell(scene: Scene) -> None:
        scene.server.put(a_secret())
        scene.secrets.update_version(KEYS, "1")
        scene.watch("a", KEYS)
        scene.watch("b", KEYS, OTHER)
        await asyncio.sleep(60)
        assert scene.woken == [], "the version was known"
        scene.server.put(a_secret(value="2"))
        await asyncio.sleep(1)
        assert scene.woken == [(60, "a"), (60, "b")]
        scene.server.put(a_secret("other"))
        await asyncio.sleep(1)
        assert scene.woken[2:] == [(61, "b")]
        assert scene.client.count("list") == 0

    story(tell)


def test_a_change_between_the_read_and_the_watch_is_noticed() -> None:
    async def tell(scene: Scene) -> None:
        scene.secrets.update_version(KEYS, "1")
        scene.server.put(a_secret())
        scene.server.put(a_secret(value="2"))
        scene.watch("a", KEYS)
        await asyncio.sleep(1)
        assert scene.woken == [(0, "a")]

    story(tell)


def test_deletion_and_creation_each_wake() -> None:
    async def tell(scene: Scene) -> None:
        scene.server.put(a_secret())
        scene.secrets.update_version(KEYS, "1")
        scene.watch("a", KEYS)
        await asyncio.sleep(1)
        scene.server.remove("default/keys")
        await asyncio.sleep(1)
        scene.server.put(a_secret())
        await asyncio.sleep(1)
        assert scene.woken == [(1, "a"), (2, "a")]

    story(tell)


def test_the_watch_ends_with_its_last_adapter() -> None:
    async def tell(scene: Scene) -> None:
        scene.watch("a", KEYS)
        scene.watch("b", KEYS)
        await asyncio.sleep(1)
        scene.watch("a")
        scene.server.put(a_secret())
        await asyncio.sleep(1)
        assert [adapter for _, adapter in scene.woken] == ["b"]
        scene.watch("b")
        scene.server.put(a_secret(value="2"))
        await asyncio.sleep(60)
        assert len(scene.woken) == 1
        assert scene.client.count("watch") == 1

    story(tell)


def test_an_ended_watch_is_restarted_and_misses_nothing() -> None:
    async def tell(scene: Scene) -> None:
        scene.watch("a", KEYS)
        await asyncio.sleep(1)
        scene.server.end_watches()
        await asyncio.sleep(1)
        scene.server.put(a_secret())
        await asyncio.sleep(20)
        assert [adapter for _, adapter in scene.woken] == ["a"]

    story(tell)


def test_without_permission_to_watch_it_polls_every_ten_seconds() -> None:
    async def tell(scene: Scene) -> None:
        scene.client.watch_error = Forbidden("may not watch", code=403)
        scene.watch("a", KEYS)
        await asyncio.sleep(35)
        scene.server.put(a_secret())
        await asyncio.sleep(35)
        assert scene.woken == [(40, "a")]
        assert scene.client.count("get") == 7

    story(tell)


def test_an_unavailable_server_is_tried_again() -> None:
    async def tell(scene: Scene) -> None:
        scene.client.error = Unavailable("away")
        scene.watch("a", KEYS)
        await asyncio.sleep(25)
        scene.client.error = None
        scene.server.put(a_secret())
        await asyncio.sleep(10)
        assert scene.woken == [(30, "a")]

    story(tell)
