"""Runs the levels of a load test against a server: warm-up, then interleaved repetitions within a time budget."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from twin.calibration.load_test.client import Answer, CompletionClient, LoadTestError
from twin.calibration.load_test.levels import Grid, prompt_ids, shuffled
from twin.calibration.load_test.records import Level, LevelRun, RequestTiming
from twin.calibration.load_test.server import read_metrics, times_between

FEWEST_REPETITIONS = 2
"""The difference between repetitions is the noise floor, and half of the runs are held back."""

Progress = Callable[[float, str], None]
"""Called with the share of the load test that is done, 0 to 1, and the level that runs next."""


@dataclass(frozen=True, slots=True)
class LoadTestSettings:
    """Models, levels and duration of a load test.

    Attributes:
        base: name of the base model.
        adapters: names of adapters; a level with `k` of them uses the first `k`.
        grid: the levels.
        budget: seconds for all runs, warm-up included.
        repetitions: maximum number of runs of each level.
        seed: seed of prompts and of the order of levels.
    """

    base: str
    adapters: tuple[str, ...] = ()
    grid: Grid = field(default_factory=Grid)
    budget: float = 600.0
    repetitions: int = 4
    seed: int = 0


class LoadTestDriver:
    """One load test."""

    def __init__(self, client: CompletionClient, settings: LoadTestSettings, progress: Progress) -> None:
        self._client = client
        self._settings = settings
        self._progress = progress
        self._rng = np.random.default_rng(settings.seed)

    async def run(self) -> tuple[LevelRun, ...]:
        """Return the runs of all levels: at least two of each.

        Raises:
            LoadTestError: if the server refuses a request, or the budget ends before the second repetition.
        """
        levels = self._settings.grid.levels()
        clock = asyncio.get_running_loop().time
        started = clock()
        await self._warm_up(levels)
        runs: list[LevelRun] = []
        longest: dict[Level, float] = {}
        for repetition in range(self._settings.repetitions):
            for level in shuffled(levels, self._settings.seed, repetition):
                elapsed = clock() - started
                if elapsed + longest.get(level, 0.0) > self._settings.budget:
                    return self._checked(runs, levels)
                self._progress(self._share(len(runs), len(levels), elapsed), describe_level(level))
                before = clock()
                runs.append(await self._run_level(level, repetition))
                longest[level] = max(longest.get(level, 0.0), clock() - before)
        return self._checked(runs, levels)

    def _share(self, done: int, levels: int, elapsed: float) -> float:
        return max(done / (levels * self._settings.repetitions), elapsed / self._settings.budget)

    def _checked(self, runs: Sequence[LevelRun], levels: Sequence[Level]) -> tuple[LevelRun, ...]:
        needed = FEWEST_REPETITIONS * len(levels)
        if len(runs) < needed:
            raise LoadTestError(
                f"--budget {self._settings.budget:g}s: ended after {len(runs)} runs; {len(levels)} levels need "
                f"{needed}: give more time or fewer levels"
            )
        return tuple(runs)

    async def _warm_up(self, levels: Sequence[Level]) -> None:
        """Run the smallest and the largest level of each number of adapters once, without recording them."""
        for adapters in dict.fromkeys(level.adapters for level in levels):
            same = [level for level in levels if level.adapters == adapters]
            for level in dict.fromkeys((same[0], same[-1])):
                self._progress(0.0, f"warm-up: {describe_level(level)}")
                await self._run_level(level, 0)

    async def _run_level(self, level: Level, repetition: int) -> LevelRun:
        prompts = [prompt_ids(self._rng, level.prompt_tokens) for _ in range(level.requests)]
        before = await read_metrics(self._client)
        answers: dict[int, Answer] = {}
        clients = [self._client_loop(level, number, prompts, answers) for number in range(level.concurrency)]
        try:
            async with asyncio.TaskGroup() as group:
                for client in clients:
                    group.create_task(client)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        after = await read_metrics(self._client)
        ordered = [answers[number] for number in range(level.requests)]
        return LevelRun(level, repetition, _timings(ordered), times_between(before, after))

    async def _client_loop(
        self, level: Level, client: int, prompts: Sequence[list[int]], answers: dict[int, Answer]
    ) -> None:
        for number in range(client, level.requests, level.concurrency):
            model = self._settings.adapters[number % level.adapters] if level.adapters else self._settings.base
            answers[number] = await self._client.complete(model, prompts[number], level.output_tokens)


def describe_level(level: Level) -> str:
    """Return a level in words."""
    models = f"{level.adapters} adapter{'s' if level.adapters != 1 else ''}" if level.adapters else "base model"
    return f"{level.concurrency} at once, {level.prompt_tokens} + {level.output_tokens} tokens, {models}"


def _timings(answers: Sequence[Answer]) -> tuple[RequestTiming, ...]:
    origin = min(answer.sent for answer in answers)
    timings = []
    for answer in answers:
        others = sum(other.sent < answer.sent < other.last for other in answers)
        sent, first, last = (round(moment - origin, 6) for moment in (answer.sent, answer.first, answer.last))
        timings.append(RequestTiming(sent, first, last, answer.prompt_tokens, answer.output_tokens, others))
    return tuple(timings)
