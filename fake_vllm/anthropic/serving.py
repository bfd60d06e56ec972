"""The routes of Messages: vllm/entrypoints/anthropic/api_router.py."""

from collections.abc import Callable
from typing import TypeVar

from fake_vllm.anthropic.builder import MessageBuilder
from fake_vllm.anthropic.conversion import chat_of
from fake_vllm.anthropic.protocol import AnthropicCountTokensRequest, AnthropicMessagesRequest
from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import Request, Response, json_response
from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.completions import GenerationPlan
from fake_vllm.openai.flavor import Step
from fake_vllm.openai.protocol.checks import check_cache_salt
from fake_vllm.openai.releases import Api, api
from fake_vllm.openai.requests import Server, chat_prompt, chat_request, refused

PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
T = TypeVar("T")


def create(engine: Engine, request: Request) -> Step:
    """Answer a conversation."""
    body = request.parse(AnthropicMessagesRequest, api(engine.config.version))

    def plan() -> GenerationPlan:
        engine.resolve_model(body.model)
        _check_cache_salt(body.cache_salt, api(engine.config.version))
        chat = _converted(lambda: chat_of(body))
        return GenerationPlan(
            body.model,
            lambda config: chat_request(chat, Server(config, api(config.version))),
            MessageBuilder,
            request.headers.get("x-request-id", ""),
            failed,
        )

    return _in_own_form(plan)


def count_tokens(engine: Engine, request: Request) -> Response:
    """Return the number of tokens in a conversation."""
    body = request.parse(AnthropicCountTokensRequest, api(engine.config.version))

    def count() -> Response:
        engine.resolve_model(body.model)
        chat = _converted(lambda: chat_of(body))
        tokens = chat_prompt(chat, Server(engine.config, api(engine.config.version))).length
        content = {"input_tokens": tokens, "context_management": {"original_input_tokens": tokens}}
        return json_response(200, content)

    return _in_own_form(count)


def failed(error: EngineError) -> Response:
    """Return an error in Anthropic's envelope."""
    content = {"type": "error", "error": {"type": error.type, "message": error.message}}
    return json_response(error.status, content)


def _in_own_form(act: Callable[[], T]) -> T | Response:
    try:
        return act()
    except EngineError as error:
        return failed(error)


def _check_cache_salt(salt: str | None, release: Api) -> None:
    try:
        if release.limits_cache_salt:
            check_cache_salt(salt)
    except VLLMValidationError as error:
        raise refused(error) from None


def _converted(convert: Callable[[], T]) -> T:
    try:
        return convert()
    except ValueError as error:
        raise EngineError(400, "BadRequestError", str(error)) from None
