"""Simulated time that keeps up with the wall clock: an asyncio loop with sockets, whose time a SimPy environment has.

The simulated world and the operator run on it unchanged, as on `twin.loop.VirtualLoop`: at one instant SimPy's events
come first, then asyncio's timers. What differs is when the next instant comes: when the wall clock says so, at `speed`
simulated seconds a second; never while the world is paused; at once while it is being stepped. Sockets are served in
any case.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any

import simpy

FOREVER = float("inf")


class RealTimeClock:
    """How simulated time follows the wall clock."""

    def __init__(self, speed: float = 1.0, wall: Callable[[], float] = time.perf_counter) -> None:
        """Start at 0.

        Raises:
            ValueError: the speed is not above 0.
        """
        self.paused = False
        self.held = False
        """Whether it has yet to be started."""
        self.fixed = False
        """Whether it can be changed: not while processes go by it."""
        self._wall = wall
        self._speed = _checked(speed)
        self._since = wall()
        self._reached = 0.0
        self._goal: float | None = None
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def speed(self) -> float:
        """Simulated seconds a second."""
        return self._speed

    @property
    def goal(self) -> float | None:
        """How far a step goes that is under way."""
        return self._goal

    def start(self, at: float = 0.0) -> None:
        """Time runs from now on, and is so many simulated seconds already."""
        self.held = False
        self._since = self._wall() - at / self._speed

    def set_speed(self, speed: float) -> None:
        """Raises ValueError if it is not above 0, or fixed."""
        _checked(speed)
        self._settle()
        self._speed = speed

    def pause(self) -> None:
        """Time stands still."""
        self._settle()
        self.paused = True

    def resume(self) -> None:
        """Time goes on."""
        self._settle()
        self.paused = False
        self._arrive()

    def step(self, seconds: float) -> float:
        """Go on by so many simulated seconds as fast as possible, then stand still; returns where that is."""
        if not 0 < seconds < FOREVER:
            raise ValueError(f"a step of {seconds:g} s goes nowhere; allowed: more than 0")
        self.pause()
        self._goal = (self._reached if self._goal is None else self._goal) + seconds
        return self._goal

    async def arrived(self) -> None:
        """Waits until a step that is under way has ended."""
        if self._goal is not None:
            self._waiting.append(asyncio.get_running_loop().create_future())
            await self._waiting[-1]

    def reach(self, due: float) -> float:
        """How far time may go now, if the next thing to happen is `due`."""
        if self._goal is not None:
            self._reached = max(self._reached, min(due, self._goal))
            if self._reached >= self._goal:
                self._arrive()
        elif not (self.held or self.paused):
            return max(self._reached, self._reached + (self._wall() - self._since) * self._speed)
        return self._reached

    def wait(self, due: float) -> float | None:
        """Wall seconds until `due`; None if it will not come by itself."""
        if self._goal is not None:
            return 0.0
        if self.held or self.paused or due == FOREVER:
            return None
        return max(0.0, (due - self._reached) / self._speed - (self._wall() - self._since))

    def _arrive(self) -> None:
        self._goal = None
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _settle(self) -> None:
        """What has passed has passed at the old speed."""
        if self.fixed:
            raise ValueError("the operator is a process of its own, whose clock goes on at the same speed")
        self._reached = self.reach(self._reached)
        self._since = self._wall()


def _checked(speed: float) -> float:
    if not 0 < speed < FOREVER:
        raise ValueError(f"a speed of {speed:g} is none; allowed: a number above 0, such as 1 or 10")
    return speed


class RealTimeLoop(asyncio.SelectorEventLoop):
    """An ordinary loop but for its time."""

    # Of BaseEventLoop, private and the same in Python 3.11 to 3.14: the hook and the queues this loop lives by.
    _ready: Any
    _scheduled: list[Any]

    def __init__(self, env: simpy.Environment, clock: RealTimeClock) -> None:
        self.env = env
        self.clock = clock
        super().__init__(_Waiting(self))

    def time(self) -> float:
        """Simulated seconds since the environment began."""
        return float(self.env.now)

    def due(self) -> float:
        """When the next thing happens: a SimPy event or a timer."""
        return float(min(self.env.peek(), self._timer()))

    def _timer(self) -> float:
        """The first timer; it may have been cancelled, which costs one vain look and no more."""
        return float(self._scheduled[0]._when) if self._scheduled else FOREVER

    def _process_events(self, event_list: Any) -> None:
        """After each look at the sockets (the hook of BaseEventLoop._run_once): time moves on."""
        super()._process_events(event_list)  # type: ignore[misc]
        self._advance()

    def _advance(self) -> None:
        """Moves time as far as it may go, but not past an instant at which asyncio has something to do."""
        env, ready = self.env, len(self._ready)
        if ready and self.clock.goal is not None:
            return  # no clock says that it is late
        target = self.clock.reach(self.due())
        while env.peek() <= min(target, self._timer()):
            env.step()
            if len(self._ready) > ready:
                return
        env._now = max(env.now, min(target, self._timer()))


class _Waiting(selectors.DefaultSelector):
    """Waits for sockets until the next simulated instant is due."""

    def __init__(self, loop: RealTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        """Where the loop has nothing ready (`timeout` is not 0), the wall clock says how long."""
        if timeout is None or timeout > 0:
            timeout = self._loop.clock.wait(self._loop.due())
        return super().select(timeout)


def run(main: Callable[[], Any], env: simpy.Environment, clock: RealTimeClock) -> Any:
    """Runs a coroutine function to its end on a paced loop."""
    with asyncio.Runner(loop_factory=lambda: RealTimeLoop(env, clock)) as runner:
        return runner.run(main())
