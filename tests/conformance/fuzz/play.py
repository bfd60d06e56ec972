"""Plays random bodies to a server, one after the other.

Every body meets the same state: the adapter `a` is loaded, from the folder `l0`, and no other.
"""

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
        name: name of the body.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


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

    async def all(self, bodies: Iterable[Body]) -> None:
        """Play the bodies that have no answer yet.

        Raises:
            Died: if the server died.
        """
        await self.restore()
        for body in bodies:
            if body.name not in self._answers:
                self._answers[body.name] = await self._answer(body)
                if body.route in (LOAD, UNLOAD) and self._answers[body.name].status == 200:
                    await self.restore()

    async def _answer(self, body: Body) -> Answer:
        content = body.content.replace(b"<loras>", self._loras.encode())
        try:
            answer = read_answer(*await self._send("POST", body.route, content))
        except ConnectionError as error:
            raise Died(body.name) from error
        if answer.type == "InternalServerError" and answer.message.startswith("EngineCore encountered an issue"):
            raise Died(body.name)
        return answer

    async def restore(self) -> None:
        """Load the adapter `a`, and no other."""
        _, _, content = await self._send("GET", "/v1/models", b"")
        for model in json.loads(content)["data"]:
            if model.get("parent"):
                await self._change(UNLOAD, {"lora_name": model["id"]})
        await self._change(LOAD, {"lora_name": "a", "lora_path": f"{self._loras}/l0"})

    async def _change(self, path: str, body: Mapping[str, str]) -> None:
        status, _, content = await self._send("POST", path, json.dumps(body).encode())
        if status != 200:
            raise RuntimeError(f"{path} {body}: {status} {content[:200]!r}")
