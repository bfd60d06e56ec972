"""Tools: whether a chat may call one, and the call that the fake's model makes.

A real model decides by itself under `tool_choice: auto`. The fake calls the first tool, unless the last message is a
tool's result: then it answers with text, so that a client's loop ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random

from fake_vllm.engine.config import FrontendConfig
from fake_vllm.engine.lora import EngineError
from fake_vllm.openai.chat_template import Turn
from fake_vllm.openai.protocol.chat_completion import ChatCompletionRequest, ToolChoice
from fake_vllm.openai.protocol.tools import ChatCompletionNamedToolChoiceParam
from fake_vllm.openai.releases import Api
from fake_vllm.openai.structured import json_schema
from fake_vllm.openai.structured.errors import ConstraintError

_RESULTS = ("tool", "function")


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """The call that the model makes.

    Attributes:
        name: name of the function.
        arguments: JSON that fits its parameters.
        named: the request named the function: the answer's end is then "stop".
    """

    name: str
    arguments: str
    named: bool = False

    @property
    def ending(self) -> str:
        """Reason of the end in the response."""
        return "stop" if self.named else "tool_calls"


def check_parser(choice: ToolChoice, frontend: FrontendConfig) -> None:
    """Check that the server can read tool calls from the model's text.

    Raises:
        EngineError: with vLLM's text; it names the flag to set.
    """
    if choice in (None, "none") or frontend.tool_call_parser:
        return
    if choice == "auto":
        message = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    else:
        named = isinstance(choice, ChatCompletionNamedToolChoiceParam)
        described = f'function "{choice.function.name}"' if named else f'"{choice}"'  # type: ignore[union-attr]
        message = f"tool_choice={described} requires --tool-call-parser to be set"
    raise EngineError(400, "BadRequestError", message)


def plan(body: ChatCompletionRequest, turns: Sequence[Turn], release: Api) -> ToolPlan | None:
    """Return the call that answers a chat, None if the answer is text.

    Raises:
        EngineError: if the call has to be made, but the tool's schema cannot be used.
    """
    choice = body.tool_choice
    if not body.tools or choice in (None, "none") or (choice == "auto" and turns[-1].role in _RESULTS):
        return None
    tool = body.tools[0]
    named = isinstance(choice, ChatCompletionNamedToolChoiceParam)
    if isinstance(choice, ChatCompletionNamedToolChoiceParam):
        tool = next(tool for tool in body.tools if tool.function.name == choice.function.name)
    source = blake2b(turns[-1].text.encode("utf-8", "replace"), digest_size=8).digest()
    schema = tool.function.parameters or {"type": "object", "properties": {}}
    try:
        arguments = json_schema.generate(schema, Random(int.from_bytes(source)))
    except ConstraintError as error:
        if choice == "auto" or release.ignores_tool_schemas:
            return None
        if not release.explains_grammars:
            raise EngineError(500, "InternalServerError", "") from None
        raise EngineError(400, "BadRequestError", f"Grammar error: {error.message}") from None
    return ToolPlan(tool.function.name, arguments, named)
