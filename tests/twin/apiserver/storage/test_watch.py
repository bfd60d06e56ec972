"""Lists in pages, and watches: start versions, selectors, compaction."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.apiserver import ApiError, Change, Store, Watch
from twin.apiserver.storage.watch import BOOKMARK_EVERY, WINDOW
from twin.kernel.loop import run


def config_map(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", "labels": labels}}


def names(items: list[dict[str, Any]]) -> list[str]:
    return [obj["metadata"]["name"] for obj in items]


def types_and_names(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.type, change.object["metadata"]["name"]) for change in changes]


def write(store: Store, name: str, action: int) -> None:
    """Create, relabel or delete `name`."""
    exists = name in names(store.list("configmaps").items)
    if action == 0 and exists:
        store.delete("configmaps", "default", name)
    elif exists:
        store.patch("configmaps", "default", name, {"metadata": {"labels": {"v": str(action)}}})
    elif action:
        store.create("configmaps", config_map(name, v=str(action)))


WRITES = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 3)), max_size=25)


def fresh() -> Store:
    return Store(lambda: datetime(2026, 1, 1, tzinfo=UTC), lambda: "00000")


def replayed(watch: Watch, state: dict[str, Any]) -> dict[str, Any]:
    """Return `state` after all changes of `watch`."""
    for change in watch.take():
        name = change.object["metadata"]["name"]
        assert (change.type == "ADDED") == (name not in state)
        if change.type == "DELETED":
            del state[name]
        else:
            state[name] = change.object
    return state


@given(WRITES, WRITES, st.sampled_from(["", "v=1", "v!=2", "v in (1,2)"]))
@settings(deadline=None, max_examples=60)
def test_a_list_and_a_watch_from_it_make_the_present_state(before: list[Any], after: list[Any], selector: str) -> None:
    store = fresh()
    for name, action in before:
        write(store, name, action)
    listing = store.list("configmaps", label_selector=selector)
    for name, action in after:
        write(store, name, action)
    watch = store.watch("configmaps", resource_version=listing.resource_version, label_selector=selector)
    state = replayed(watch, dict(zip(names(listing.items), listing.items, strict=True)))
    now = store.list("configmaps", label_selector=selector).items
    assert {name: state[name] for name in sorted(state)} == dict(zip(names(now), now, strict=True))


@given(WRITES, WRITES, st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_pages_show_the_state_of_the_first_one(before: list[Any], after: list[Any], limit: int) -> None:
    store = fresh()
    for name, action in before:
        write(store, name, action)
    whole = store.list("configmaps")
    page = store.list("configmaps", limit=limit)
    items = list(page.items)
    for name, action in after:
        write(store, name, action)
    while page.continue_token:
        assert len(page.items) == limit
        page = store.list("configmaps", limit=limit, continue_token=page.continue_token)
        items += page.items
    assert items == whole.items
    assert page.resource_version == whole.resource_version


def test_a_page_from_before_a_compaction_is_gone(store: Store) -> None:
    for name in "abc":
        store.create("configmaps", config_map(name))
    token = store.list("configmaps", limit=1).continue_token
    store.create("configmaps", config_map("d"))
    store.compact()
    with pytest.raises(ApiError, match="The provided continue parameter is too old") as refused:
        store.list("configmaps", limit=1, continue_token=token)
    assert refused.value.code == 410


@pytest.mark.parametrize("token", ["x", "bm8=", "eyJ2IjoxfQ=="])
def test_a_page_token_of_another_origin_is_refused(store: Store, token: str) -> None:
    with pytest.raises(ApiError, match="continue key is not valid"):
        store.list("configmaps", continue_token=token)


def test_lists_are_sorted_by_namespace_and_name(store: Store) -> None:
    for namespace, name in [("kube-system", "a"), ("default", "z"), ("default", "b")]:
        store.create("configmaps", {"metadata": {"name": name, "namespace": namespace}})
    assert names(store.list("configmaps").items) == ["b", "z", "a"]
    assert names(store.list("configmaps", namespace="kube-system").items) == ["a"]


def test_pods_are_found_by_their_node(store: Store, a_pod: Any) -> None:
    store.create("pods", a_pod("here", nodeName="n1"))
    store.create("pods", a_pod("there", nodeName="n2"))
    store.create("pods", a_pod("nowhere"))
    assert names(store.list("pods", field_selector="spec.nodeName=n1").items) == ["here"]
    assert names(store.list("pods", field_selector="spec.nodeName=").items) == ["nowhere"]
    assert names(store.list("pods", field_selector="spec.nodeName!=n1,metadata.name!=there").items) == ["nowhere"]


@pytest.mark.parametrize("version", ["", "0"])
def test_a_watch_without_a_version_starts_with_the_current_objects(store: Store, version: str) -> None:
    store.create("configmaps", config_map("a"))
    watch = store.watch("configmaps", resource_version=version)
    store.create("configmaps", config_map("b"))
    assert types_and_names(watch.take()) == [("ADDED", "a"), ("ADDED", "b")]


def test_through_a_selector_leaving_is_deleted_and_entering_is_added(store: Store) -> None:
    watch = store.watch("configmaps", resource_version=store.resource_version, label_selector="on=yes")
    store.create("configmaps", config_map("a"))
    for value in ("yes", "no", "yes"):
        store.patch("configmaps", "default", "a", {"metadata": {"labels": {"on": value}}})
    store.delete("configmaps", "default", "a")
    changes = watch.take()
    assert [change.type for change in changes] == ["ADDED", "DELETED", "ADDED", "DELETED"]
    assert changes[1].object["metadata"]["labels"] == {"on": "yes"}
    versions = [int(change.object["metadata"]["resourceVersion"]) for change in changes]
    assert versions == sorted(set(versions))


def test_a_watch_from_before_a_compaction_gets_410(store: Store) -> None:
    version = store.resource_version
    established = store.watch("configmaps", resource_version=version)
    store.create("configmaps", config_map("a"))
    assert types_and_names(established.take()) == [("ADDED", "a")]
    store.compact()
    with pytest.raises(ApiError) as refused:
        store.watch("configmaps", resource_version=version).take()
    assert (refused.value.code, refused.value.reason) == (410, "Expired")
    store.create("configmaps", config_map("b"))
    assert types_and_names(established.take()) == [("ADDED", "b")]


def test_a_watch_that_falls_out_of_the_window_gets_410(store: Store) -> None:
    slow = store.watch("configmaps", resource_version=store.resource_version)
    store.create("configmaps", config_map("a"))
    for number in range(WINDOW + WINDOW // 10):
        store.patch("configmaps", "default", "a", {"metadata": {"labels": {"n": str(number)}}})
    with pytest.raises(ApiError, match="too old resource version"):
        slow.take()


def test_a_version_from_the_future_is_refused(store: Store) -> None:
    with pytest.raises(ApiError, match="Too large resource version") as refused:
        store.watch("configmaps", resource_version="999999")
    assert refused.value.retry_after == 1.0


def test_a_watch_without_matching_changes_gets_bookmarks(store: Store) -> None:
    watch = store.watch("configmaps", resource_version=store.resource_version, label_selector="x", bookmarks=True)
    store.create("configmaps", config_map("a"))
    for number in range(BOOKMARK_EVERY):
        store.patch("configmaps", "default", "a", {"metadata": {"labels": {"n": str(number)}}})
    (bookmark,) = watch.take()
    assert bookmark.type == "BOOKMARK"
    assert bookmark.object["metadata"]["resourceVersion"] == store.resource_version


def test_a_quiet_watch_gets_a_bookmark_every_minute_if_it_asks_for_them(store: Store) -> None:
    times: dict[bool, list[float]] = {}

    async def listen(bookmarks: bool) -> None:
        watch = store.watch("configmaps", resource_version=store.resource_version, bookmarks=bookmarks)
        times[bookmarks] = []
        async for change in watch:
            assert change.type == "BOOKMARK"
            times[bookmarks].append(asyncio.get_running_loop().time())

    async def main() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(200):
                await asyncio.gather(listen(True), listen(False))

    run(main())
    assert times == {True: [60, 120, 180], False: []}


async def _next_names(watch: Watch, count: int) -> list[str]:
    return [(await anext(watch)).object["metadata"]["name"] for _ in range(count)]


def test_a_waiting_watch_wakes_at_the_next_write(store: Store) -> None:
    async def story() -> list[str]:
        watch = store.watch("configmaps")
        reader = asyncio.create_task(_next_names(watch, 3))
        await asyncio.sleep(0)
        for name in "abc":
            store.create("configmaps", config_map(name))
        return await reader

    assert asyncio.run(story()) == ["a", "b", "c"]


def test_closing_a_watch_ends_the_loop_that_reads_it(store: Store) -> None:
    async def story() -> list[Change]:
        watch = store.watch("configmaps")

        async def read() -> list[Change]:
            return [change async for change in watch]

        reader = asyncio.create_task(read())
        await asyncio.sleep(0)
        watch.close()
        assert await watch.batch() == []
        return await reader

    assert asyncio.run(story()) == []


def test_a_watch_can_be_made_to_fail(store: Store) -> None:
    async def story() -> None:
        watch = store.watch("configmaps")
        reader = asyncio.create_task(watch.batch())
        await asyncio.sleep(0)
        watch.fail(ApiError(500, "InternalError", "etcd leader changed"))
        with pytest.raises(ApiError, match="etcd leader changed"):
            await reader

    asyncio.run(story())
