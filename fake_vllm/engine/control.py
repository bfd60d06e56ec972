"""Control of a running engine from outside: pausing, sleeping, resetting its prefix cache.

vLLM offers this in its development mode (vllm/entrypoints/serve/dev and rl/online). Requests that arrive while the
engine is paused or asleep wait until it continues.
"""

import asyncio
from typing import Literal

from fake_vllm.engine.runner import ModelRunner

PauseMode = Literal["abort", "wait", "keep"]


class EngineControl:
    """Pauses one engine and puts it to sleep.

    Attributes:
        paused: no sequence is computed.
        sleeping: the engine was put to sleep and not woken.
        weight_version: name of the base model's weights, set by clients that replace them.
    """

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self.paused = False
        self.sleeping = False
        self.weight_version = "default"

    async def pause(self, mode: PauseMode) -> None:
        """Stop computing: abort what is running, wait for its end, or keep it where it is."""
        scheduler = self._runner.scheduler
        sequences = (*scheduler.running, *scheduler.waiting)
        if mode == "wait" and sequences:
            await asyncio.wait([sequence.done for sequence in sequences])
        elif mode == "abort":
            for sequence in sequences:
                scheduler.abort(sequence)
        scheduler.hold()
        self.paused = True
        if mode != "keep":
            self._runner.reset_prefix_cache(preempt=True)

    def resume(self) -> None:
        """Continue computing."""
        self._runner.scheduler.release()
        self.paused = False

    async def sleep(self, level: int, mode: PauseMode) -> None:
        """Pause and, from level 1 on, give the memory of the weights away; level 2 discards them."""
        await self.pause(mode)
        self.sleeping = True
        self._runner.sleep_level = level

    def wake_up(self) -> None:
        """Wake the engine up and continue."""
        self.sleeping = False
        self._runner.sleep_level = None
        self.resume()
