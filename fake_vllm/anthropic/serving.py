"""The routes of Messages: vllm/entrypoints/anthropic/api_router.py."""

from collections.abc import Callable
from functools import partial
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
    release = api(engine.config.version)
    body = request.parse(AnthropicMessagesRequest, release)

    def plan() -> GenerationPlan:
        engine.resolve_model(body.model)
        _check_cache_salt(body.cache_salt, release)
        chat = _converted(lambda: chat_of(body))
        return GenerationPlan(
            body.model,
            lambda config: chat_request(chat, Server(config, release)),
            MessageBuilder,
            request.headers.get("x-request-id", ""),
            partial(failed, release),
        )

    return _in_own_form(plan, release)


def count_tokens(engine: Engine, request: Request) -> Response:
    """Return the number of tokens in a conversation."""
    release = api(engine.config.version)
    body = request.parse(AnthropicCountTokensRequest, release)

    def count() -> Response:
        engine.resolve_model(body.model)
        chat = _converted(lambda: chat_of(body))
        tokens = chat_prompt(chat, Server(engine.config, release)).length
        content = {"input_tokens": tokens, "context_management": {"original_input_tokens": tokens}}
        return json_response(200, content)

    return _in_own_form(count, release)


def failed(release: Api, error: EngineError) -> Response:
    """Return an error in Anthropic's envelope."""
    internal = error.exception is not None and release.fails_messages
    status, kind = (500, "internal_error") if internal else (error.status, error.type)
    return json_response(status, {"type": "error", "error": {"type": kind, "message": error.message}})


def _in_own_form(act: Callable[[], T], release: Api) -> T | Response:
    try:
        return act()
    except EngineError as error:
        return failed(release, error)


def _check_cache_salt(salt: str | None, release: Api) -> None:
    try:
        if release.limits_cache_salt:
            check_cache_salt(salt, release)
    except VLLMValidationError as error:
        raise refused(error) from None


def _converted(convert: Callable[[], T]) -> T:
    try:
        return convert()
    except ValueError as error:
        raise EngineError(400, "BadRequestError", str(error), exception="value") from None
