"""Sequences, one for each choice that a client waits for, and the queue of those that wait to be scheduled."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Ending = Literal["stop", "length", "abort"]
OnToken = Callable[[int, float], None]
"""Called with the number of tokens so far, and the time when the step of the last one was due to end."""


@dataclass(slots=True)
class SequenceGroup:
    """The sequences of one prompt's choices, until all have ended."""

    unfinished: int
    longest: int = 0
    """Tokens of the longest one."""


@dataclass(slots=True, eq=False)
class Sequence:
    """A prompt and its continuation; lengths in tokens, times of the event loop."""

    adapter: str
    """Empty for the base model."""
    prompt: int
    output: int
    """Tokens that it will get, at least one."""
    limit: int
    """Tokens that it could get: `max_tokens`."""
    ending: Ending
    done: asyncio.Future[None]
    on_token: OnToken | None = None
    cached: int = 0
    """Prompt tokens in the prefix cache."""
    weights: str = ""
    """Digest of the weights that it is computed with."""
    prefix_weights: str = ""
    """Digest of the weights that the blocks from the prefix cache were computed with; empty without such blocks."""
    reads_cache: bool = True
    """The prefix cache is asked for its prompt."""
    group: SequenceGroup | None = None
    """Choices of the same prompt; None if it is the only one."""
    number: int = 0
    arrived: float = 0.0
    enqueued: float = 0.0
    """Time at which it came from the API server to the scheduler."""
    admitted: float = -1.0
    first: float = -1.0
    """Time of the first token; negative before it."""
    finished: float = -1.0
    remaining_prefill: int = field(init=False)
    """Tokens to prefill before the next one can be generated."""
    generated: int = 0
    """Tokens that it had when it was last preempted."""
    preemptions: int = 0
    """Number of times that it was preempted."""
    ends_at: int = -1
    """Number of the step that completes it; negative while it is not decoding."""
    chunk: int = 0
    """Prompt tokens that the current step prefills."""

    def __post_init__(self) -> None:
        self.remaining_prefill = max(1, self.prompt - self.cached)

    @property
    def cache_tokens(self) -> int:
        """Tokens in the KV cache after prefill."""
        return self.prompt + self.generated


class WaitingQueue:
    """Sequences that wait to be scheduled, in queues by adapter; the oldest one that is eligible is next."""

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
        """Adapters with waiting sequences, in the order of their first one."""
        return [adapter for adapter in self._lines if adapter]

    def add(self, sequence: Sequence) -> None:
        """Append a sequence."""
        self._lines.setdefault(sequence.adapter, deque()).append(sequence)
        self._size += 1

    def put_back(self, sequence: Sequence) -> None:
        """Put a preempted sequence back at the front."""
        self._lines.setdefault(sequence.adapter, deque()).appendleft(sequence)
        self._size += 1

    def count_ineligible(self, eligible: Callable[[str], bool]) -> int:
        """Return the number of sequences whose adapter is not eligible."""
        return sum(len(line) for adapter, line in self._lines.items() if not eligible(adapter))

    def next(self, eligible: Callable[[str], bool]) -> Sequence | None:
        """Return the oldest sequence whose adapter is eligible, without removing it."""
        best: Sequence | None = None
        for adapter, line in self._lines.items():
            if (best is None or line[0].number < best.number) and eligible(adapter):
                best = line[0]
        return best

    def remove(self, sequence: Sequence) -> None:
        """Remove a sequence."""
        line = self._lines[sequence.adapter]
        line.remove(sequence)
        self._size -= 1
        if not line:
            del self._lines[sequence.adapter]
