"""`lora-controller` as a separate process with the time of a served world that runs faster than the machine.

The operator is the one that is deployed, with its sockets, its API client and its signals. Only its two clocks are
replaced, as by `faketime`: the event loop's, so that each wait is shorter, and the wall clock, so that it agrees with
the world's timestamps. At speed 1 neither is needed, and plain `lora-controller` runs instead.

The first line of standard input has the world's time and starts the operator; each later line has a clock skew in
seconds. Before the first line everything is imported, because at twenty times the speed one second of imports would be
twenty; standard output then says `ready`. The process ends when its standard input is closed.
"""

import asyncio
import os
import selectors
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from controller import preflight as kube_preflight  # noqa: F401 - imported before it is needed
from controller.main import UNUSABLE, operate
from controller.option_types import OptionError
from controller.options import parse


class WorldClock:
    """Wall time that runs `speed` times as fast from a given time on."""

    def __init__(self, start: datetime, speed: float) -> None:
        self.ahead = 0.0
        """Skew of the clock in seconds."""
        self._start = start
        self._since = time.monotonic()  # noqa: TID251 - the machine's clock
        self._speed = speed

    def now(self) -> datetime:
        passed = time.monotonic() - self._since  # noqa: TID251 - likewise
        return self._start + timedelta(seconds=passed * self._speed + self.ahead)


class ScaledLoop(asyncio.SelectorEventLoop):
    """An ordinary event loop whose seconds are shorter."""

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
    """Run `python -m twin.serve.operator.scaled_clock SPEED FLAGS…`, with the flags of `lora-controller`."""
    speed = float(sys.argv[1])
    try:
        options = parse(sys.argv[2:], os.environ)
    except OptionError as error:
        print(f"lora-controller: {error}", file=sys.stderr)
        sys.exit(UNUSABLE)
    print("ready", flush=True)
    stdin = open(0, "rb", buffering=0)  # noqa: SIM115 - as long as the process
    first_line = stdin.readline()
    if not first_line:
        return
    clock = WorldClock(datetime.fromtimestamp(float(first_line), UTC), speed)

    async def run() -> int:
        loop, work = asyncio.get_running_loop(), asyncio.ensure_future(operate(options, clock))

        def on_input() -> None:
            lines = stdin.read(4096).splitlines()
            if lines:
                clock.ahead = float(lines[-1])
            else:
                loop.remove_reader(stdin)
                work.cancel()

        loop.add_reader(stdin, on_input)
        return await work

    with asyncio.Runner(loop_factory=lambda: ScaledLoop(speed)) as runner:
        sys.exit(runner.run(run()))


if __name__ == "__main__":
    main()
