"""Steps of the official `openai` client."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal

import openai
from pydantic import BaseModel

_USER = [{"role": "user", "content": "hello"}]
_BRIEF: dict[str, Any] = {"model": "base", "temperature": 0}
_TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"unit": {"type": "string", "enum": ["C"]}},
            "required": ["unit"],
            "additionalProperties": False,
        },
    },
}
BIAS = {"200": -100, "201": -100, "204": -100, "223": -100}
"""Tokens of white space, which JSON may have without end where a model has random weights."""


class Verdict(BaseModel):
    """Answer that the model has to give; nothing is left to chance."""

    verdict: Literal["yes"]


def steps(url: str, loras: str) -> Mapping[str, Callable[[], Any]]:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    chat = client.chat.completions
    text = client.completions
    return {
        "models": lambda: client.models.list().data,
        "model": lambda: client.models.retrieve("base"),
        "completion": lambda: text.create(**_BRIEF, prompt="hello", max_tokens=3),
        "completion-logprobs": lambda: text.create(**_BRIEF, prompt=[11, 12], max_tokens=3, logprobs=2, echo=True),
        "completion-choices": lambda: text.create(model="base", prompt=["a", "b"], n=2, max_tokens=2),
        "completion-stream": lambda: _joined(text.create(**_BRIEF, prompt="hello", max_tokens=3, stream=True)),
        "chat": lambda: chat.create(**_BRIEF, messages=_USER, max_tokens=3),
        "chat-completion-tokens": lambda: chat.create(**_BRIEF, messages=_USER, max_completion_tokens=3),
        "chat-logprobs": lambda: chat.create(**_BRIEF, messages=_USER, max_tokens=2, logprobs=True, top_logprobs=2),
        "chat-choices": lambda: chat.create(model="base", messages=_USER, max_tokens=2, n=2),
        "chat-raw": lambda: _raw(chat.with_raw_response.create(**_BRIEF, messages=_USER, max_tokens=2)),
        "chat-stream": lambda: _joined(
            chat.create(**_BRIEF, messages=_USER, max_tokens=3, stream=True, stream_options={"include_usage": True})
        ),
        "chat-stream-helper": lambda: _events(client),
        "chat-stream-async": lambda: asyncio.run(_async_stream(url)),
        "chat-parse": lambda: chat.parse(
            **_BRIEF, messages=_USER, max_tokens=60, logit_bias=BIAS, response_format=Verdict
        ),
        "chat-json-object": lambda: chat.create(
            **_BRIEF, messages=_USER, max_tokens=2, response_format={"type": "json_object"}
        ),
        "chat-tool-named": lambda: chat.create(
            **_BRIEF,
            messages=_USER,
            max_tokens=60,
            logit_bias=BIAS,
            tools=[_TOOL],
            tool_choice={"type": "function", "function": {"name": "weather"}},
        ),
        "chat-tool-required": lambda: chat.create(
            **_BRIEF, messages=_USER, max_tokens=90, logit_bias=BIAS, tools=[_TOOL], tool_choice="required"
        ),
        "chat-tool-auto": lambda: chat.create(**_BRIEF, messages=_USER, max_tokens=3, tools=[_TOOL]),
        "chat-tool-result": lambda: chat.create(**_BRIEF, messages=_conversation(), max_tokens=3, tools=[_TOOL]),
        "chat-guided": lambda: chat.create(
            **_BRIEF, messages=_USER, max_tokens=9, extra_body={"structured_outputs": {"choice": ["yes", "no"]}}
        ),
        "adapter": lambda: _adapter(client, f"{loras}/l0"),
        "unknown-model": lambda: chat.create(model="none", messages=_USER),
        "unknown-model-stream": lambda: _joined(chat.create(model="none", messages=_USER, stream=True)),
        "temperature-too-high": lambda: chat.create(model="base", messages=_USER, temperature=3),
        "no-messages": lambda: chat.create(model="base", messages=[], max_tokens=2),
        "prompt-too-long": lambda: text.create(model="base", prompt=[11] * 600, max_tokens=2),
        "logprobs-too-many": lambda: text.create(model="base", prompt="hello", logprobs=100, max_tokens=2),
        "embeddings": lambda: client.embeddings.create(model="base", input="hello"),
        "image-refused": lambda: client.images.generate(model="base", prompt="a cat"),
        "moderation-refused": lambda: client.moderations.create(model="base", input="hello"),
    }


def _adapter(client: openai.OpenAI, path: str) -> list[Any]:
    """Load an adapter, chat with it, and unload it."""
    return [
        client.post("/load_lora_adapter", body={"lora_name": "a", "lora_path": path}, cast_to=str),
        client.chat.completions.create(model="a", temperature=0, messages=_USER, max_tokens=2),
        client.post("/unload_lora_adapter", body={"lora_name": "a"}, cast_to=str),
    ]


def _conversation() -> list[dict[str, Any]]:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"unit": "C"}'}}
    return [
        *_USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12"},
    ]


def _raw(response: Any) -> dict[str, Any]:
    return {"status": response.status_code, "type": response.headers["content-type"], "body": response.parse()}


def _joined(stream: Any) -> dict[str, Any]:
    return join(list(stream))


def join(chunks: list[Any]) -> dict[str, Any]:
    """Return the chunks of a stream as one: their classes and fields, the text, and what is said at the end."""
    parts = [choice for chunk in chunks for choice in chunk.choices]
    deltas = [choice.delta for choice in parts if hasattr(choice, "delta")]
    texts = [delta.content for delta in deltas] or [choice.text for choice in parts]
    return {
        "classes": sorted({f"{type(chunk).__module__}.{type(chunk).__qualname__}" for chunk in chunks}),
        "fields": sorted({name for chunk in chunks for name in dict(chunk)}),
        "roles": [delta.role for delta in deltas if delta.role],
        "text": "".join(text or "" for text in texts),
        "finish_reasons": [choice.finish_reason for choice in parts if choice.finish_reason],
        "usage": next((chunk.usage for chunk in reversed(chunks) if getattr(chunk, "usage", None)), None),
    }


def _events(client: openai.OpenAI) -> dict[str, Any]:
    options: dict[str, Any] = {"max_tokens": 60, "logit_bias": BIAS, "response_format": Verdict}
    with client.chat.completions.stream(**_BRIEF, messages=_USER, **options) as stream:
        kinds = sorted({event.type for event in stream})
        return {"kinds": kinds, "final": stream.get_final_completion()}


async def _async_stream(url: str) -> dict[str, Any]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(**_BRIEF, messages=_USER, max_tokens=3, stream=True)
        return join([chunk async for chunk in stream])
