"""The fake, in this process and in virtual time, with the flags that the other recordings are compared with."""

from collections.abc import Mapping
from pathlib import Path

from fake_vllm.engine.engine import Engine, EngineClosed
from fake_vllm.http.messages import Request, Stream
from fake_vllm.router import handle
from tests.conformance.fuzz.answers import BROKEN, Answer
from tests.conformance.fuzz.bodies import Body
from tests.conformance.fuzz.play import Play, Send
from tests.conformance.profiles import PROFILES
from tests.conformance.servers.in_process import engine_in_process
from twin.kernel import loop


def play_to_fake(version: str, bodies: list[Body], loras: Path) -> Mapping[str, Answer]:
    """Return the fake's answers by the bodies' names."""
    answers: dict[str, Answer] = {}

    async def story() -> None:
        engine = engine_in_process(version, PROFILES["lora"])
        await Play(_sender(engine), str(loras), answers).all(bodies)
        engine.close()

    loop.run(story())
    return answers


def response_of_fake(version: str, body: Body, loras: Path) -> tuple[int, str, bytes]:
    """Return status, content type and content of a new fake's answer to one body."""

    async def story() -> tuple[int, str, bytes]:
        engine = engine_in_process(version, PROFILES["lora"])
        send = _sender(engine)
        await Play(send, str(loras), {}).restore()
        response = await send("POST", body.route, body.content.replace(b"<loras>", str(loras).encode()))
        engine.close()
        return response

    return loop.run(story())


def _sender(engine: Engine) -> Send:
    async def send(method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        try:
            response = await handle(engine, Request(method, path, {"content-type": "application/json"}, body))
        except Exception as error:
            return 500, "text/plain", repr(error).encode()
        if not isinstance(response, Stream):
            return response.status, response.headers.get("content-type", ""), response.body
        try:
            content = b"".join([chunk async for chunk in response.chunks])
        except EngineClosed:
            return response.status, BROKEN, b""
        return response.status, response.headers.get("content-type", ""), content

    return send
