"""Simulated time that follows the wall clock at a speed, is paused, or is stepped. The wall clock here is a number."""

import asyncio
from collections.abc import Callable

import pytest
import simpy

from twin.serve.clock import RealTimeClock, run


class Wall:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


def test_time_runs_at_the_given_speed(wall: Wall) -> None:
    clock = RealTimeClock(10, wall)
    wall.now += 3
    assert clock.reach(999) == 30
    assert clock.wait(50) == 2


def test_a_change_of_speed_leaves_what_has_passed(wall: Wall) -> None:
    clock = RealTimeClock(10, wall)
    wall.now += 3
    clock.set_speed(1)
    wall.now += 3
    assert clock.reach(999) == 33


def test_a_paused_world_stops_and_resumes_at_the_same_time(wall: Wall) -> None:
    clock = RealTimeClock(1, wall)
    wall.now += 5
    clock.pause()
    wall.now += 100
    assert clock.reach(999) == 5
    assert clock.wait(999) is None
    clock.resume()
    wall.now += 1
    assert clock.reach(999) == 6


def test_a_step_visits_what_is_due_and_stops_at_its_end(wall: Wall) -> None:
    clock = RealTimeClock(1, wall)
    assert clock.step(10) == 10
    assert clock.wait(4) == 0
    assert clock.reach(4) == 4
    assert clock.reach(25) == 10
    assert clock.wait(25) is None
    assert clock.paused


@pytest.mark.parametrize("speed", [0, -1, float("inf"), float("nan")])
def test_a_speed_is_a_number_above_0(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        RealTimeClock(speed)


def _driven(main: Callable[[RealTimeClock, simpy.Environment], object]) -> object:
    """Return the result of `main` on a very slow clock, which the test steps."""
    env, clock = simpy.Environment(), RealTimeClock(1e-9)
    return run(lambda: main(clock, env), env, clock)


async def _stepped(clock: RealTimeClock, seconds: float) -> None:
    clock.step(seconds)
    await clock.wait_step()


def test_processes_and_coroutines_share_one_time() -> None:
    async def main(clock: RealTimeClock, env: simpy.Environment) -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        def ticking() -> object:
            for _ in range(3):
                yield env.timeout(10)
                seen.append(("simpy", round(env.now)))

        async def sleeping() -> None:
            for _ in range(3):
                await asyncio.sleep(10)
                seen.append(("asyncio", round(env.now)))

        env.process(ticking())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sleeping())
            await asyncio.sleep(0)
            await _stepped(clock, 31)
        return seen

    assert _driven(main) == [(who, t) for t in (10, 20, 30) for who in ("simpy", "asyncio")]


def test_callbacks_of_a_process_run_before_the_next_instant() -> None:
    async def main(clock: RealTimeClock, env: simpy.Environment) -> list[float]:
        loop, seen = asyncio.get_running_loop(), list[float]()

        def waking() -> object:
            for _ in range(5):
                yield env.timeout(1)
                loop.call_soon(lambda: seen.append(env.now))

        env.process(waking())
        await _stepped(clock, 5.5)
        return [round(t, 3) for t in seen]

    assert _driven(main) == [1, 2, 3, 4, 5]


def test_sockets_are_served_while_time_is_paused() -> None:
    async def main(clock: RealTimeClock, env: simpy.Environment) -> bytes:
        clock.pause()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            answered = await reader.read()
            writer.close()
            return answered

    assert _driven(main) == b"hello\n"
