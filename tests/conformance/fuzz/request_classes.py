"""Prints the JSON schemas of a vLLM's request classes, as in its `/openapi.json`; run by that vLLM's own Python."""

import importlib
import json
import sys

from pydantic import TypeAdapter

_ENTRYPOINTS = "vllm.entrypoints"
CLASSES = {
    "/v1/completions": ("openai.completion.protocol", "CompletionRequest"),
    "/v1/chat/completions": ("openai.chat_completion.protocol", "ChatCompletionRequest"),
    "/tokenize": ("serve.tokenize.protocol", "TokenizeRequest"),
    "/detokenize": ("serve.tokenize.protocol", "DetokenizeRequest"),
    "/v1/load_lora_adapter": ("serve.lora.protocol", "LoadLoRAAdapterRequest"),
    "/v1/unload_lora_adapter": ("serve.lora.protocol", "UnloadLoRAAdapterRequest"),
    "/v1/responses": ("openai.responses.protocol", "ResponsesRequest"),
    "/v1/messages": ("anthropic.protocol", "AnthropicMessagesRequest"),
    "/v1/messages/count_tokens": ("anthropic.protocol", "AnthropicCountTokensRequest"),
}


def main() -> None:
    adapters = {}
    for route, (module, name) in CLASSES.items():
        request_class = getattr(importlib.import_module(f"{_ENTRYPOINTS}.{module}"), name, None)
        if request_class is None:
            print(f"{name} is not in this release", file=sys.stderr)
        else:
            adapters[route] = TypeAdapter(request_class)
    inputs = [(route, "validation", adapter) for route, adapter in adapters.items()]
    schemas, shared = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    print(json.dumps({"routes": {route: schemas[route, "validation"] for route in adapters}, **shared}))


if __name__ == "__main__":
    main()
