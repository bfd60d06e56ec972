"""The answers to an `Ask`: sequences in the batch, and what is said when they have their tokens.

What an answer will say is settled before it begins (`text.py`), stop strings included; so the batch needs no
text, and a stream only has to hand out pieces as their tokens fall due.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate

import msgspec

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.engine.sequence import Ending, Sequence
from fake_vllm.openai.requests import GenerateRequest, Prompt
from fake_vllm.openai.responses import ResponseBuilder
from fake_vllm.openai.text import draft

_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice as it will be: its text by tokens, and why it ends."""

    index: int
    prompt: Prompt
    pieces: tuple[str, ...]
    ending: Ending
    stop: str | None
    """The stop string that ended it."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """How answers of one kind look, and what is refused before there are any (raises `EngineFault`)."""

    shape: type[ResponseBuilder]
    check: Callable[[GenerateRequest, EngineConfig], None]


class CompletionTask:
    """All that one request makes an engine do."""

    def __init__(self, engine: Engine, ask: GenerateRequest, form: ResponseFormat, request_id: str) -> None:
        """Refuses what the engine refuses; nothing has begun then.

        Raises:
            EngineFault: as vLLM would.
        """
        self._engine = engine
        self._ask = ask
        self._adapter = engine.requested_adapter(ask.model) if ask.model else ""
        form.check(ask, engine.config)
        engine.ensure_alive()
        self._speaker = self._adapter or ask.model or engine.config.served_model_names[0]
        own_id, shown = request_id or engine.new_id(), ask.shown or self._speaker
        self.shape = form.shape(ask, engine.config, own_id, shown, int(engine.now()))
        self._answers = [
            self._answer(prompt, at * ask.n + choice, choice)
            for at, prompt in enumerate(ask.prompts)
            for choice in range(ask.n)
        ]
        engine.runner.metrics.choices.observe(ask.n)

    async def whole(self, slow: float) -> bytes:
        """The body of an answer in one piece.

        Raises:
            EngineFault, EngineClosed: if the engine dies first.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        sequences = [self._begin(answer) for answer in self._answers]
        try:
            for sequence in sequences:
                await self._engine.runner.wait_finished(sequence)
            if slow > 1:
                await asyncio.sleep((loop.time() - began) * (slow - 1))
        finally:
            for sequence in sequences:
                self._engine.runner.scheduler.abort(sequence)
        return _encode(self.shape.whole(self._answers))

    async def stream(self, slow: float) -> AsyncIterator[bytes]:
        """Server-sent events, as tokens come."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        feed = TokenStream(len(self._answers))
        sequences = [self._begin(answer, feed) for answer in self._answers]
        try:
            if self._ask.chat:
                await feed.first()
                yield b"".join(map(self.shape.opening, self._answers))
            sent = [0] * len(self._answers)
            while feed.open:
                await feed.more()
                if slow > 1:
                    await asyncio.sleep((loop.time() - began) * (slow - 1))
                if events := self._new(feed, sent):
                    yield b"".join(events)
            if self._ask.usage:
                yield self.shape.usage(self._answers)
        except EngineError as fault:
            yield self.shape.failure(fault)
        finally:
            for sequence in sequences:
                self._engine.runner.scheduler.abort(sequence)
        yield b"data: [DONE]\n\n"

    def _new(self, feed: "TokenStream", sent: list[int]) -> list[bytes]:
        """The events of tokens that have come and were not sent yet."""
        events = []
        for at, answer in enumerate(self._answers):
            for upto in range(sent[at] + 1, feed.counts[at] + 1):
                events.append(self.shape.event(answer, upto))
            sent[at] = max(sent[at], feed.counts[at])
        return events

    def _begin(self, answer: Choice, feed: "TokenStream | None" = None) -> Sequence:
        sequence = self._engine.runner.submit(
            self._adapter,
            answer.prompt.length,
            len(answer.pieces),
            limit=self._limit(answer.prompt),
            ending=answer.ending,
            prefix=self._key(answer.prompt),
            on_token=None if feed is None else feed.listener(answer.index, len(answer.pieces)),
        )
        if feed is not None:
            sequence.done.add_done_callback(feed.on_finished)
        return sequence

    def _answer(self, prompt: Prompt, index: int, choice: int) -> Choice:
        ask = self._ask
        limit = self._limit(prompt)
        source = b"/".join((self._key(prompt), str((self._engine.seed, ask.seed, choice)).encode()))
        length = self._engine.runner.timing.answer
        made = draft(source, self._speaker, limit, length, least=ask.min_tokens, endless=ask.endless)
        pieces, stop = _cut(made.pieces, ask.stop, ask.min_tokens, keep=ask.keep_stop)
        ending: Ending = "stop" if made.ended or stop is not None else "length"
        return Choice(index, prompt, pieces, ending, stop)

    def _limit(self, prompt: Prompt) -> int:
        room = max(1, self._engine.config.max_model_len - prompt.length)
        return room if self._ask.max_tokens is None else max(1, min(self._ask.max_tokens, room))

    def _key(self, prompt: Prompt) -> bytes:
        return blake2b(f"{self._adapter}\0{prompt.text}".encode("utf-8", "replace"), digest_size=16).digest()


class TokenStream:
    """What a stream waits for: tokens of any of its answers."""

    def __init__(self, answers: int) -> None:
        self.counts = [0] * answers
        self.open = answers
        """Answers that have not ended."""
        self.failed: BaseException | None = None
        self._news = asyncio.Event()

    def listener(self, at: int, whole: int) -> "TokenCallback":
        """What the batch tells of the tokens of one answer."""
        return TokenCallback(self, at, whole)

    def arrived(self, at: int, count: int) -> None:
        """So many tokens are there by now."""
        self.counts[at] = count
        self._news.set()

    def on_finished(self, done: "asyncio.Future[None]") -> None:
        """An answer is complete, or will never be."""
        if not done.cancelled() and (error := done.exception()) is not None:
            self.failed = error
        self.open -= 1
        self._news.set()

    async def first(self) -> None:
        """Wait for the first token, and leave it to be sent."""
        await self._news.wait()
        if self.failed is not None:
            raise self.failed

    async def more(self) -> None:
        """Wait for something new."""
        await self._news.wait()
        self._news.clear()
        if self.failed is not None:
            raise self.failed


@dataclass(frozen=True, slots=True)
class TokenCallback:
    """Passes on what the batch tells of one answer."""

    feed: TokenStream
    at: int
    whole: int

    def __call__(self, count: int, due: float) -> None:  # noqa: ARG002 - of the protocol `OnToken`
        self.feed.arrived(self.at, min(count, self.whole))


def _cut(
    pieces: tuple[str, ...], stops: tuple[str, ...], least: int, *, keep: bool
) -> tuple[tuple[str, ...], str | None]:
    """The pieces up to the first stop string, and that one; it is looked for behind the `least` first tokens."""
    if not stops:
        return pieces, None
    whole = "".join(pieces)
    ends = list(accumulate(map(len, pieces)))
    behind = ends[least - 1] if 0 < least <= len(ends) else 0
    found = [(at, stop) for stop in stops if (at := whole.find(stop, max(0, behind - len(stop) + 1))) >= 0]
    if not found:
        return pieces, None
    at, stop = min(found, key=lambda each: each[0] + len(each[1]))
    last = next(number for number, end in enumerate(ends) if end >= at + len(stop))
    kept = whole[: at + len(stop) if keep else at]
    return (*_split(kept, ends[:last]), kept[ends[last - 1] if last else 0 :]), stop


def _split(kept: str, ends: list[int]) -> list[str]:
    """`kept` cut at `ends`; what is behind its end is empty, as tokens are that a stop string took away."""
    starts = [0, *ends[:-1]]
    return [kept[start:end] for start, end in zip(starts, ends, strict=True)] if ends else []
