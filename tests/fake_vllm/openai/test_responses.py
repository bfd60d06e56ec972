"""Responses: what is kept, continued and cancelled, tools, and the types of the `openai` package.

Shapes of answers and errors are in the recordings (tests/conformance); here are stories that those do not tell.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from fake_vllm.distributions import Constant
from fake_vllm.engine.config import FrontendConfig
from fake_vllm.engine.context import Randomness
from fake_vllm.engine.engine import Engine, EngineConfig
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.flavors import flavor_of
from fake_vllm.http.messages import Request, Response, Stream
from fake_vllm.openai.responses_api import openai_types
from fake_vllm.router import handle
from formats.engine_command import ServerArgs
from tests.conformance.make_response_types import response_types
from twin.kernel import loop

PATH = "/v1/responses"
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
ANTHROPIC_TOOL = {"name": "f", "input_schema": TOOL["parameters"]}


class Api:
    """The routes of one engine."""

    def __init__(self, **settings: Any) -> None:
        usual = {"served_model_names": ("base",), "version": "0.32.0", "server": ServerArgs(store_responses=True)}
        config = EngineConfig(**{**usual, **settings})
        times = EngineTimes(Constant(0.0), Constant(0.0))
        self._engine = Engine(config, flavor_of(config), times, Randomness(np.random.default_rng(0)))

    async def send(self, method: str, path: str, body: Any = None) -> Response | Stream:
        path, _, query = path.partition("?")
        content = b"" if body is None else json.dumps(body).encode()
        return await handle(self._engine, Request(method, path, {"content-type": "application/json"}, content, query))

    async def ask(self, path: str, **body: Any) -> dict[str, Any]:
        return content_of(await self.send("POST", path, body))

    async def get(self, path: str) -> dict[str, Any]:
        return content_of(await self.send("GET", path))

    async def events(self, path: str, **body: Any) -> list[dict[str, Any]]:
        response = await self.send("POST", path, {**body, "stream": True})
        assert isinstance(response, Stream)
        return await read_events(response)


def content_of(response: Response | Stream) -> dict[str, Any]:
    assert isinstance(response, Response)
    content: dict[str, Any] = json.loads(response.body)
    return content


async def read_events(response: Stream) -> list[dict[str, Any]]:
    text = b"".join([chunk async for chunk in response.chunks]).decode()
    return [json.loads(block.partition("\ndata: ")[2]) for block in text.split("\n\n") if block]


def unordered(form: Any) -> Any:
    """Return types of the file with unions in one order: Python takes theirs from whichever like it was made first."""
    if isinstance(form, dict):
        return {name: unordered(value) for name, value in form.items()}
    if not isinstance(form, list):
        return form
    parts = [unordered(part) for part in form[1:]]
    return [form[0], *(sorted(parts, key=repr) if form[0] == "union" else parts)]


def story(act: Callable[[Api], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        await act(Api(**settings))

    loop.run(main())


def test_the_types_are_those_of_the_openai_package() -> None:
    file = Path(openai_types.__file__).with_name("openai_types.json")
    assert unordered(json.loads(file.read_bytes())) == unordered(response_types())


def test_a_response_in_the_background_is_queued_first_and_complete_later() -> None:
    async def act(api: Api) -> None:
        queued = await api.ask(PATH, input="hi", background=True, max_output_tokens=50, ignore_eos=True)
        assert (queued["status"], queued["output"]) == ("queued", [])
        await asyncio.sleep(60)
        done = await api.get(f"{PATH}/{queued['id']}")
        assert (done["status"], done["usage"]["output_tokens"]) == ("incomplete", 50)
        refused = await api.send("POST", f"{PATH}/{queued['id']}/cancel")
        assert (refused.status, b"Cannot cancel" in refused.body) == (400, True)  # type: ignore[union-attr]

    story(act)


def test_a_response_in_the_background_can_be_cancelled() -> None:
    async def act(api: Api) -> None:
        queued = await api.ask(PATH, input="hi", background=True, max_output_tokens=5000, ignore_eos=True)
        await asyncio.sleep(0.1)
        cancelled = await api.send("POST", f"{PATH}/{queued['id']}/cancel")
        assert content_of(cancelled)["status"] == "cancelled"
        await asyncio.sleep(600)
        assert (await api.get(f"{PATH}/{queued['id']}"))["status"] == "cancelled"

    story(act)


def test_events_of_the_background_can_be_read_again_from_any_number() -> None:
    async def act(api: Api) -> None:
        sent = await api.events(PATH, input="hi", background=True, request_id="resp_1", max_output_tokens=5)
        assert [event["sequence_number"] for event in sent] == list(range(len(sent)))
        again = await api.send("GET", f"{PATH}/resp_1?stream=true&starting_after=3")
        assert isinstance(again, Stream)
        assert await read_events(again) == sent[4:]

    story(act)


def test_a_continuation_has_the_earlier_turns_but_not_their_instructions() -> None:
    async def act(api: Api) -> None:
        shown = {"max_output_tokens": 3, "enable_response_messages": True}
        first = await api.ask(PATH, input="one", instructions="be brief", request_id="resp_1", **shown)
        second = await api.ask(PATH, input="two", previous_response_id="resp_1", **shown)
        prompt = second["input_messages"][0]["message"]
        answer = first["output"][0]["content"][0]["text"]
        assert "one" in prompt
        assert answer in prompt
        assert "be brief" in first["input_messages"][0]["message"]
        assert "be brief" not in prompt

    story(act)


def test_nothing_is_kept_unless_the_server_stores_responses() -> None:
    async def act(api: Api) -> None:
        kept = await api.ask(PATH, input="hi", max_output_tokens=1)
        assert (await api.get(f"{PATH}/{kept['id']}"))["error"]["code"] == 404

    story(act, server=ServerArgs())


def test_a_server_that_reads_tool_calls_answers_with_one() -> None:
    async def act(api: Api) -> None:
        call = (await api.ask(PATH, input="hi", tools=[TOOL], tool_choice="required"))["output"][0]
        assert (call["type"], call["name"], list(json.loads(call["arguments"]))) == ("function_call", "f", ["a"])
        events = await api.events(PATH, input="hi", tools=[TOOL], tool_choice="required")
        deltas = [event["delta"] for event in events if event["type"].endswith("arguments.delta")]
        assert "".join(deltas) == call["arguments"]
        message = {"messages": [{"role": "user", "content": "hi"}], "model": "base", "max_tokens": 50}
        block = (await api.ask("/v1/messages", **message, tools=[ANTHROPIC_TOOL]))["content"][0]
        assert (block["type"], block["name"], list(block["input"])) == ("tool_use", "f", ["a"])

    story(act, frontend=FrontendConfig(tool_call_parser="hermes"))


@pytest.mark.parametrize("path", [PATH, "/v1/messages"])
def test_an_adapter_answers_under_its_name(path: str) -> None:
    async def act(api: Api) -> None:
        body = {"input": "hi"} if path == PATH else {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
        response = await api.send("POST", path, {"model": "held", **body})
        content = content_of(response)
        assert (response.status, content["model"]) == (200, "held")
        assert "[held]" in json.dumps(content)
        assert response.headers["x-fake-vllm-weights"]

    story(act, enable_lora=True, lora_modules=(("held", "/held"),))


def test_events_are_those_of_the_openai_package() -> None:
    async def act(api: Api) -> None:
        events = await api.events(PATH, input="hi", max_output_tokens=5)
        read = [TypeAdapter[Any](ResponseStreamEvent).validate_python(event) for event in events]
        text = "".join(event.delta for event in read if event.type == "response.output_text.delta")
        assert read[-1].type == "response.completed"
        assert OpenAIResponse.model_validate(events[-1]["response"]).output_text == text

    story(act)
