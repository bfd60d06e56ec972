"""Responses that a server keeps, so that clients can read, continue and cancel them.

A real server keeps them in its process, without a limit and until it ends.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from fake_vllm.engine.lora import EngineClosed

Json = dict[str, Any]
_RUNNING = ("queued", "in_progress")


class EventLog:
    """Events of a response that is computed in the background; readers may come at any time."""

    def __init__(self) -> None:
        self._events: list[bytes] = []
        self._ended = False
        self._changed = asyncio.Event()

    def add(self, event: bytes) -> None:
        """Add one event."""
        self._events.append(event)
        self._wake()

    def end(self) -> None:
        """Mark the last event as sent."""
        self._ended = True
        self._wake()

    async def read(self, start: int = 0) -> AsyncIterator[bytes]:
        """Yield events from number `start` on, and wait for those to come."""
        while True:
            for event in self._events[start:]:
                yield event
            start = max(start, len(self._events))
            if self._ended:
                return
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass(slots=True)
class StoredResponse:
    """A response and what its continuation needs.

    Attributes:
        content: the response as JSON; changes with its status.
        messages: messages of the chat that it answers.
        task: computes it in the background; None if the client waited.
        events: events of a stream in the background, None without one.
    """

    content: Json
    messages: list[Json]
    task: asyncio.Task[None] | None = None
    events: EventLog | None = None

    @property
    def runs(self) -> bool:
        return self.content["status"] in _RUNNING

    def answered_messages(self) -> list[Json]:
        """Return the conversation with the answer; instructions do not carry over to the next response."""
        texts = [
            part["text"] for item in self.content["output"] if item["type"] == "message" for part in item["content"]
        ]
        before = [message for message in self.messages if message["role"] != "system"]
        return before + [{"role": "assistant", "content": text} for text in texts]

    async def replay(self, start: int) -> AsyncIterator[bytes]:
        """Yield the events of a stream in the background from number `start` on.

        Raises:
            EngineClosed: if there was none; a real server breaks the connection then.
        """
        if self.events is None:
            raise EngineClosed("the response was not streamed in the background")
        async for event in self.events.read(start):
            yield event


@dataclass(slots=True)
class ResponseStore:
    """The responses of one server, by id."""

    responses: dict[str, StoredResponse] = field(default_factory=dict)

    def put(self, content: Json, messages: list[Json]) -> StoredResponse:
        """Store a response, or the new content of one that was not cancelled; return it."""
        stored = self.responses.get(content["id"])
        if stored is None or not stored.task:
            stored = self.responses[content["id"]] = StoredResponse(content, messages)
        elif stored.content["status"] != "cancelled":
            stored.content = content
        return stored

    def cancel(self, stored: StoredResponse) -> None:
        """Cancel a response that is still computed."""
        stored.content = {**stored.content, "status": "cancelled"}
        if stored.task is not None:
            stored.task.cancel()
