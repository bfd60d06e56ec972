"""OpenAI's Responses: `POST /v1/responses`, and the responses that the server keeps.

See vllm/entrypoints/openai/responses.
"""
