"""Plays random bodies to a server: some at a time to routes that change nothing, one after the other to the rest.

Every body meets the same state: the adapter `a` is loaded, from the folder `l0`, and no other.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping

from tests.conformance.fuzz.answers import Answer, read_answer
from tests.conformance.fuzz.bodies import Body

Send = Callable[[str, str, bytes], Awaitable[tuple[int, str, bytes]]]
"""Sends a method, a path and a JSON body; returns status, content type and content."""

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


class Died(Exception):
    """The server did not answer, or said that its engine is dead.

    Attributes:
        names: bodies without an answer, one of which is the cause.
    """

    def __init__(self, names: list[str]) -> None:
        super().__init__(names)
        self.names = names


class Play:
    """Plays to one server, until it dies.

    Args:
        send: to the server.
        loras: folder of the adapters, put in place of `<loras>`.
        answers: by name of the body; filled while playing.
    """

    def __init__(self, send: Send, loras: str, answers: dict[str, Answer]) -> None:
        self._send = send
        self._loras = loras
        self._answers = answers

    async def all(self, bodies: Iterable[Body], at_once: int = 1) -> None:
        """Play the bodies that have no answer yet.

        Raises:
            Died: if the server died; bodies without an answer have none then.
        """
        rest = [body for body in bodies if body.name not in self._answers]
        await self._restore()
        queue = iter([body for body in rest if body.route not in (LOAD, UNLOAD)])
        await self._check(await asyncio.gather(*(self._worker(queue) for _ in range(at_once))))
        for body in rest:
            if body.route in (LOAD, UNLOAD):
                await self._check([await self._worker(iter([body]))])
                if self._answers[body.name].status == 200:
                    await self._restore()

    async def _worker(self, queue: Iterable[Body]) -> str:
        """Play what is left in the queue; return the name of the body at which the server died, or nothing."""
        for body in queue:
            content = body.content.replace(b"<loras>", self._loras.encode())
            try:
                answer = read_answer(*await self._send("POST", body.route, content))
            except ConnectionError:
                return body.name
            if answer.type == "InternalServerError" and answer.message.startswith("EngineCore encountered an issue"):
                return body.name
            self._answers[body.name] = answer
        return ""

    async def _check(self, names: Iterable[str]) -> None:
        if suspects := [name for name in names if name]:
            raise Died(suspects)

    async def _restore(self) -> None:
        _, _, content = await self._send("GET", "/v1/models", b"")
        for model in json.loads(content)["data"]:
            if model.get("parent"):
                await self._change(UNLOAD, {"lora_name": model["id"]})
        await self._change(LOAD, {"lora_name": "a", "lora_path": f"{self._loras}/l0"})

    async def _change(self, path: str, body: Mapping[str, str]) -> None:
        status, _, content = await self._send("POST", path, json.dumps(body).encode())
        if status != 200:
            raise RuntimeError(f"{path} {body}: {status} {content[:200]!r}")
