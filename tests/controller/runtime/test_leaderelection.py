"""At most one of several replicas acts, whatever their clocks show and which of them are partitioned."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import CapturingLogger
from structlog.typing import FilteringBoundLogger

from controller.client.interface import Unavailable
from controller.runtime.leaderelection import LEASE_NAME, LeaderElector
from controller.settings import LeaseSettings, Settings
from tests.controller.fake_client import QUIET, FakeClient, FakeServer
from twin.kernel.loop import run

KEY = f"default/{LEASE_NAME}"


@dataclass
class SkewedClock:
    """A wall clock that is wrong by `ahead` seconds."""

    ahead: float = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=asyncio.get_running_loop().time() + self.ahead)


@dataclass
class Replica:
    """One replica that records when it acts."""

    name: str
    client: FakeClient
    clock: SkewedClock = field(default_factory=SkewedClock)
    settings: Settings = field(default_factory=Settings)
    winding_up: float = 0.0
    log: FilteringBoundLogger = QUIET
    spells: list[list[float]] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def start(self) -> None:
        election = LeaderElector(self.client, self.clock, self.name, self.settings, self.log)
        self.task = asyncio.create_task(election.lead(self._work, self.stopping))

    @property
    def acts(self) -> bool:
        return bool(self.spells) and len(self.spells[-1]) == 1

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        self.spells.append([loop.time()])
        try:
            await self.stopping.wait()
            await asyncio.sleep(self.winding_up)
        finally:
            self.spells[-1].append(loop.time())

    async def kill(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def two(latency: float = 0.01, **options: Any) -> list[Replica]:
    """Two replicas of one server, started."""
    server = FakeServer()
    replicas = [Replica(name, FakeClient(server, latency=latency), **options) for name in ("one", "two")]
    for replica in replicas:
        replica.start()
    return replicas


def never_two_at_once(replicas: list[Replica]) -> None:
    now = asyncio.get_running_loop().time()
    spells = sorted((spell[0], spell[1] if len(spell) > 1 else now) for r in replicas for spell in r.spells)
    for (_, ended), (begun, _) in pairwise(spells):
        assert ended <= begun, f"two acted at {begun}: {spells}"


def test_one_leads_and_keeps_leading() -> None:
    async def main() -> None:
        one, other = two()
        await asyncio.sleep(600)
        assert [one.acts, other.acts] == [True, False]
        assert (len(one.spells), len(other.spells)) == (1, 0)
        for replica in (one, other):
            await replica.kill()

    run(main())


@pytest.mark.parametrize("latency", [1.0, 3.0, 4.9])
def test_a_slow_api_server_is_led_against_as_long_as_a_request_takes_less_than_half_of_the_renew_deadline(
    latency: float,
) -> None:
    async def main() -> None:
        one, other = two(latency=latency)
        await asyncio.sleep(600)
        assert sorted((len(one.spells), len(other.spells))) == [0, 1]
        assert one.acts or other.acts
        for replica in (one, other):
            await replica.kill()

    run(main())


def test_a_renewal_is_one_request() -> None:
    async def main() -> None:
        one, other = two()
        await asyncio.sleep(60)
        before = len(one.client.requests)
        await asyncio.sleep(20)
        assert [verb for _, verb in one.client.requests[before:]] == ["patch"] * 10
        for replica in (one, other):
            await replica.kill()

    run(main())


def test_a_killed_leader_is_replaced_when_its_lease_has_expired() -> None:
    async def main() -> None:
        one, other = two()
        await asyncio.sleep(100)
        await one.kill()
        await asyncio.sleep(12)
        assert not other.acts
        await asyncio.sleep(6)
        assert other.acts
        await other.kill()

    run(main())


def test_a_leader_that_stops_releases_the_lease_and_the_next_need_not_wait() -> None:
    async def main() -> None:
        one, other = two(winding_up=5)
        await asyncio.sleep(100)
        one.stopping.set()
        await asyncio.sleep(4.9)
        assert one.acts, "what is under way is given its time, under the lease"
        assert not other.acts
        await asyncio.sleep(2.2)
        assert one.task is not None
        assert one.task.done()
        assert other.acts
        never_two_at_once([one, other])
        assert other.client.server.objects[KEY].spec.lease_transitions == 1
        await other.kill()

    run(main())


def test_one_that_stands_by_stops_at_once() -> None:
    async def main() -> None:
        one, other = two()
        await asyncio.sleep(100)
        other.stopping.set()
        await asyncio.sleep(0.1)
        assert other.task is not None
        assert other.task.done()
        assert one.acts
        await one.kill()

    run(main())


def test_one_that_stands_by_logs_once_who_leads() -> None:
    captured = CapturingLogger()

    async def main() -> None:
        one, other = two(log=structlog.wrap_logger(captured, processors=[lambda _, __, event: ((), event)]))
        await asyncio.sleep(100)
        assert one.acts
        await one.kill()
        await other.kill()

    run(main())
    waits = [call.kwargs for call in captured.calls if call.kwargs["event"] == "waiting for the lease"]
    assert waits == [{"event": "waiting for the lease", "lease": KEY, "holder": "one"}]


@pytest.mark.parametrize("silent", [False, True], ids=["answers with errors", "does not answer"])
def test_no_replica_acts_on_an_expired_lease_while_the_api_server_is_unavailable(silent: bool) -> None:
    async def main() -> None:
        replicas = one, other = two()
        await asyncio.sleep(100)
        for replica in replicas:
            replica.client.error, replica.client.hangs = (None, True) if silent else (Unavailable("gone"), False)
        await asyncio.sleep(15)
        assert not one.acts
        assert 98 + 10 <= one.spells[0][1] <= 100 + 10 + 0.1
        for replica in replicas:
            replica.client.error, replica.client.hangs = None, False
        await asyncio.sleep(20)
        assert one.acts or other.acts
        never_two_at_once([one, other])
        for replica in replicas:
            await replica.kill()

    run(main())


@pytest.mark.parametrize("ahead", [-3600.0, -14.0, 14.0, 3600.0, 86400.0 * 365])
def test_clocks_that_disagree_change_nothing(ahead: float) -> None:
    async def main() -> None:
        one, other = two()
        other.clock.ahead = ahead
        await asyncio.sleep(60)
        assert [one.acts, other.acts] == [True, False]
        one.clock.ahead = -ahead  # it jumps while it leads
        await asyncio.sleep(60)
        assert [one.acts, other.acts] == [True, False]
        one.client.error = Unavailable("gone")
        await asyncio.sleep(30)
        assert [one.acts, other.acts] == [False, True]
        never_two_at_once([one, other])
        for replica in (one, other):
            await replica.kill()

    run(main())


def test_a_lease_of_fractional_seconds_is_rounded_up_for_the_others() -> None:
    async def main() -> None:
        lease = LeaseSettings(duration=1.5, renew=1.4, retry=0.2)
        one, other = two(settings=Settings(lease=lease))
        await asyncio.sleep(10)
        assert one.client.server.objects[KEY].spec.lease_duration_seconds == 2
        one.client.error = Unavailable("gone")
        await asyncio.sleep(5)
        assert other.acts
        never_two_at_once([one, other])
        for replica in (one, other):
            await replica.kill()

    run(main())


def test_a_leader_that_hangs_beyond_its_lease_says_so() -> None:
    async def main() -> None:
        election = LeaderElector(FakeClient(FakeServer()), SkewedClock(), "one", Settings(), QUIET)
        assert not election.overdue(), "one that does not lead has nothing to overrun"
        election._until = asyncio.get_running_loop().time()
        await asyncio.sleep(14)
        assert not election.overdue()
        await asyncio.sleep(2)
        assert election.overdue()

    run(main())


def test_one_request_that_hangs_does_not_cost_the_lead() -> None:
    async def main() -> None:
        one, other = two()
        await asyncio.sleep(100)
        one.client.hangs = True
        await asyncio.sleep(2.5)
        one.client.hangs = False
        await asyncio.sleep(60)
        assert one.acts
        assert len(one.spells) == 1
        for replica in (one, other):
            await replica.kill()

    run(main())


outages = st.lists(
    st.tuples(st.floats(0.5, 120), st.floats(0.1, 40), st.sampled_from(["one", "two"]), st.booleans()), max_size=6
)


@settings(max_examples=80, deadline=None)
@given(outages, st.floats(0.0, 1.5), st.floats(-1e6, 1e6))
def test_under_any_partitions_at_most_one_replica_acts_and_in_the_end_one_does(
    cuts: list[tuple[float, float, str, bool]], latency: float, ahead: float
) -> None:
    async def main() -> None:
        replicas = two(latency=latency)
        replicas[0].clock.ahead = ahead

        async def cut(at: float, seconds: float, name: str, after: bool) -> None:
            client = next(r.client for r in replicas if r.name == name)
            await asyncio.sleep(at)
            client.error, client.loses_answers = Unavailable("gone"), after
            await asyncio.sleep(seconds)
            client.error, client.loses_answers = None, False

        await asyncio.gather(*(cut(*each) for each in cuts))
        await asyncio.sleep(40)
        assert sum(replica.acts for replica in replicas) == 1
        never_two_at_once(replicas)
        for replica in replicas:
            await replica.kill()

    run(main())
