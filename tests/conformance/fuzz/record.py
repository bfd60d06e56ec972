"""`make record-fuzz VLLM=0.32.0`: plays the random bodies to that vLLM and keeps its answers.

Routes that the recording has are left out, so that an interrupted run goes on; `--again` plays all.
A server that dies is started again; the bodies that were in progress are then played alone, to find the cause.
"""

import argparse
import asyncio
import sys
import tempfile
from itertools import groupby
from pathlib import Path

import httpx

from tests.conformance.adapters.artifacts import make_all
from tests.conformance.fuzz import answers as recorded
from tests.conformance.fuzz import schema
from tests.conformance.fuzz.answers import BROKEN, Answer, Recording
from tests.conformance.fuzz.bodies import Body, bodies
from tests.conformance.fuzz.play import Died, Play, Send
from tests.conformance.profiles import PROFILES
from tests.conformance.recording_files import RecordingError
from tests.conformance.servers.engines import Engine, real_vllm, serving
from tests.conformance.servers.install import install, installation_of

_AT_ONCE = 8
_TIMEOUT = 120.0  # seconds
_HEADERS = {"content-type": "application/json", "connection": "close"}
"""uvicorn closes a connection after an error that its application did not catch; none is used twice."""


def main() -> int:
    options = _options()
    version = options.version.removeprefix("v")
    try:
        known = schema.read(version)
        made = Recording(version) if options.again or version not in recorded.versions() else recorded.read(version)
    except RecordingError as error:
        print(error, file=sys.stderr)
        return 2
    folder = installation_of(version)
    install(folder, version)
    with real_vllm(folder) as engine, tempfile.TemporaryDirectory(prefix="conformance-") as name:
        make_all(Path(name) / "loras")
        for route, group in groupby(bodies(known), key=lambda body: body.route):
            asked = list(group)
            if made.asked.get(route) != recorded.digest(asked):
                made = made.with_route(asked, _play(engine, asked, Path(name)))
                recorded.write(made)
                print(f"{route}: {len(asked)} bodies", file=sys.stderr, flush=True)
    print(
        f"{sum(len(each) for each in made.answers.values())} answers of vLLM {version} in {recorded.path_of(version)}"
    )
    return 0


def _play(engine: Engine, asked: list[Body], folder: Path) -> dict[str, Answer]:
    """Return the answers to all bodies; one that ends the server has an answer that says so."""
    answers: dict[str, Answer] = {}
    alone = 0
    while rest := [body for body in asked if body.name not in answers]:
        with serving(engine, PROFILES["lora"], folder / "server.log") as running:
            try:
                asyncio.run(_play_to(running.url, rest[:alone], str(folder / "loras"), answers, 1))
                alone = 0
                asyncio.run(_play_to(running.url, rest, str(folder / "loras"), answers, _AT_ONCE))
            except Died as death:
                code = running.wait(30)
                print(f"the server ended with exit code {code} at {death.name}", file=sys.stderr, flush=True)
                if alone:
                    answers[death.name] = Answer(0, "died", str(code))
                alone = 2 * _AT_ONCE
    return answers


async def _play_to(url: str, asked: list[Body], loras: str, answers: dict[str, Answer], at_once: int) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, trust_env=False) as client:
        await Play(_sender(client), loras, answers).all(asked, at_once)


def _sender(client: httpx.AsyncClient) -> Send:
    async def send(method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        try:
            response = await client.request(method, path, content=body, headers=_HEADERS)
        except httpx.RemoteProtocolError as error:
            if "incomplete chunked read" in str(error):
                return 200, BROKEN, b""
            raise ConnectionError(str(error)) from error
        except httpx.TransportError as error:
            raise ConnectionError(str(error)) from error
        return response.status_code, response.headers.get("content-type", ""), response.content

    return send


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.fuzz.record", description=__doc__)
    parser.add_argument("version", metavar="VERSION", help="a release of vLLM, such as 0.32.0")
    parser.add_argument("--again", action="store_true", help="play what the recording has, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
