"""Anthropic's Messages: `POST /v1/messages` and `/v1/messages/count_tokens`, which vLLM answers by way of a chat.

See vllm/entrypoints/anthropic.
"""
