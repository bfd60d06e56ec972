"""Each fault of the API server has its documented effect on clients, and no other."""

import asyncio

import pytest

from controller.api.types import LEASES, NODES, Lease, LeaseSpec, Node, ObjectMeta
from controller.client.interface import Conflict, Expired, Unavailable
from tests.twin.faults.conftest import LATENCY, Server

A_NODE = Node(metadata=ObjectMeta(name="new"))


async def patched(server: Server, name: str = "one") -> None:
    await server.cluster.patch(NODES, "", name, {"metadata": {"labels": {"by": "me"}}})


def test_an_error_is_the_answer_and_nothing_is_written(server: Server) -> None:
    async def story() -> None:
        server.faults.add(0, server.rule(503))
        with pytest.raises(Unavailable) as refused:
            await server.cluster.create(NODES, A_NODE)
        assert refused.value.code == 503

    server.play(story)
    assert list(server.store.list("nodes").items) == []
    assert server.writes == [("create", 503)]


def test_a_lost_answer_hides_a_write_that_was_done(server: Server) -> None:
    async def story() -> None:
        server.faults.add(0, server.rule(500, after=True))
        with pytest.raises(Unavailable):
            await server.cluster.create(NODES, A_NODE)

    server.play(story)
    assert [node["metadata"]["name"] for node in server.store.list("nodes").items] == ["new"]


def test_a_lost_answer_of_a_write_that_is_refused_anyway_is_the_refusal(server: Server) -> None:
    async def story() -> None:
        server.node("one")
        version = server.store.resource_version
        server.label("one", "changed")
        server.faults.add(0, server.rule(500, after=True))
        with pytest.raises(Conflict):
            await server.cluster.patch(NODES, "", "one", {}, resource_version=version)

    server.play(story)


def test_a_conflict_hits_writes_alone(server: Server) -> None:
    async def story() -> None:
        server.node("one")
        server.faults.add(0, server.rule(409, verbs=frozenset({"patch"})))
        with pytest.raises(Conflict):
            await patched(server)
        assert await server.names() == ["one"]
        await server.cluster.create(NODES, A_NODE)

    server.play(story)


def test_throttling_returns_retry_after_and_is_counted(server: Server) -> None:
    async def story() -> None:
        server.node("one")
        server.faults.add(0, server.rule(429, retry_after=3.0))
        for ask in (server.names, lambda: patched(server)):
            with pytest.raises(Unavailable) as refused:
                await ask()
            assert (refused.value.code, refused.value.retry_after) == (429, 3.0)

    server.play(story)
    server.recorder.close()
    counts = server.recorder.lines[-1].counts  # type: ignore[union-attr]
    assert counts["api.throttled"] == 2


def test_a_fault_of_some_resources_spares_the_others(server: Server) -> None:
    async def story() -> None:
        server.node("one")
        server.faults.add(0, server.rule(500, resources=frozenset({"pods"})))
        await patched(server)

    server.play(story)


def test_when_a_fault_is_over_all_is_as_before(server: Server) -> None:
    async def story() -> None:
        server.node("one")
        for end in (
            server.faults.add(0, server.rule(500)),
            server.faults.slow_down(1, 50),
            server.faults.break_watches(2),
            server.faults.drop_lease_responses("first"),
        ):
            end()
        started = server.env.now
        await patched(server)
        assert server.env.now - started == pytest.approx(LATENCY)
        listening = asyncio.ensure_future(server.listen())
        await asyncio.sleep(1)
        assert not listening.done()

    server.play(story)


def test_a_chancy_fault_hits_its_share(server: Server) -> None:
    async def story() -> int:
        server.node("one")
        server.faults.add(0, server.rule(500, probability=0.3))
        hit = 0
        for _ in range(300):
            try:
                await patched(server)
            except Unavailable:
                hit += 1
        return hit

    assert 60 < server.play(story) < 120


def test_a_slow_server_takes_so_many_times_as_long_for_requests_and_news(server: Server) -> None:
    async def story() -> None:
        server.faults.slow_down(0, 10)
        listening = asyncio.ensure_future(server.listen())
        await asyncio.sleep(0)
        await server.names()
        assert server.env.now == pytest.approx(10 * LATENCY)
        server.node("one")
        await asyncio.sleep(1)
        assert not listening.done()

    server.play(story)
    assert server.news == [(0.15, "ADDED", "one")]  # half of the way there and back


def test_dropped_watches_break_off_and_none_can_be_opened_until_it_ends(server: Server) -> None:
    async def story() -> None:
        listening = asyncio.ensure_future(server.listen())
        await asyncio.sleep(1)
        end = server.faults.break_watches(0)
        await asyncio.sleep(1)
        version = server.store.resource_version
        server.node("unseen")
        with pytest.raises(Unavailable):
            await listening
        with pytest.raises(Unavailable):
            await server.listen(version)
        assert await server.names() == ["unseen"]
        end()
        again = asyncio.ensure_future(server.listen(version))
        await asyncio.sleep(1)
        assert not again.done()

    server.play(story)
    assert [name for _, _, name in server.news] == ["unseen"], "nothing is lost: the watch goes on where it was"


def test_an_expired_watch_ends_with_410_and_a_new_one_can_be_opened(server: Server) -> None:
    async def story() -> None:
        listening = asyncio.ensure_future(server.listen())
        await asyncio.sleep(1)
        server.faults.expire_watches()
        with pytest.raises(Expired):
            await listening
        again = asyncio.ensure_future(server.listen())
        await asyncio.sleep(1)
        assert not again.done()

    server.play(story)


def test_no_watch_goes_on_from_a_version_that_has_expired(server: Server) -> None:
    async def story() -> None:
        before = server.store.resource_version
        server.node("unseen")
        server.faults.expire_watches()
        with pytest.raises(Expired):
            await server.listen(before)

    server.play(story)


def test_stale_lists_and_watches_are_behind_by_the_lag(server: Server) -> None:
    async def story() -> None:
        server.faults.keep_history()
        server.node("old")
        await asyncio.sleep(10)
        server.faults.lag(0, 4.0, until=100.0)
        listening = asyncio.ensure_future(server.listen())
        await asyncio.sleep(0)
        server.node("young")
        await asyncio.sleep(1)
        server.label("old", "new")
        assert await server.names() == ["old"]
        assert (await server.cluster.get(NODES, "", "old")).metadata.labels == {"look": "new"}, "a get is never old"
        await asyncio.sleep(6)
        assert await server.names() == ["old", "young"]
        assert not listening.done()

    server.play(story)
    assert server.news == [(14.0, "ADDED", "young"), (15.0, "MODIFIED", "old")]


def test_delayed_events_arrive_when_the_lag_ends(server: Server) -> None:
    async def story() -> None:
        server.faults.keep_history()
        end = server.faults.lag(0, 60.0, until=10.0)
        listening = asyncio.ensure_future(server.listen())
        await asyncio.sleep(1)
        server.node("young")
        await asyncio.sleep(9)
        end()
        await asyncio.sleep(1)
        assert not listening.done()
        assert await server.names() == ["young"]

    server.play(story)
    assert server.news == [(10.0, "ADDED", "young")]


def test_a_lagging_list_and_the_watch_from_it_miss_nothing(server: Server) -> None:
    async def story() -> None:
        server.faults.keep_history()
        server.faults.lag(0, 5.0, until=100.0)
        await asyncio.sleep(1)
        server.node("one")
        await asyncio.sleep(1)
        listing = await server.cluster.list(NODES)
        assert listing.items == []
        listening = asyncio.ensure_future(server.listen(listing.resource_version))
        await asyncio.sleep(10)
        assert not listening.done()

    server.play(story)
    assert server.news == [(6.0, "ADDED", "one")]


def test_a_replica_without_its_lease_gets_no_lease_responses_and_others_do(server: Server) -> None:
    lease = Lease(metadata=ObjectMeta(name="l", namespace="default"), spec=LeaseSpec(holder_identity="first"))

    async def story() -> None:
        await server.cluster.create(LEASES, lease)
        end = server.faults.drop_lease_responses("first")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await server.cluster.get(LEASES, "default", "l")
        asking = asyncio.ensure_future(server.cluster.patch(LEASES, "default", "l", {"spec": {"leaseTransitions": 9}}))
        assert (await server.other.get(LEASES, "default", "l")).spec.lease_transitions == 0
        assert await server.names() == []
        end()
        with pytest.raises(Unavailable):
            await asking

    server.play(story)
