"""`POST /tokenize` and `POST /detokenize`: vllm/entrypoints/serve/tokenize/serving.py."""

from collections.abc import Mapping

from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import JSON, Request, Response, json_response
from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai import chat_template, tokenizer
from fake_vllm.openai.releases import api
from fake_vllm.openai.requests import Server, check_media, check_template, refused
from fake_vllm.vllm.protocol import (
    TOKENIZE_REQUEST,
    DetokenizeRequest,
    TokenizeChatRequest,
    TokenizeCompletionRequest,
)

_HEADERS: Mapping[str, str] = {**JSON, "x-tokenizer": tokenizer.NAME}
_LARGEST_ID = 2**32 - 1  # of the library `tokenizers`


def tokenize(engine: Engine, request: Request) -> Response:
    """Return the tokens of a prompt or of a conversation.

    Raises:
        EngineError: if the model is unknown or the conversation cannot be used.
    """
    body = request.parse_value(TOKENIZE_REQUEST.validator, api(engine.config.version))  # type: ignore[arg-type]
    if body.model:
        engine.resolve_model(body.model)
    text = _conversation(engine, body) if isinstance(body, TokenizeChatRequest) else _prompt(engine, body)
    tokens = tokenizer.encode(text)
    content = {
        "count": len(tokens),
        "max_model_len": engine.config.max_model_len,
        "tokens": tokens,
        "token_strs": tokenizer.pieces(text) if body.return_token_strs else None,
    }
    return json_response(200, content, _HEADERS)


def detokenize(engine: Engine, request: Request) -> Response:
    """Return the text of tokens.

    Raises:
        EngineError: if the model is unknown or a token is too large.
    """
    body = request.parse(DetokenizeRequest)
    if body.model:
        engine.resolve_model(body.model)
    if any(token > _LARGEST_ID and not tokenizer.is_own(token) for token in body.tokens):
        raise EngineError(400, "BadRequestError", "number too large to fit in target type")
    return json_response(200, {"prompt": tokenizer.decode(body.tokens)}, _HEADERS)


def _prompt(engine: Engine, body: TokenizeCompletionRequest) -> str:
    """Return the prompt of a text."""
    try:
        check_media(body, api(engine.config.version))
    except VLLMValidationError as error:
        raise refused(error) from None
    return body.prompt


def _conversation(engine: Engine, body: TokenizeChatRequest) -> str:
    """Return the prompt of a conversation."""
    config = engine.config
    options = chat_template.TemplateOptions(body.add_generation_prompt, body.continue_final_message)
    server = Server(config, api(config.version))
    try:
        check_template(body, server)
        turns = chat_template.turns_of(body.messages, config.served_model_names[0], server.api)
        return chat_template.render(turns, options)
    except VLLMValidationError as error:
        raise refused(error) from None
    except ValueError as error:  # pydantic's, of a message part that is read only now
        raise EngineError(400, "BadRequestError", str(error)) from None
