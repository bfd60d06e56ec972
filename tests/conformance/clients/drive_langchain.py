"""Steps of LangChain's `ChatOpenAI` and `OpenAI`, with structured output."""

from collections.abc import Callable, Mapping
from typing import Any

from drive_openai import _TOOL, BIAS, Verdict
from langchain_openai import ChatOpenAI, OpenAI


def steps(url: str, loras: str) -> Mapping[str, Callable[[], Any]]:
    to: dict[str, Any] = {
        "base_url": f"{url}/v1",
        "api_key": "none",
        "model": "base",
        "max_retries": 0,
        "temperature": 0,
    }

    def chat(**fields: Any) -> ChatOpenAI:
        return ChatOpenAI(**{**to, "max_tokens": 60, "logit_bias": BIAS, **fields})

    return {
        "invoke": lambda: chat(max_tokens=3).invoke("hello"),
        "stream": lambda: _sum(chat(max_tokens=3).stream("hello")),
        "stream-usage": lambda: _sum(chat(max_tokens=3, stream_usage=True).stream("hello")),
        "batch": lambda: chat(max_tokens=2).batch(["a", "b"], config={"max_concurrency": 1}),
        "logprobs": lambda: chat(max_tokens=2, logprobs=True, top_logprobs=1).invoke("hello"),
        "structured": lambda: chat().with_structured_output(Verdict).invoke("hello"),
        "structured-raw": lambda: chat().with_structured_output(Verdict, include_raw=True).invoke("hello"),
        "structured-functions": lambda: (
            chat().with_structured_output(Verdict, method="function_calling").invoke("hello")
        ),
        "structured-json-mode": lambda: (
            chat(max_tokens=2).with_structured_output(Verdict, method="json_mode").invoke("hello")
        ),
        "structured-strict": lambda: chat().with_structured_output(Verdict, strict=True).invoke("hello"),
        "structured-stream": lambda: list(chat().with_structured_output(Verdict).stream("hello"))[-1],
        "tools": lambda: chat(max_tokens=90).bind_tools([_TOOL], tool_choice="required").invoke("hello"),
        "text": lambda: {"text": OpenAI(**to, max_tokens=3).invoke("hello")},
        "text-stream": lambda: {"text": "".join(OpenAI(**to, max_tokens=3).stream("hello"))},
        "unknown-model": lambda: chat(model="none").invoke("hello"),
        "temperature-too-high": lambda: chat(temperature=3).invoke("hello"),
    }


def _sum(chunks: Any) -> Any:
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
    return total
