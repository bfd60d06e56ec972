"""Simulated time that follows the wall clock: an asyncio loop with sockets whose time is a SimPy environment's.

The simulated world and the operator run on it unchanged, as on `twin.kernel.loop.VirtualLoop`: at one instant SimPy's
events come first, then asyncio's timers. Only the pace differs: the next instant comes when the wall clock says so, at
`speed` simulated seconds per second; never while the clock is paused; at once during a step. Sockets are always served.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any

import simpy

from twin.kernel.failures import OnFailure, reraise

NEVER = float("inf")


class RealTimeClock:
    """Maps the wall clock to simulated time."""

    def __init__(
        self, speed: float = 1.0, wall: Callable[[], float] = time.perf_counter, *, held: bool = False
    ) -> None:
        """Start at 0; a `held` clock stands still until `start` is called.

        Raises:
            ValueError: the speed is not above 0.
        """
        self.paused = False
        self._held = held
        self._fixed = False
        self._wall = wall
        self._speed = _check_speed(speed)
        self._since = wall()
        self._reached = 0.0
        self._goal: float | None = None
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def speed(self) -> float:
        """Simulated seconds per second."""
        return self._speed

    @property
    def goal(self) -> float | None:
        """Simulated time at which the step in progress ends; None without one."""
        return self._goal

    def start(self, at: float = 0.0) -> None:
        """Let time run from now on, beginning at `at` simulated seconds."""
        self._held = False
        self._since = self._wall() - at / self._speed

    def fix(self) -> None:
        """Refuse all changes from now on: other processes run at the same speed."""
        self._fixed = True

    def set_speed(self, speed: float) -> None:
        """Change the speed.

        Raises:
            ValueError: the speed is not above 0, or the clock is fixed.
        """
        _check_speed(speed)
        self._settle()
        self._speed = speed

    def pause(self) -> None:
        """Stop time."""
        self._settle()
        self.paused = True

    def resume(self) -> None:
        """Let time run again."""
        self._settle()
        self.paused = False
        self._end_step()

    def step(self, seconds: float) -> float:
        """Advance by `seconds` as fast as possible, then pause; return the simulated time at which the step ends."""
        if not 0 < seconds < NEVER:
            raise ValueError(f"step: {seconds:g} s is not allowed; allowed: a duration above 0")
        self.pause()
        self._goal = (self._reached if self._goal is None else self._goal) + seconds
        return self._goal

    async def wait_step(self) -> None:
        """Wait until the step in progress has ended."""
        if self._goal is not None:
            self._waiters.append(asyncio.get_running_loop().create_future())
            await self._waiters[-1]

    def reach(self, due: float) -> float:
        """Return the time up to which the simulation may advance now; `due` is the time of its next event."""
        if self._goal is not None:
            self._reached = max(self._reached, min(due, self._goal))
            if self._reached >= self._goal:
                self._end_step()
        elif not (self._held or self.paused):
            return max(self._reached, self._reached + (self._wall() - self._since) * self._speed)
        return self._reached

    def wait(self, due: float) -> float | None:
        """Return the wall-clock seconds until `due`; None if it does not come by itself."""
        if self._goal is not None:
            return 0.0
        if self._held or self.paused or due == NEVER:
            return None
        return max(0.0, (due - self._reached) / self._speed - (self._wall() - self._since))

    def _end_step(self) -> None:
        self._goal = None
        waiters, self._waiters = self._waiters, []
        for future in waiters:
            if not future.done():
                future.set_result(None)

    def _settle(self) -> None:
        """Account for the time that has passed at the old speed."""
        if self._fixed:
            raise ValueError("the clock is fixed: the operator runs as separate processes at the same speed")
        self._reached = self.reach(self._reached)
        self._since = self._wall()


def _check_speed(speed: float) -> float:
    if not 0 < speed < NEVER:
        raise ValueError(f"speed: {speed:g} is not allowed; allowed: a number above 0, such as 1 or 10")
    return speed


class RealTimeLoop(asyncio.SelectorEventLoop):
    """An ordinary event loop whose time is simulated."""

    # Private parts of BaseEventLoop that this loop relies on; the same in Python 3.11 to 3.14.
    _ready: Any
    _scheduled: list[Any]

    def __init__(self, env: simpy.Environment, clock: RealTimeClock, on_failure: OnFailure = reraise) -> None:
        self.env = env
        self.clock = clock
        self._on_failure = on_failure
        super().__init__(_PacedSelector(self))

    def time(self) -> float:
        """Simulated seconds since the start of the environment."""
        return float(self.env.now)

    def due(self) -> float:
        """Time of the next SimPy event or timer."""
        return float(min(self.env.peek(), self._timer()))

    def _timer(self) -> float:
        """Time of the first timer. It may have been cancelled; that costs one superfluous wake-up."""
        return float(self._scheduled[0]._when) if self._scheduled else NEVER

    def _process_events(self, event_list: Any) -> None:
        """Advance time after each poll of the sockets (a hook of BaseEventLoop._run_once)."""
        super()._process_events(event_list)  # type: ignore[misc]
        self._advance()

    def _advance(self) -> None:
        """Advance time as far as allowed, but not past an instant at which asyncio has something to do."""
        env, ready = self.env, len(self._ready)
        if ready and self.clock.goal is not None:
            return  # during a step time advances only when nothing is ready
        target = self.clock.reach(self.due())
        while env.peek() <= min(target, self._timer()):
            try:
                env.step()
            except Exception as error:
                self._on_failure("a process", "", error)
            if len(self._ready) > ready:
                return
        env._now = max(env.now, min(target, self._timer()))


class _PacedSelector(selectors.DefaultSelector):
    """Selector that waits for sockets until the next simulated instant is due."""

    def __init__(self, loop: RealTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        """Poll. If the loop has nothing ready (`timeout` is not 0), the wall clock determines the timeout."""
        if timeout is None or timeout > 0:
            timeout = self._loop.clock.wait(self._loop.due())
        return super().select(timeout)


def run(main: Callable[[], Any], env: simpy.Environment, clock: RealTimeClock, on_failure: OnFailure = reraise) -> Any:
    """Run a coroutine function to its end on a real-time loop; `on_failure` handles exceptions of SimPy's events."""
    with asyncio.Runner(loop_factory=lambda: RealTimeLoop(env, clock, on_failure)) as runner:
        return runner.run(main())
