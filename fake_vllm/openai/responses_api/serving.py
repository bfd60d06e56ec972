"""The routes of responses: create, read and cancel them.

See vllm/entrypoints/openai/responses/serving.py.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from pydantic import TypeAdapter, ValidationError

from fake_vllm.engine.engine import Engine, EngineClosed, EngineError
from fake_vllm.http.messages import EVENTS, Request, Response, Stream, json_response
from fake_vllm.http.validation import RequestValidationError
from fake_vllm.openai.completions import CompletionTask, GenerationPlan
from fake_vllm.openai.flavor import Perform, Step
from fake_vllm.openai.releases import api
from fake_vllm.openai.requests import Server
from fake_vllm.openai.responses_api.builder import Exchange, ResponsesBuilder
from fake_vllm.openai.responses_api.protocol import ResponsesRequest
from fake_vllm.openai.responses_api.requests import conversation, response_request
from fake_vllm.openai.responses_api.store import EventLog, ResponseStore, StoredResponse

PATH = "/v1/responses"
_END = b"\n\n"  # of an event
_INVALID = "invalid_request_error"
_NO_STORE = (
    "This vLLM engine does not support `store=True` and therefore does not support the background mode. To enable these"
    " features, set the environment variable `VLLM_ENABLE_RESPONSES_API_STORE=1` when launching the vLLM server."
)
_QUERY: dict[str, TypeAdapter[Any]] = {"starting_after": TypeAdapter(int | None), "stream": TypeAdapter(bool | None)}


def create(engine: Engine, request: Request) -> Step:
    """Respond to a request; in the background, if it asks for that.

    Raises:
        EngineError: if the request is refused.
    """
    body = request.parse(ResponsesRequest, api(engine.config.version))
    if body.model:
        engine.resolve_model(body.model)
    _check_use(engine, body)
    store = engine.state(ResponseStore)
    previous = None if body.previous_response_id is None else _stored(engine, body.previous_response_id)
    messages = conversation(body, previous)
    keeps = bool(body.store) and engine.config.server.store_responses

    def keep(content: dict[str, Any]) -> None:
        if keeps:
            store.put(content, messages)

    plan = GenerationPlan(
        body.model or "",
        lambda config: response_request(body, messages, Server(config, api(config.version))),
        partial(ResponsesBuilder, Exchange(body, keep)),
        body.request_id or f"resp_{engine.new_id()}",
    )
    return Perform(partial(_start, engine, plan, messages)) if body.background else plan


def retrieve(engine: Engine, request: Request) -> Response | Stream:
    """Return a stored response, or the events of one that is streamed in the background.

    Raises:
        EngineError: if it is not stored.
        RequestValidationError: if the query cannot be read.
    """
    query = _query(request)
    stored = _stored(engine, request.path.rsplit("/", 1)[1])
    if not query.get("stream"):
        return json_response(200, stored.content)
    after = query.get("starting_after")
    return Stream(200, EVENTS, stored.replay(0 if after is None else after + 1))


def cancel(engine: Engine, request: Request) -> Response:
    """Cancel a response that is computed in the background.

    Raises:
        EngineError: if it is not stored or has ended.
    """
    stored = _stored(engine, request.path.split("/")[-2])
    if not stored.runs:
        raise EngineError(400, _INVALID, "Cannot cancel a synchronous response.", "response_id")
    engine.state(ResponseStore).cancel(stored)
    return json_response(200, stored.content)


def _check_use(engine: Engine, body: ResponsesRequest) -> None:
    if body.store and body.background and not engine.config.server.store_responses:
        raise EngineError(400, _INVALID, _NO_STORE, "background")
    if body.previous_input_messages and body.previous_response_id:
        message = "Only one of `previous_input_messages` and `previous_response_id` can be set."
        raise EngineError(400, _INVALID, message, "previous_response_id")


def _stored(engine: Engine, response_id: str) -> StoredResponse:
    stored = engine.state(ResponseStore).responses.get(response_id)
    if stored is None:
        raise EngineError(404, _INVALID, f"Response with id '{response_id}' not found.", "response_id")
    return stored


async def _start(engine: Engine, plan: GenerationPlan, messages: list[dict[str, Any]]) -> Response | Stream:
    """Start a response in the background; return it as it is now, or the stream of its events."""
    task = CompletionTask(engine, plan)
    builder = task.builder
    assert isinstance(builder, ResponsesBuilder), "the plan of another route"
    stored = engine.state(ResponseStore).put(builder.content("queued", []), messages)
    if not task.streams:
        stored.task = engine.start_background(_complete(task, stored))
        return json_response(200, stored.content)
    stored.events = log = EventLog()
    stored.task = engine.start_background(_record(task.stream(1.0), log))
    return Stream(200, EVENTS, log.read())


async def _complete(task: CompletionTask, stored: StoredResponse) -> None:
    try:
        await task.complete(1.0)
    except EngineError:
        if stored.runs:
            stored.content = {**stored.content, "status": "failed"}


async def _record(chunks: AsyncIterator[bytes], log: EventLog) -> None:
    try:
        async for chunk in chunks:  # of one or more events
            for event in chunk.split(_END)[:-1]:
                log.add(event + _END)
    except EngineClosed:  # the engine failed: readers see the end of the stream
        pass
    finally:
        log.end()


def _query(request: Request) -> dict[str, Any]:
    """Return the parameters of the query.

    Raises:
        RequestValidationError: if one has a wrong type.
    """
    values: dict[str, Any] = {}
    for name, text in parse_qsl(request.query, keep_blank_values=True):
        if name not in _QUERY:
            continue
        try:
            values[name] = _QUERY[name].validate_python(text)
        except ValidationError as error:
            entries = error.errors(include_url=False)
            raise RequestValidationError([{**entry, "loc": ("query", name)} for entry in entries]) from None
    return values
