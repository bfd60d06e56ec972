"""A request for generated text, as a value without HTTP or JSON.

It is built from a request body (`protocol/`) once its model is known to exist, in the order in which vLLM checks one.
"""

from dataclasses import dataclass

import msgspec

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import EngineError, ExceptionKind
from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai import beam_search, chat_template, tools
from fake_vllm.openai.prompts import Prompt, PromptLimits, check_vocabulary, split_prompts
from fake_vllm.openai.protocol.base import stop_strings
from fake_vllm.openai.protocol.chat_completion import ChatCompletionRequest
from fake_vllm.openai.protocol.completion import CompletionRequest
from fake_vllm.openai.protocol.formats import StructuredOutputsParams, constraint_of
from fake_vllm.openai.releases import Api
from fake_vllm.openai.sampling_params import (
    Body,
    check_by_model,
    check_by_prompt,
    check_params,
    check_reasoning,
    logprob_count,
    prompt_logprob_count,
)
from fake_vllm.openai.structured.constraint import check_constraint

_MAX_TOKENS = 1 << 22  # of one request, a limit of the fake: what takes a real server hours must not fill memory here


class GenerateRequest(msgspec.Struct, frozen=True):
    """One request for text: `n` choices for each prompt.

    Not a dataclass, because a frozen one with this many fields takes 15 microseconds to build.
    """

    chat: bool
    model: str
    """Empty for the base model."""
    prompts: tuple[Prompt, ...]
    reported_model: str = ""
    """Name of the model in the response; empty: the model's own."""
    n: int = 1
    max_tokens: int | None = None
    """None: what is left of the context."""
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    include_stop: bool = False
    ignore_eos: bool = False
    seed: int | None = None
    echo: bool = False
    echo_only: bool = False
    """The response has the prompt alone, although one token is generated."""
    logprobs: int | None = None
    """Number of alternatives to each token."""
    prompt_logprobs: int | None = None
    """Number of alternatives to each token of the prompt."""
    tokens_as_ids: bool = False
    """Tokens of log-probabilities are written as `token_id:ID`."""
    return_token_ids: bool = False
    return_prompt_text: bool = False
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    constraint: StructuredOutputsParams | None = None
    tool_calls: tools.ToolPlan | None = None
    role: str = "assistant"
    prefix: str = ""
    """Text of the last message, which the answer of a chat with `echo` begins with."""
    refusal: EngineError | None = None
    """Error of the engine core, which a stream reports in an event."""
    answer_error: EngineError | None = None
    """Error of the server when it has tokens to answer with."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server that a request is checked against."""

    config: EngineConfig
    api: Api


def completion_request(body: CompletionRequest, server: Server) -> GenerateRequest:
    """Return the request of a completion.

    Raises:
        EngineError: if it cannot be served.
    """
    try:
        beam_search.check_stream(body)
        _check_suffix(body, server.api)
        if body.prompt_embeds is not None and body.prompt_embeds != []:
            raise VLLMValidationError(
                "You must set `--enable-prompt-embeds` to input `prompt_embeds`.", parameter="prompt_embeds"
            )
        limits = _limits(body, server, body.max_tokens or 0, "max_tokens")
        limits.check()
        prompts = tuple(limits.apply(content) for content in split_prompts(body.prompt))
        echo_only = bool(body.echo and body.max_tokens == 0)
        request = _checked(body, server, prompts, 1 if echo_only else body.max_tokens)
        unlimited = body.max_tokens is None and not server.api.null_limit_is_default
        error = EngineError(500, "InternalServerError", "", exception="other") if unlimited else None
        return msgspec.structs.replace(request, echo=bool(body.echo), echo_only=echo_only, answer_error=error)
    except VLLMValidationError as error:
        raise refused(error) from None


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """Length of a chat's answer, as the request's own field has it.

    Attributes:
        limit_field: name of the field, for errors.
        limit: tokens, None if the request has no limit.
    """

    limit_field: str
    limit: int | None


def chat_request(body: ChatCompletionRequest, server: Server) -> GenerateRequest:
    """Return the request of a chat completion.

    Raises:
        EngineError: if it cannot be served.
    """
    tools.check_parser(body.tool_choice, server.config.frontend)
    if body.max_completion_tokens is not None:
        return answer_request(body, server, ChatOptions("max_completion_tokens", body.max_completion_tokens))
    return answer_request(body, server, ChatOptions("max_tokens", body.max_tokens))


def answer_request(body: ChatCompletionRequest, server: Server, options: ChatOptions) -> GenerateRequest:
    """Return the request for the answer to a conversation.

    Raises:
        EngineError: if it cannot be served.
    """
    try:
        check_template(body, server)
        turns, prompt = _conversation(body, server, options)
        role = "assistant" if body.add_generation_prompt else turns[-1].role
        echoed = turns[-1].text if body.echo and turns[-1].role == role else ""
        return msgspec.structs.replace(
            _checked(body, server, (prompt,), options.limit),
            tool_calls=tools.plan(body, turns, server.api),
            role=role,
            prefix=echoed,
            return_prompt_text=bool(body.return_prompt_text),
        )
    except VLLMValidationError as error:
        raise refused(error) from None
    except ValueError as error:  # pydantic's, of a message part that is read only now
        raise EngineError(400, "BadRequestError", str(error), exception="value") from None


def chat_prompt(body: ChatCompletionRequest, server: Server) -> Prompt:
    """Return the prompt of a chat that is only counted.

    Raises:
        EngineError: if it cannot be used.
    """
    try:
        tools.check_parser(body.tool_choice, server.config.frontend)
        check_template(body, server)
        return _conversation(body, server, ChatOptions("max_tokens", None))[1]
    except VLLMValidationError as error:
        raise refused(error) from None
    except ValueError as error:
        raise EngineError(400, "BadRequestError", str(error), exception="value") from None


def _conversation(
    body: ChatCompletionRequest, server: Server, options: ChatOptions
) -> tuple[list[chat_template.Turn], Prompt]:
    turns = chat_template.turns_of(body.messages, server.config.served_model_names[0], server.api)
    limits = _limits(body, server, options.limit or 0, options.limit_field)
    limits.check()
    template = chat_template.TemplateOptions(body.add_generation_prompt, body.continue_final_message)
    return turns, limits.apply(chat_template.render(turns, template))


def check_template(body: object, server: Server) -> None:
    """Check that a request brings no template of its own, unless the server trusts it.

    Raises:
        VLLMValidationError: if it does.
    """
    kwargs = getattr(body, "chat_template_kwargs", None) or {}
    own = getattr(body, "chat_template", None) is not None or kwargs.get("chat_template") is not None
    if own and not server.config.frontend.trust_request_chat_template:
        raise VLLMValidationError(
            "Chat template is passed with request, but --trust-request-chat-template is not set. Refused request with"
            " untrusted chat template."
        )
    check_media(body, server.api)


def check_media(body: object, api: Api) -> None:
    """Check that a request changes nothing of multimodal inputs, also where they are no fields of its class.

    Raises:
        VLLMValidationError: if it does.
    """
    for name, changes in (
        ("mm_processor_kwargs", "multimodal preprocessing resource usage"),
        ("media_io_kwargs", "multimodal media loading resource usage"),
    ):
        if api.guards_media and getattr(body, name, None):
            raise VLLMValidationError(
                f"Per-request {name} are disabled by default because they can change {changes}. Start the server with"
                " --trust-request-mm-kwargs only when clients are trusted.",
                parameter=name,
            )


def check_size(request: GenerateRequest, config: EngineConfig) -> None:
    """Check that a request does not exhaust this machine's memory, a limit of the fake; reported as too many choices.

    Raises:
        EngineError: with vLLM's text.
    """
    tokens = min(request.max_tokens or config.max_model_len, config.max_model_len) * len(request.prompts)
    if request.n * tokens > _MAX_TOKENS and request.n * len(request.prompts) > 1:
        message = f"n must be at most {max(1, _MAX_TOKENS // tokens)}, got {request.n}."
        raise EngineError(400, "BadRequestError", message)


def refused(error: VLLMValidationError) -> EngineError:
    """Return the engine's error for a value that is refused; vLLM's own exceptions name the parameter."""
    kind: ExceptionKind = "validation" if error.parameter else "value"
    return EngineError(400, "BadRequestError", str(error), error.parameter, exception=kind)


def _check_suffix(body: CompletionRequest, release: Api) -> None:
    if body.suffix is None:
        return
    if not release.explains_suffix:
        raise EngineError(400, "BadRequestError", "suffix is not currently supported")
    texts = body.prompt if isinstance(body.prompt, list) else [body.prompt]
    if body.echo:
        message = "Echo is unsupported with suffix."
    elif body.prompt_embeds is not None:
        message = "suffix is not supported with prompt_embeds"
    elif body.truncate_prompt_tokens is not None:
        message = "suffix is not supported with truncate_prompt_tokens"
    elif all(isinstance(text, str) for text in texts):
        message = "suffix is only supported for models with FIM completion rendering"
    else:
        message = "suffix requires text prompt input for FIM completion rendering"
    raise EngineError(400, "BadRequestError", message, param="suffix")


def _limits(body: Body, server: Server, output: int, field: str) -> PromptLimits:
    return PromptLimits(
        context=server.config.max_model_len,
        output=output,
        truncate=body.truncate_prompt_tokens,
        keep_end=body.truncation_side == "left",
        output_field=field,
        reserves_output=server.api.reserves_output,
        names_passed=server.api.names_passed,
    )


def _checked(body: Body, server: Server, prompts: tuple[Prompt, ...], limit: int | None) -> GenerateRequest:
    """Return the request after the checks of its sampling parameters."""
    context = server.config.max_model_len
    constraint = None
    if body.use_beam_search:
        beam_search.check_width(body)
    else:
        constraint = constraint_of(body.structured_outputs, body.response_format)
        for prompt in prompts:
            space = context - prompt.length
            check_params(body, space if limit is None else min(limit, space), server.api)
    usage = bool(body.stream_options and body.stream_options.include_usage)
    request = GenerateRequest(
        chat=isinstance(body, ChatCompletionRequest),
        model=body.model or "",
        prompts=prompts,
        n=body.n or 1,
        max_tokens=limit,
        min_tokens=body.min_tokens,
        stop=stop_strings(body.stop),
        stop_tokens=frozenset(body.stop_token_ids or ()),
        include_stop=body.include_stop_str_in_output,
        ignore_eos=body.ignore_eos,
        seed=body.seed,
        logprobs=logprob_count(body),
        prompt_logprobs=prompt_logprob_count(body),
        tokens_as_ids=bool(body.return_tokens_as_token_ids),
        return_token_ids=bool(body.return_token_ids),
        stream=bool(body.stream),
        include_usage=usage,
        continuous_usage=usage and bool(body.stream_options and body.stream_options.continuous_usage_stats),
        constraint=constraint,
        refusal=_refusal(body, server, prompts, constraint),
    )
    if request.refusal is not None and not request.stream:
        raise request.refusal
    check_size(request, server.config)
    return request


def _refusal(
    body: Body, server: Server, prompts: tuple[Prompt, ...], constraint: StructuredOutputsParams | None
) -> EngineError | None:
    """Return the error of the engine core's checks, None if all pass."""
    try:
        if body.use_beam_search:
            beam_search.check_beams(body, server.config, server.api)
            check_vocabulary(prompts, server.config)
            return None
        check_by_model(body, server.config, server.api)
        if constraint is not None:
            check_constraint(constraint, explained=server.api.explains_grammars)
        check_reasoning(body)
        check_vocabulary(prompts, server.config)
        for prompt in prompts:
            check_by_prompt(body, prompt.length)
    except VLLMValidationError as error:
        return refused(error)
    except EngineError as error:
        return error
    return None
