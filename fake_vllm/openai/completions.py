"""Completions: one request's sequences in the engine, and the response once they have tokens.

The text of each choice is decided before its sequence starts (`text.py`), stop strings included. So the scheduler needs
no text, and a stream only passes pieces on as their tokens become due.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from hashlib import blake2b

import msgspec

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.engine.sequence import Ending, Sequence, SequenceGroup
from fake_vllm.http.messages import PREFIX_WEIGHTS_HEADER, WEIGHTS_HEADER, Response
from fake_vllm.openai import tokenizer
from fake_vllm.openai.choice import Choice
from fake_vllm.openai.prompts import Prompt
from fake_vllm.openai.requests import GenerateRequest
from fake_vllm.openai.responses import ResponseBuilder
from fake_vllm.openai.structured.constraint import constrained_text
from fake_vllm.openai.text import Draft, cut_at_stop, draft, draft_of

_encode = msgspec.json.encode
Builder = Callable[[GenerateRequest, EngineConfig, str, str, int], ResponseBuilder]
"""Makes the form of a response, given its request, the server's settings, its id, its model, and the time."""


@dataclass(frozen=True, slots=True)
class GenerationPlan:
    """A request whose model is not looked up yet.

    Attributes:
        model: name of the model; empty for the base model.
        request: makes the request, with all checks; raises `EngineError`.
        builder: makes the form of the response.
        request_id: id of the response; empty: a new one.
        failed: response to an error, if it has a form of its own.
    """

    model: str
    request: Callable[[EngineConfig], GenerateRequest]
    builder: Builder
    request_id: str = ""
    failed: Callable[[EngineError], Response] | None = None


class CompletionTask:
    """The work of one request."""

    def __init__(self, engine: Engine, plan: GenerationPlan) -> None:
        """Validate the request and decide its choices; no sequence is started yet.

        Raises:
            EngineError: if the engine refuses the request.
        """
        self._engine = engine
        self._adapter = engine.resolve_model(plan.model) if plan.model else ""
        engine.ensure_alive()
        self._request = request = plan.request(engine.config)
        self._name = self._adapter or engine.config.served_model_names[0]
        self.builder = plan.builder(
            request,
            engine.config,
            plan.request_id or engine.new_id(),
            request.reported_model or self._name,
            int(engine.now()),
        )
        self.streams = request.stream
        self._prefix_keys = [self._prefix_key(prompt) for prompt in request.prompts]
        self._groups = [SequenceGroup(request.n) for _ in request.prompts] if request.n > 1 else []
        prompts = request.prompts if request.refusal is None else ()
        self._choices = [
            self._choice(prompt, self._prefix_keys[position], position * request.n + number, number)
            for position, prompt in enumerate(prompts)
            for number in range(request.n)
        ]
        engine.runner.metrics.choices.observe(request.n, len(request.prompts))

    def weight_headers(self) -> dict[str, str]:
        """Return the headers that say which weights make the answer, as they are before its sequences start."""
        runner = self._engine.runner
        pairs = [runner.prefix_weights(self._adapter, key) for key in self._prefix_keys]
        headers = {WEIGHTS_HEADER: pairs[0][0]}
        if prefixes := [prefix for _, prefix in pairs if prefix]:
            headers[PREFIX_WEIGHTS_HEADER] = next((one for one in prefixes if one != pairs[0][0]), prefixes[0])
        return headers

    async def complete(self, slow: float) -> bytes:
        """Return the body of a response that is not streamed; `slow` multiplies the time.

        Raises:
            EngineError, EngineClosed: if the engine fails first.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        sequences = [self._start(choice) for choice in self._choices]
        try:
            for sequence in sequences:
                await self._engine.runner.wait_finished(sequence)
            if slow > 1:
                await asyncio.sleep((loop.time() - started) * (slow - 1))
        finally:
            for sequence in sequences:
                self._engine.runner.frontend.abort(sequence)
        if self._request.answer_error is not None:
            raise self._request.answer_error
        choices = [_as_ended(*pair) for pair in zip(self._choices, sequences, strict=True)]
        return _encode(self.builder.complete(choices))

    async def stream(self, slow: float) -> AsyncIterator[bytes]:
        """Yield server-sent events as tokens become due."""
        if prelude := self.builder.prelude():
            yield prelude
        if self._request.refusal is not None:
            yield self.builder.failure(self._request.refusal) + self.builder.done
            return
        loop = asyncio.get_running_loop()
        started = loop.time()
        tokens = TokenStream(len(self._choices))
        sequences = [self._start(choice, tokens) for choice in self._choices]
        try:
            if self._request.chat:
                await tokens.wait_first()
                yield b"".join(map(self.builder.opening, self._choices))
            sent = [0] * len(self._choices)
            while tokens.unfinished:
                await tokens.wait()
                if self._request.answer_error is not None:
                    raise self._request.answer_error
                if slow > 1:
                    await asyncio.sleep((loop.time() - started) * (slow - 1))
                if events := self._new_events(tokens, sent):
                    yield b"".join(events)
            if aborted := self._aborted_events(sequences, sent):
                yield b"".join(aborted)
            if closing := self.builder.closing(self._choices):
                yield closing
        except EngineError as error:
            yield self.builder.failure(error)
        finally:
            for sequence in sequences:
                self._engine.runner.frontend.abort(sequence)
        if self.builder.done:
            yield self.builder.done

    def _aborted_events(self, sequences: list[Sequence], sent: list[int]) -> list[bytes]:
        """Return the last event of each choice that was aborted, after `sent` tokens."""
        events = []
        for choice, sequence, count in zip(self._choices, sequences, sent, strict=True):
            if sequence.ending == "abort":
                ended = replace(choice, pieces=(*choice.pieces[:count], ""), ending="abort", stop=None)
                events.append(self.builder.event(ended, count + 1))
        return events

    async def failed(self, error: EngineError) -> AsyncIterator[bytes]:
        """Yield the events of a stream whose engine fails before the first token."""
        yield self.builder.failure(error)
        if self.builder.done:
            yield self.builder.done

    def _new_events(self, tokens: "TokenStream", sent: list[int]) -> list[bytes]:
        """Return the events of tokens that were not sent yet."""
        events = []
        for index, choice in enumerate(self._choices):
            for count in range(sent[index] + 1, tokens.counts[index] + 1):
                events.append(self.builder.event(choice, count))
            sent[index] = max(sent[index], tokens.counts[index])
        return events

    def _start(self, choice: Choice, tokens: "TokenStream | None" = None) -> Sequence:
        position = choice.index // self._request.n
        sequence = self._engine.runner.submit(
            self._adapter,
            choice.prompt.length,
            len(choice.pieces),
            limit=self._limit(choice.prompt),
            ending=choice.ending,
            prefix=self._prefix_keys[position],
            reads_cache=self._request.prompt_logprobs is None,
            group=self._groups[position] if self._groups else None,
            on_token=None if tokens is None else tokens.callback(choice.index, len(choice.pieces)),
        )
        self.builder.cached_tokens += sequence.cached
        if tokens is not None:
            sequence.done.add_done_callback(tokens.on_finished)
        return sequence

    def _choice(self, prompt: Prompt, key: bytes, index: int, number: int) -> Choice:
        """Return one choice of a prompt with this key; `number`: its number among the prompt's."""
        request = self._request
        limit = self._limit(prompt)
        source = b"/".join((key, str((self._engine.seed, request.seed, number)).encode()))
        text = self._draft(source, limit)
        stop: str | int | None
        pieces, stop = cut_at_stop(text.pieces, request.stop, request.min_tokens, include=request.include_stop)
        if request.stop_tokens:
            pieces, token = self._cut_at_token(pieces)
            stop = token if token is not None else stop
        ending: Ending = "stop" if text.ended or stop is not None else "length"
        return Choice(index, prompt, pieces, ending, stop)

    def _draft(self, source: bytes, limit: int) -> Draft:
        """Return the text for `source` before stop strings are applied."""
        request = self._request
        fixed: str | None = None
        if request.tool_calls is not None:
            fixed = request.tool_calls.arguments
        elif request.constraint is not None:
            fixed = constrained_text(request.constraint, source)
        if fixed is not None:
            return draft_of(fixed, limit)
        length = self._engine.runner.timing.answer
        return draft(source, self._name, limit, length, least=request.min_tokens, endless=request.ignore_eos)

    def _cut_at_token(self, pieces: tuple[str, ...]) -> tuple[tuple[str, ...], int | None]:
        """Return the pieces up to the first stop token, and that token.

        A client knows the model's vocabulary, so each of the fake's tokens also stands for one of the model's.
        """
        request, size = self._request, self._engine.config.frontend.vocab_size
        for number, piece in enumerate(pieces[max(0, request.min_tokens) :], max(0, request.min_tokens)):
            if not piece:  # the end of the text, which comes first on a real server too
                break
            own = tokenizer.encode(piece)[0]
            for token in (own, own % size):
                if token in request.stop_tokens:
                    return (*pieces[:number], piece if request.include_stop else ""), token
        return pieces, None

    def _limit(self, prompt: Prompt) -> int:
        space = max(1, self._engine.config.max_model_len - prompt.length)
        return space if self._request.max_tokens is None else max(1, min(self._request.max_tokens, space))

    def _prefix_key(self, prompt: Prompt) -> bytes:
        return blake2b(f"{self._adapter}\0{prompt.identity}".encode("utf-8", "replace"), digest_size=16).digest()


def _as_ended(choice: Choice, sequence: Sequence) -> Choice:
    """Return a choice with the tokens that its sequence got, which are fewer if it was aborted."""
    if sequence.ending != "abort":
        return choice
    return replace(choice, pieces=choice.pieces[: sequence.output], ending="abort", stop=None)


class TokenStream:
    """Tokens of all choices of one stream, and a way to wait for them."""

    def __init__(self, choices: int) -> None:
        self.counts = [0] * choices
        """Tokens so far, by choice."""
        self.unfinished = choices
        """Number of choices that have not ended."""
        self._error: BaseException | None = None
        self._changed = asyncio.Event()

    def callback(self, index: int, length: int) -> "TokenCallback":
        """Return the scheduler's callback for one choice of `length` tokens."""
        return TokenCallback(self, index, length)

    def on_tokens(self, index: int, count: int) -> None:
        """Record that a choice has `count` tokens."""
        self.counts[index] = count
        self._changed.set()

    def on_finished(self, done: "asyncio.Future[None]") -> None:
        """Record that a choice is complete or failed."""
        if not done.cancelled() and (error := done.exception()) is not None:
            self._error = error
        self.unfinished -= 1
        self._changed.set()

    async def wait_first(self) -> None:
        """Wait for the first token, without consuming it."""
        await self._changed.wait()
        if self._error is not None:
            raise self._error

    async def wait(self) -> None:
        """Wait for a change."""
        await self._changed.wait()
        self._changed.clear()
        if self._error is not None:
            raise self._error


@dataclass(frozen=True, slots=True)
class TokenCallback:
    """Passes the scheduler's progress of one choice on to its stream."""

    tokens: TokenStream
    index: int
    length: int

    def __call__(self, count: int, due: float) -> None:  # noqa: ARG002 - signature of `OnToken`
        self.tokens.on_tokens(self.index, min(count, self.length))
