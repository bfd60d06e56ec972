"""Routes that generate text in other forms of request: batches of chats, and SageMaker's one path for all.

See vllm/entrypoints/openai/chat_completion/batch_serving.py and vllm/entrypoints/serve/sagemaker/api_router.py.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

import msgspec
from pydantic import ValidationError

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import Request
from fake_vllm.http.validation import RequestValidationError, VLLMValidationError
from fake_vllm.openai.completions import GenerationPlan
from fake_vllm.openai.protocol.batch import BatchChatCompletionRequest
from fake_vllm.openai.protocol.chat_completion import ChatCompletionRequest
from fake_vllm.openai.protocol.completion import CompletionRequest
from fake_vllm.openai.releases import Api, api
from fake_vllm.openai.requests import GenerateRequest, Server, chat_request, completion_request, refused
from fake_vllm.openai.responses import ResponseBuilder

BATCH_PATH = "/v1/chat/completions/batch"
INVOCATIONS_PATH = "/invocations"
_ADAPTER = "x-amzn-sagemaker-adapter-identifier"  # model_hosting_container_standards, which vLLM uses here
_JSON = "application/json"
_MOST, _LARGEST = 64, 4096  # bodies that are kept; bytes of one
_SESSIONS = ("NEW_SESSION", "CLOSE")


def chat_plan(body: ChatCompletionRequest, request: Request, release: Api) -> GenerationPlan:
    """Return the plan of a chat completion."""
    return GenerationPlan(
        body.model or "",
        lambda config: chat_request(body, Server(config, release)),
        ResponseBuilder,
        request.headers.get("x-request-id") or body.request_id,
    )


class PreparedCompletions:
    """The last completions that one server was asked for, parsed and checked.

    Load generators and probes send the same body again and again. A completion's body is a value that nothing changes;
    a chat's is not, as pydantic reads some contents of its messages only once.
    """

    def __init__(self) -> None:
        self._plans: dict[bytes, GenerationPlan] = {}

    def plan(self, request: Request, release: Api) -> GenerationPlan:
        """Return the plan of a completion.

        Raises:
            RequestValidationError: if the body does not fit.
        """
        if request.headers.get("content-type") != _JSON or len(request.body) > _LARGEST:
            return completion_plan(request.parse(CompletionRequest, release), request.headers, release)
        plan = self._plans.get(request.body)
        if plan is None:
            plan = completion_plan(request.parse(CompletionRequest, release), {}, release)
            self._plans[request.body] = plan
            if len(self._plans) > _MOST:
                del self._plans[next(iter(self._plans))]
        request_id = request.headers.get("x-request-id")
        return plan if request_id is None else replace(plan, request_id=request_id)


def completion_plan(body: CompletionRequest, headers: Mapping[str, str], release: Api) -> GenerationPlan:
    """Return the plan of a completion; its checks are made once."""
    checked: GenerateRequest | None = None

    def request(config: EngineConfig) -> GenerateRequest:
        nonlocal checked
        if checked is None:
            checked = completion_request(body, Server(config, release))
        return checked

    return GenerationPlan(body.model or "", request, ResponseBuilder, headers.get("x-request-id") or body.request_id)


def batch(engine: Engine, request: Request) -> GenerationPlan:
    """Answer several conversations; each answer is one choice."""
    release = api(engine.config.version)
    body = request.parse(BatchChatCompletionRequest, release)

    def joined(config: EngineConfig) -> GenerateRequest:
        try:
            requests = [chat_request(chat, Server(config, release)) for chat in body.chats(release)]
        except VLLMValidationError as error:
            raise refused(error) from None
        except ValidationError as error:
            raise EngineError(400, "BadRequestError", str(error)) from None
        prompts = tuple(prompt for one in requests for prompt in one.prompts)
        return msgspec.structs.replace(requests[0], prompts=prompts)

    request_id = request.headers.get("x-request-id") or body.request_id or ""
    return GenerationPlan(body.model or "", joined, ResponseBuilder, request_id)


def invocations(engine: Engine, request: Request) -> GenerationPlan:
    """Answer a completion or a chat, by what the body is; a header names the adapter.

    Raises:
        EngineError: if it is neither.
        RequestValidationError: if it is not declared as JSON, or a validator refuses it.
    """
    release = api(engine.config.version)
    named = replace(request, body=_invocation_body(request))
    try:
        return chat_plan(named.parse(ChatCompletionRequest, release), request, release)
    except RequestValidationError as error:
        _raise_refusal(error)
    try:
        return completion_plan(named.parse(CompletionRequest, release), request.headers, release)
    except RequestValidationError as error:
        _raise_refusal(error)
    names = [ChatCompletionRequest.__name__, CompletionRequest.__name__]
    message = f"Cannot find suitable handler for request. Expected one of: {names}"
    raise EngineError(400, "BadRequestError", message)


def _raise_refusal(error: RequestValidationError) -> None:
    """Raise the error again unless the body is only of another class."""
    if error.cause is not None:
        raise error


def _invocation_body(request: Request) -> bytes:
    """Return the body with the adapter of the header as its model."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise RequestValidationError(["Unsupported Media Type: Only 'application/json' is allowed"])
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise EngineError(400, "Bad Request", f"JSON decode error: {error}") from None
    if isinstance(body, dict) and body.get("requestType") in _SESSIONS:
        raise EngineError(400, "Bad Request", "Invalid payload. stateful sessions not enabled")
    try:
        body["model"] = request.headers.get(_ADAPTER, "")
        return json.dumps(body).encode()
    except (TypeError, RecursionError) as error:
        raise EngineError(400, "BadRequestError", str(error)) from None
