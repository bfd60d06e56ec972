"""`lora-controller` in a process of its own, with the time of a served world that is faster than the machine's.

The operator is the one that is deployed, with its sockets, its client of the API server and its signals; only its two
clocks are others, as under `faketime`: the event loop's, so that each wait is so many times shorter, and the wall
clock, so that it agrees with the world's timestamps. At speed 1 neither is needed, and `lora-controller` itself is run.

Standard input says when to begin: a first line with the world's time, each later one by how many seconds the clock is
to be wrong from then on. Until the first line everything is imported and waits, for at twenty times the speed a second
of imports would be twenty; standard output says when that is done. Its end is the end of who started this: then this
ends too.
"""

import asyncio
import os
import selectors
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from controller import preflight as kube_preflight  # noqa: F401 - imported before they are needed
from controller.main import UNUSABLE, operate
from controller.option_types import OptionError
from controller.options import parse


class WorldClock:
    """Wall time that goes `speed` times as fast, from a moment on."""

    def __init__(self, moment: datetime, speed: float) -> None:
        self.ahead = 0.0
        """Seconds by which it is wrong."""
        self._moment = moment
        self._since = time.monotonic()  # noqa: TID251 - it stands for the machine
        self._speed = speed

    def now(self) -> datetime:
        passed = time.monotonic() - self._since  # noqa: TID251 - likewise
        return self._moment + timedelta(seconds=passed * self._speed + self.ahead)


class ScaledLoop(asyncio.SelectorEventLoop):
    """An ordinary loop whose seconds are shorter."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        super().__init__(_ScaledSelector(speed))

    def time(self) -> float:
        return super().time() * self._speed


class _ScaledSelector(selectors.DefaultSelector):
    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> Any:
        return super().select(None if timeout is None else timeout / self._speed)


def main() -> None:
    """`python -m twin.served.hastened SPEED FLAGS…`, the flags being those of `lora-controller`."""
    speed = float(sys.argv[1])
    try:
        options = parse(sys.argv[2:], os.environ)
    except OptionError as error:
        print(f"lora-controller: {error}", file=sys.stderr)
        sys.exit(UNUSABLE)
    print("ready", flush=True)
    told = open(0, "rb", buffering=0)  # noqa: SIM115 - as long as the process
    begun = told.readline()
    if not begun:
        return
    clock = WorldClock(datetime.fromtimestamp(float(begun), UTC), speed)

    async def run() -> int:
        loop, work = asyncio.get_running_loop(), asyncio.ensure_future(operate(options, clock))

        def hear() -> None:
            lines = told.read(4096).splitlines()
            if lines:
                clock.ahead = float(lines[-1])
            else:
                loop.remove_reader(told)
                work.cancel()

        loop.add_reader(told, hear)
        return await work

    with asyncio.Runner(loop_factory=lambda: ScaledLoop(speed)) as runner:
        sys.exit(runner.run(run()))


if __name__ == "__main__":
    main()
