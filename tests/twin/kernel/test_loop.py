"""Virtual time: asyncio's guarantees hold, an hour takes no time, and threads, sockets and processes are refused."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from twin.kernel.loop import Deadlock, VirtualTimeError, run, wait_for_event


def now() -> float:
    return asyncio.get_running_loop().time()


def test_sleep_takes_simulated_time_alone() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return now()

    assert run(main()) == 3600.0


def test_timeout_ends_a_wait_at_its_moment() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.Event().wait()
        return now()

    assert run(main()) == 2.5


def test_a_call_that_ends_before_its_timeout_leaves_no_timer() -> None:
    env = simpy.Environment()

    async def main() -> float:
        for _ in range(5000):
            async with asyncio.timeout(1000):
                await asyncio.sleep(0.001)
        return len(asyncio.get_running_loop()._scheduled)  # type: ignore[attr-defined]

    assert run(main(), env) < 2000
    assert env.now == pytest.approx(5.0)


def test_a_task_group_ends_when_its_slowest_does_and_fails_with_its_first_failure() -> None:
    async def after(seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def fails() -> None:
        await asyncio.sleep(1)
        raise ValueError("as meant")

    async def main() -> tuple[float, float]:
        async with asyncio.TaskGroup() as group:
            for seconds in (3, 1, 2):
                group.create_task(after(seconds))
        slowest = now()
        with pytest.raises(ExceptionGroup, match="unhandled errors"):
            await one_fails()
        return slowest, now()

    async def one_fails() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            group.create_task(after(100))

    assert run(main()) == (3.0, 4.0)


def test_a_queue_hands_over_in_order_and_makes_its_reader_wait() -> None:
    async def main() -> list[tuple[float, int]]:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)

        async def write() -> None:
            for number in range(3):
                await asyncio.sleep(1)
                await queue.put(number)

        writer = asyncio.create_task(write())
        got = [(now(), await queue.get()) for _ in range(3)]
        await writer
        return got

    assert run(main()) == [(0.0, 0), (1.0, 1), (2.0, 2)]


def test_a_cancelled_task_is_interrupted_where_it_waits() -> None:
    async def main() -> list[str]:
        heard = []

        async def waits() -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                heard.append(f"cancelled at {now():g}")
                raise

        task = asyncio.create_task(waits())
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return heard

    assert run(main()) == ["cancelled at 5"]


def test_simpy_processes_and_tasks_share_one_clock() -> None:
    env = simpy.Environment()
    seen: list[tuple[str, float]] = []

    def process() -> Any:
        for _ in range(3):
            yield env.timeout(2)
            seen.append(("process", float(env.now)))

    async def main() -> None:
        env.process(process())
        for _ in range(3):
            await asyncio.sleep(1.5)
            seen.append(("task", now()))
        await asyncio.sleep(10)

    run(main(), env)
    assert seen == [("task", 1.5), ("process", 2.0), ("task", 3.0), ("process", 4.0), ("task", 4.5), ("process", 6.0)]


def test_at_one_instant_simpy_comes_first_and_then_timers_as_they_were_set() -> None:
    env = simpy.Environment()
    seen: list[str] = []

    def process() -> Any:
        yield env.timeout(1)
        seen.append("process")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for name in ("first", "second", "third"):
            loop.call_at(1.0, seen.append, name)
        env.process(process())
        await asyncio.sleep(2)

    run(main(), env)
    assert seen == ["process", "first", "second", "third"]


def test_a_simpy_event_can_be_awaited_with_its_value_or_its_failure() -> None:
    env = simpy.Environment()

    def fails() -> Any:
        yield env.timeout(1)
        raise ValueError("as meant")

    async def main() -> str:
        value = await wait_for_event(env.timeout(3, value="came"))
        with pytest.raises(ValueError, match="as meant"):
            await wait_for_event(env.process(fails()))
        return str(value)

    assert run(main(), env) == "came"


def test_a_deadlock_error_names_the_waiting_tasks_and_their_lines() -> None:
    async def main() -> None:
        async def waits_for_ever() -> None:
            await asyncio.Event().wait()

        await asyncio.create_task(waits_for_ever(), name="the reader")

    with pytest.raises(Deadlock) as failure:
        run(main())
    said = str(failure.value)
    assert "at t=0 s" in said
    assert "the reader: " in said
    assert "waits_for_ever" in said
    assert "main: " in said


def test_tasks_that_are_left_behind_are_reported_and_cancelled() -> None:
    ended = []

    async def main() -> None:
        async def lingers() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                ended.append("lingers")

        main.task = asyncio.create_task(lingers(), name="the one left")  # type: ignore[attr-defined]
        await asyncio.sleep(1)

    with pytest.raises(VirtualTimeError, match="1 tasks were left behind:\n  the one left: "):
        run(main())
    assert ended == ["lingers"]


def test_tasks_that_are_cancelled_together_hear_of_it_in_the_same_order_in_every_run() -> None:
    async def main() -> list[int]:
        heard: list[int] = []

        async def waits(number: int) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                heard.append(number)

        async def fails() -> None:
            await asyncio.sleep(1)
            raise ValueError("as meant")

        ballast = []
        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                for number in range(100):
                    group.create_task(waits(number))
                    ballast.append(bytearray(number * 37 % 4096))  # addresses are no order to rely on
                group.create_task(fails())
        return heard

    assert run(main()) == run(main())


async def a_thread() -> None:
    await asyncio.to_thread(print)


async def a_connection() -> None:
    await asyncio.open_connection("127.0.0.1", 1)


async def a_server() -> None:
    await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)


async def a_subprocess() -> None:
    await asyncio.create_subprocess_exec("true")


async def a_raw_socket() -> None:
    with socket.socket() as raw:
        await asyncio.get_running_loop().sock_recv(raw, 1)


@pytest.mark.parametrize("asks", [a_thread, a_connection, a_server, a_subprocess, a_raw_socket])
def test_threads_and_sockets_are_refused_with_an_alternative(asks: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with pytest.raises(VirtualTimeError, match=r"(there are no threads|there are no sockets) in virtual time; \w+"):
        run(asks())


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_waits_end_in_the_order_of_their_lengths(waits: list[float]) -> None:
    async def main() -> list[float]:
        ended = []

        async def wait(seconds: float) -> None:
            await asyncio.sleep(seconds)
            ended.append(seconds)

        async with asyncio.TaskGroup() as group:
            for seconds in waits:
                group.create_task(wait(seconds))
        return ended

    assert run(main()) == sorted(waits)


def test_tasks_of_a_group_are_cancelled_in_an_order_that_does_not_depend_on_where_they_lie_in_memory() -> None:
    async def main() -> list[int]:
        cancelled = list[int]()

        async def waits(number: int) -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                cancelled.append(number)
                raise

        async def fails() -> None:
            await asyncio.sleep(1)
            raise ValueError

        async def together() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(5):
                    group.create_task(waits(number))
                group.create_task(fails())

        with pytest.raises(ExceptionGroup):
            await together()
        return cancelled

    assert run(main()) == [0, 1, 2, 3, 4]
