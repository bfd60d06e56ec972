"""Tools of a chat, and which of them the model has to call."""

from typing import Any, Literal

from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.protocol.formats import FormatModel

_USAGE = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`'


class FunctionDefinition(FormatModel):
    """A function that the model may call; `parameters` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    defer_loading: bool | None = None


class ChatCompletionToolsParam(FormatModel):
    """One tool."""

    type: Literal["function"] = "function"
    function: FunctionDefinition
    defer_loading: bool | None = None


class ChatCompletionNamedFunction(FormatModel):
    """Name of the function to call."""

    name: str


class ChatCompletionNamedToolChoiceParam(FormatModel):
    """The one tool that the model has to call."""

    function: ChatCompletionNamedFunction
    type: Literal["function"] = "function"


def check_tool_usage(data: dict[str, Any]) -> dict[str, Any]:
    """Return the body with its tool choice, which is "auto" if there are tools and nothing was chosen.

    Raises:
        VLLMValidationError: if tools and choice do not fit together.
    """
    tools = data.get("tools")
    if tools == []:
        raise VLLMValidationError(
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely.",
            parameter="tools",
        )
    if "tool_choice" not in data and tools:
        return {**data, "tool_choice": "auto"}
    choice = data.get("tool_choice")
    if choice is None or choice == "none":
        return data
    if tools is None:
        raise VLLMValidationError("When using `tool_choice`, `tools` must be set.", parameter="tool_choice")
    if isinstance(choice, dict):
        _check_named_tool(choice, tools)
    elif choice not in ("auto", "required"):
        raise VLLMValidationError(
            f'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or "required" are supported.',
            parameter="tool_choice",
        )
    return data


def _check_named_tool(choice: dict[str, Any], tools: Any) -> None:
    function = choice.get("function")
    if not isinstance(function, dict):
        raise VLLMValidationError(
            f"Invalid value for `function`: `{function}` in `tool_choice`! {_USAGE}", parameter="tool_choice.function"
        )
    if "name" not in function:
        raise VLLMValidationError(
            f"Expected field `name` in `function` in `tool_choice`! {_USAGE}", parameter="tool_choice.function.name"
        )
    name = function["name"]
    if not isinstance(name, str) or not name:
        raise VLLMValidationError(
            f"Invalid `name` in `function`: `{name}` in `tool_choice`! {_USAGE}",
            parameter="tool_choice.function.name",
        )
    if not any(tool["function"]["name"] == name for tool in tools):
        raise VLLMValidationError(
            "The tool specified in `tool_choice` does not match any of the specified `tools`", parameter="tool_choice"
        )
