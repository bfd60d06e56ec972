"""Keys are deduplicated, processed by one worker at a time, and delayed more after each failure."""

import asyncio

import pytest

from controller.runtime.workqueue import WorkQueue
from twin.kernel.loop import run


def test_a_key_that_waits_already_is_not_queued_twice() -> None:
    async def main() -> None:
        queue = WorkQueue()
        queue.add("a")
        queue.add("a")
        assert await queue.get() == "a"
        assert len(queue) == 0

    run(main())


def test_a_key_added_while_it_is_worked_on_comes_again_after_that() -> None:
    async def main() -> None:
        queue = WorkQueue()
        queue.add("a")
        await queue.get()
        queue.add("a")
        assert len(queue) == 0
        queue.done("a")
        assert await queue.get() == "a"

    run(main())


def test_what_has_begun_is_taken_before_what_has_not() -> None:
    async def main() -> list[str | None]:
        queue = WorkQueue()
        for key in ("a", "b", "c"):
            queue.add(key)
        queue.add("d", first=True)
        queue.add("c", first=True)
        taken = [await queue.get() for _ in range(4)]
        queue.add("a")
        queue.add("a", first=True)  # in progress: it is queued again, before the others, when it is done
        queue.add("e")
        queue.done("a")
        assert len(queue) == 2
        return [*taken, await queue.get(), await queue.get()]

    assert run(main()) == ["d", "c", "a", "b", "a", "e"]


def test_the_earliest_of_two_delays_stands() -> None:
    async def main() -> float:
        queue = WorkQueue()
        queue.add_after("a", 10)
        queue.add_after("a", 3)
        queue.add_after("a", 20)
        await queue.get()
        return asyncio.get_running_loop().time()

    assert run(main()) == 3


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.005), (2, 0.01), (5, 0.08), (40, 30)])
def test_failures_slow_a_key_down_until_it_succeeds(failures: int, seconds: float) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        queue = WorkQueue()
        for _ in range(failures):
            started = loop.time()
            queue.add_rate_limited("a")
            await queue.get()
            queue.done("a")
        assert loop.time() - started == pytest.approx(seconds)
        queue.forget("a")
        started = loop.time()
        queue.add_rate_limited("a")
        await queue.get()
        assert loop.time() - started == pytest.approx(0.005)

    run(main())


def test_a_worker_that_is_cancelled_leaves_its_key_to_another() -> None:
    async def main() -> None:
        queue = WorkQueue()
        first = asyncio.create_task(queue.get())
        second = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add("a")
        first.cancel()
        assert await second == "a"
        await asyncio.gather(first, return_exceptions=True)

    run(main())
