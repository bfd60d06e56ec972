"""The file of measurements of a load test, so that a profile can be fitted again without the server.

It is JSON. Times are seconds since the run of a level began; lengths are tokens.
"""

from pathlib import Path
from typing import Literal

import msgspec

FORMAT: Literal["lora-twin load test"] = "lora-twin load test"


class RecordError(Exception):
    """A file of measurements cannot be used; the message says why, on one line."""


class Level(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One load: `concurrency` clients that send the next request when they have the answer to the last one."""

    concurrency: int
    prompt_tokens: int
    output_tokens: int
    adapters: int
    """Number of adapters that the requests are for, in turn; 0: all are for the base model."""
    requests: int
    """Number of requests of all clients together."""


class RequestTiming(msgspec.Struct, frozen=True, array_like=True):
    """One streamed completion; the client of request number `i` is `i` modulo the level's concurrency."""

    sent: float
    first: float
    """Time of the first token."""
    last: float
    """Time of the last token."""
    prompt_tokens: int
    output_tokens: int
    in_flight: int
    """Number of other requests without a complete answer at `sent`."""

    @property
    def time_to_first_token(self) -> float:
        return self.first - self.sent

    @property
    def inter_token_latency(self) -> float | None:
        """Mean time between tokens; None for a single token. Events of a stream may hold several tokens each."""
        return (self.last - self.first) / (self.output_tokens - 1) if self.output_tokens > 1 else None


class ServerTimes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Means over a run from the server's own histograms, in seconds.

    The fields are vLLM's `request_queue_time_seconds`, `request_prefill_time_seconds` and
    `request_decode_time_seconds`.
    """

    queue: float
    prefill: float
    decode: float


class LevelRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run of a level."""

    level: Level
    repetition: int
    requests: tuple[RequestTiming, ...]
    server: ServerTimes | None = None
    """None if the server has no such metrics."""

    @property
    def throughput(self) -> float:
        """Output tokens a second, from the first request to the last token."""
        tokens = sum(request.output_tokens for request in self.requests)
        return tokens / (
            max(request.last for request in self.requests) - min(request.sent for request in self.requests)
        )


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the measured server that decide how it schedules."""

    model: str
    max_num_seqs: int
    max_num_batched_tokens: int
    max_loras: int
    max_cpu_loras: int
    max_lora_rank: int
    kv_tokens: int | None = None
    """Size of the KV cache; None if the server does not say it."""
    version: str = ""


class LoadTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All runs of one server."""

    server: ServerSettings
    seed: int
    runs: tuple[LevelRun, ...]
    format: Literal["lora-twin load test"] = FORMAT

    def to_json(self) -> str:
        """Return the content of the file, one run a line."""
        runs = ",\n".join(msgspec.json.encode(run).decode() for run in self.runs)
        head = msgspec.json.encode({"format": self.format, "server": self.server, "seed": self.seed}).decode()
        return f'{head[:-1]},"runs":[\n{runs}\n]}}\n'


def is_load_test(text: str) -> bool:
    """Return whether a file's text begins as a file of measurements does."""
    return text.startswith(f'{{"format":"{FORMAT}"')


def parse_load_test(text: str, name: str) -> LoadTest:
    """Return the measurements in a file's text; `name` is the file.

    Raises:
        RecordError: if they cannot be used.
    """
    try:
        test = msgspec.json.decode(text.encode(), type=LoadTest)
    except msgspec.DecodeError as error:
        raise RecordError(f"{name}: not a load test: {error}") from None
    if problem := next(filter(None, map(_problem, test.runs)), "" if test.runs else "it has no runs"):
        raise RecordError(f"{name}: not a load test: {problem}")
    return test


def read_load_test(path: Path) -> LoadTest:
    """Return the measurements in a file.

    Raises:
        RecordError: if it cannot be read or used.
    """
    try:
        return parse_load_test(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _problem(run: LevelRun) -> str:
    level = run.level
    if len(run.requests) != level.requests or level.requests % max(level.concurrency, 1):
        return f"a run of {level.concurrency} clients has {len(run.requests)} of {level.requests} requests"
    if min(level.concurrency, level.prompt_tokens, level.output_tokens, level.requests) < 1 or level.adapters < 0:
        return f"a level is impossible: {level}"
    for request in run.requests:
        if (
            not 0 <= request.sent < request.first <= request.last
            or min(request.prompt_tokens, request.output_tokens) < 1
        ):
            return f"a request is impossible: {request}"
    return ""
