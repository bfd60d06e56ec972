"""`POST /inference/v1/generate` where there is no recording: read in vLLM 0.28.0's source. The rest is in the table."""

import json
from typing import Any

import pytest

from fake_vllm.http.messages import Request, Stream
from fake_vllm.router import handle
from tests.conformance.profiles import PROFILES
from tests.conformance.servers.in_process import engine_in_process
from twin.kernel import loop

TOKENS = {"token_ids": [5, 6, 7], "sampling_params": {"max_tokens": 2, "ignore_eos": True}}


def post(version: str, **fields: Any) -> tuple[int, bytes]:
    """Return status and body of the response to `TOKENS` with other `fields`."""

    async def story() -> tuple[int, bytes]:
        engine = engine_in_process(version, PROFILES["lora"])
        content = json.dumps({**TOKENS, **fields}).encode()
        request = Request("POST", "/inference/v1/generate", {"content-type": "application/json"}, content)
        response = await handle(engine, request)
        if isinstance(response, Stream):
            return response.status, b"".join([chunk async for chunk in response.chunks])
        return response.status, response.body

    return loop.run(story())


def test_a_stream_has_an_event_for_each_token_and_one_for_the_usage() -> None:
    status, body = post("0.28.0", stream=True, stream_options={"include_usage": True})
    *events, done = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
    chunks = [json.loads(event) for event in events]
    assert (status, done) == (200, "[DONE]")
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]] == [None, "length"]
    assert chunks[-1]["usage"] == {"prompt_tokens": 3, "total_tokens": 5, "completion_tokens": 2}


def test_the_first_release_has_no_streams() -> None:
    status, body = post("0.16.0", stream=True)
    assert (status, [choice["index"] for choice in json.loads(body)["choices"]]) == (200, [0])


def test_without_a_limit_the_answer_may_fill_the_context() -> None:
    status, body = post("0.28.0", sampling_params={"ignore_eos": True})
    assert (status, len(json.loads(body)["choices"][0]["token_ids"])) == (200, 512 - 3)


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"model": "none"}, 404, "The model `none` does not exist."),
        ({"token_ids": [-1]}, 400, "token_ids must not contain negative values"),
        ({"sampling_params": {"temperature": -1}}, 400, "temperature must be non-negative"),
        ({"sampling_params": {"max_tokens": "many"}}, 400, "'sampling_params', 'max_tokens'"),
    ],
)
def test_a_refusal_names_what_is_wrong(fields: dict[str, Any], status: int, text: str) -> None:
    code, body = post("0.28.0", **fields)
    assert (code, text in json.loads(body)["error"]["message"]) == (status, True), body
