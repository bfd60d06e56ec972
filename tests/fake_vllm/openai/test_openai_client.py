"""The official `openai` client against the fake, and the errors that it raises."""

import asyncio
from collections.abc import Awaitable, Callable

import openai
import pytest

from tests.fake_vllm.processes import UPDATING, running

KEY = {**UPDATING, "VLLM_API_KEY": "sk-test"}


def asked(
    story: Callable[[openai.AsyncOpenAI, openai.OpenAI], Awaitable[None]], *flags: str, key: str = "sk-test"
) -> None:
    async def main() -> None:
        async with running("--max-model-len", "1000", *flags, env=KEY) as (port, _):
            base = f"http://127.0.0.1:{port}/v1"
            blocking = openai.OpenAI(base_url=base, api_key=key, max_retries=0)
            async with openai.AsyncOpenAI(base_url=base, api_key=key, max_retries=0) as client:
                with blocking:
                    await story(client, blocking)

    asyncio.run(main())


def test_completions_chats_and_streams_work_unchanged() -> None:
    async def story(client: openai.AsyncOpenAI, blocking: openai.OpenAI) -> None:
        assert [model.id async for model in client.models.list()] == ["base"]
        done = await client.completions.create(model="base", prompt="hi", max_tokens=5, n=2)
        assert [(choice.finish_reason, choice.text[:6]) for choice in done.choices] == [("length", "[base]")] * 2
        said = {"role": "user", "content": "hi"}
        chat = await asyncio.to_thread(
            blocking.chat.completions.create,
            model="base",
            messages=[said],
            max_tokens=8,  # type: ignore[arg-type, list-item]
        )
        assert chat.usage is not None
        assert chat.usage.completion_tokens == 8
        pieces, usage = [], None
        async for chunk in await client.chat.completions.create(
            model="base",
            messages=[said],
            max_tokens=8,
            stream=True,
            stream_options={"include_usage": True},  # type: ignore[call-overload, list-item]
        ):
            usage = chunk.usage or usage
            pieces += [choice.delta.content for choice in chunk.choices]
        assert "".join(pieces) == chat.choices[0].message.content
        assert usage is not None
        assert usage.completion_tokens == 8

    asked(story)


def test_the_clients_own_errors_come_out() -> None:
    async def story(client: openai.AsyncOpenAI, _: openai.OpenAI) -> None:
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            await client.completions.create(model="ghost", prompt="hi")
        with pytest.raises(openai.BadRequestError, match="maximum context length"):
            await client.completions.create(model="base", prompt="x" * 5000)
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="wrong").models.list()

    asked(story)


def test_a_fault_can_be_a_rate_limit() -> None:
    async def story(client: openai.AsyncOpenAI, _: openai.OpenAI) -> None:
        with pytest.raises(openai.RateLimitError):
            await client.completions.create(model="base", prompt="hi")

    asked(story, "--fault", "http-error,status=429,callers=traffic")
