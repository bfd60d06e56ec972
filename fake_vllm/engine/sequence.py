"""Sequences: what an engine's batch works on, one for each answer that somebody waits for."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Ending = Literal["stop", "length", "abort"]
OnToken = Callable[[int, float], None]
"""Told how many tokens there are by now, and when the step that made the last one was due to end."""


@dataclass(slots=True, eq=False)
class Sequence:
    """One prompt, one answer; lengths in tokens, times as the event loop has them."""

    adapter: str
    """Empty for the base model."""
    prompt: int
    output: int
    """How many tokens it will get, at least one."""
    limit: int
    """How many it might have got: `max_tokens`."""
    ending: Ending
    done: asyncio.Future[None]
    on_token: OnToken | None = None
    cached: int = 0
    """Prompt tokens that need no computing, being in the prefix cache."""
    number: int = 0
    arrived: float = 0.0
    admitted: float = -1.0
    first: float = -1.0
    """When the first token was there; negative: not yet."""
    finished: float = -1.0
    remaining_prefill: int = field(init=False)
    """Tokens that are still to be computed before the next one can be made."""
    generated: int = 0
    """Tokens that it had when it was last taken off the batch."""
    ends_at: int = -1
    """The step after which it is complete; negative while it is not being decoded."""
    chunk: int = 0
    """Prompt tokens that the step under way reads."""

    def __post_init__(self) -> None:
        self.remaining_prefill = max(1, self.prompt - self.cached)

    @property
    def held(self) -> int:
        """Tokens in the KV cache once the prompt is in."""
        return self.prompt + self.generated


class WaitingQueue:
    """Sequences that wait for a place, in line by adapter; the oldest of those that may go comes first."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Sequence]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Sequence]:
        for line in self._lines.values():
            yield from line

    @property
    def adapters(self) -> list[str]:
        """Those for whom somebody waits, in the order in which they began to."""
        return [adapter for adapter in self._lines if adapter]

    def add(self, sequence: Sequence) -> None:
        """Put it at the end."""
        self._lines.setdefault(sequence.adapter, deque()).append(sequence)
        self._size += 1

    def put_back(self, sequence: Sequence) -> None:
        """Put it in front again, where it came from."""
        self._lines.setdefault(sequence.adapter, deque()).appendleft(sequence)
        self._size += 1

    def next(self, may_go: Callable[[str], bool]) -> Sequence | None:
        """The oldest one whose adapter may go; it stays in line."""
        best: Sequence | None = None
        for adapter, line in self._lines.items():
            if (best is None or line[0].number < best.number) and may_go(adapter):
                best = line[0]
        return best

    def remove(self, sequence: Sequence) -> None:
        """Take it out."""
        line = self._lines[sequence.adapter]
        line.remove(sequence)
        self._size -= 1
        if not line:
            del self._lines[sequence.adapter]
