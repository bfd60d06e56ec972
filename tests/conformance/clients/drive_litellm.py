"""Steps of `litellm`, which calls a vLLM as the provider `hosted_vllm`."""

import os
from collections.abc import Callable, Mapping
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from drive_openai import _TOOL, _USER, BIAS, Verdict, join


def steps(url: str, loras: str) -> Mapping[str, Callable[[], Any]]:
    litellm.suppress_debug_info = True
    to: dict[str, Any] = {"model": "hosted_vllm/base", "api_base": f"{url}/v1", "api_key": "none", "num_retries": 0}
    chat: dict[str, Any] = {**to, "messages": _USER}

    def complete(**fields: Any) -> Any:
        return litellm.completion(**{**chat, **fields})

    return {
        "chat": lambda: complete(max_tokens=3, temperature=0),
        "chat-stream": lambda: join(
            list(complete(max_tokens=3, temperature=0, stream=True, stream_options={"include_usage": True}))
        ),
        "chat-logprobs": lambda: complete(max_tokens=2, logprobs=True, top_logprobs=1),
        "chat-json-schema": lambda: complete(max_tokens=60, temperature=0, logit_bias=BIAS, response_format=Verdict),
        "chat-tools": lambda: complete(
            max_tokens=90, tools=[_TOOL], tool_choice="required", temperature=0, logit_bias=BIAS
        ),
        "text": lambda: litellm.text_completion(**to, prompt="hello", max_tokens=3, temperature=0),
        "text-stream": lambda: join(list(litellm.text_completion(**to, prompt="hello", max_tokens=3, stream=True))),
        "unknown-model": lambda: complete(model="hosted_vllm/none", max_tokens=2),
        "temperature-too-high": lambda: complete(temperature=3),
        "prompt-too-long": lambda: complete(messages=[{"role": "user", "content": "hello " * 5000}]),
        "embeddings": lambda: litellm.embedding(**to, input=["hello"]),
    }
