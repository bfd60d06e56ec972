"""Plays random bodies to a server: some at a time where they cannot affect each other, the rest one after the other.

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

    async def all(self, bodies: Iterable[Body], at_once: int = 1) -> None:
        """Play the bodies that have no answer yet; `at_once`: requests in progress.

        Raises:
            Died: if the server died.
        """
        await self.restore()
        rest = [body for body in bodies if body.name not in self._answers]
        together = iter([body for body in rest if not _is_alone(body)])
        await asyncio.gather(*(self._play(together) for _ in range(at_once)))
        await self._play([body for body in rest if _is_alone(body)])

    async def _play(self, bodies: Iterable[Body]) -> None:
        for body in bodies:
            answer = await self._answer(body)
            self._answers[body.name] = answer
            if body.route in (LOAD, UNLOAD) and answer.status == 200:
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


def _is_alone(body: Body) -> bool:
    """Return whether a body is played alone: it changes adapters, or asks for log-probabilities of its prompt.

    With LoRA, those end the engine of vLLM's CPU build if another request is in the same step: `Worker failed with
    error 'einsum(): subscript b has size 5 for operand 1 which does not broadcast with previously seen size 4'`.
    """
    return body.route in (LOAD, UNLOAD) or b'"prompt_logprobs"' in body.content or b'"echo"' in body.content
