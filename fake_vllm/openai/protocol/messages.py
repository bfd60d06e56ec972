"""Messages of a chat, as the union of types that vLLM declares.

Names of the types are part of the places in error messages, so they are those of the packages that vLLM takes them
from: `openai.types.chat`, `openai_harmony` and vllm/renderers/chat_utils.py.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Literal, Required, TypeAlias

from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

Json: TypeAlias = dict[str, Any]


class PromptCacheBreakpoint(TypedDict, total=False):
    """Mark of OpenAI's prompt cache."""

    mode: Required[Literal["explicit"]]
    ttl: Literal["30m", "12h"]


class ImageURL(TypedDict, total=False):
    """Place of an image."""

    url: Required[str]
    detail: Literal["auto", "low", "high", "original"]


class InputAudio(TypedDict, total=False):
    """Sound in base64."""

    data: Required[str]
    format: Required[Literal["wav", "mp3"]]


class MediaURL(TypedDict, total=False):
    """Place of a sound or a film."""

    url: Required[str]


class FileFile(TypedDict, total=False):
    """A file or its id."""

    file_data: str
    file_id: str
    filename: str


class ChatCompletionContentPartTextParam(TypedDict, total=False):
    """Text."""

    text: Required[str]
    type: Required[Literal["text"]]
    prompt_cache_breakpoint: PromptCacheBreakpoint


class ChatCompletionContentPartImageParam(TypedDict, total=False):
    """An image."""

    image_url: Required[ImageURL]
    type: Required[Literal["image_url"]]
    prompt_cache_breakpoint: PromptCacheBreakpoint


class ChatCompletionContentPartInputAudioParam(TypedDict, total=False):
    """A sound."""

    input_audio: Required[InputAudio]
    type: Required[Literal["input_audio"]]
    prompt_cache_breakpoint: PromptCacheBreakpoint


class File(TypedDict, total=False):
    """A file."""

    file: Required[FileFile]
    type: Required[Literal["file"]]
    prompt_cache_breakpoint: PromptCacheBreakpoint


class ChatCompletionContentPartRefusalParam(TypedDict, total=False):
    """A refusal."""

    refusal: Required[str]
    type: Required[Literal["refusal"]]


class ChatCompletionContentPartAudioParam(TypedDict, total=False):
    """A sound at an address."""

    audio_url: Required[MediaURL]
    type: Required[Literal["audio_url"]]


class ChatCompletionContentPartVideoParam(TypedDict, total=False):
    """A film."""

    video_url: Required[MediaURL]
    type: Required[Literal["video_url"]]


class CustomThinkCompletionContentParam(TypedDict, total=False):
    """Reasoning of a model."""

    thinking: Required[str]
    closed: bool
    type: Required[Literal["thinking"]]


class CustomChatCompletionContentPILImageParam(TypedDict, total=False):
    """An image as Python's object."""

    image_pil: Json | None
    uuid: str | None


class CustomChatCompletionContentSimpleImageParam(TypedDict, total=False):
    """An image by its address alone."""

    image_url: str | None
    uuid: str | None


class ChatCompletionContentPartImageEmbedsParam(TypedDict, total=False):
    """Embeddings of an image."""

    image_embeds: str | Json | None
    type: Required[Literal["image_embeds"]]
    uuid: str | None


class ChatCompletionContentPartAudioEmbedsParam(TypedDict, total=False):
    """Embeddings of a sound."""

    audio_embeds: str | Json | None
    type: Required[Literal["audio_embeds"]]
    uuid: str | None


class ChatCompletionContentPartVideoEmbedsParam(TypedDict, total=False):
    """Embeddings of a film."""

    video_embeds: str | Json | None
    type: Required[Literal["video_embeds"]]
    uuid: str | None


class ChatCompletionContentPartPromptEmbedsParam(TypedDict, total=False):
    """Embeddings of a prompt."""

    data: Required[str]
    type: Required[Literal["prompt_embeds"]]


class CustomChatCompletionContentSimpleAudioParam(TypedDict, total=False):
    """A sound by its address alone."""

    audio_url: str | None


class CustomChatCompletionContentSimpleVideoParam(TypedDict, total=False):
    """A film by its address alone."""

    video_url: str | None
    uuid: str | None


class CustomChatCompletionContentToolReferenceParam(TypedDict, total=False):
    """Name of a tool."""

    name: str
    type: Literal["tool_reference"]


OpenAIContentPart: TypeAlias = (
    ChatCompletionContentPartTextParam
    | ChatCompletionContentPartImageParam
    | ChatCompletionContentPartInputAudioParam
    | File
)
CustomPart: TypeAlias = (
    OpenAIContentPart
    | ChatCompletionContentPartAudioParam
    | ChatCompletionContentPartInputAudioParam
    | ChatCompletionContentPartVideoParam
    | ChatCompletionContentPartRefusalParam
    | CustomChatCompletionContentPILImageParam
    | CustomChatCompletionContentSimpleImageParam
    | ChatCompletionContentPartImageEmbedsParam
    | ChatCompletionContentPartAudioEmbedsParam
    | ChatCompletionContentPartVideoEmbedsParam
    | ChatCompletionContentPartPromptEmbedsParam
    | CustomChatCompletionContentSimpleAudioParam
    | CustomChatCompletionContentSimpleVideoParam
    | CustomChatCompletionContentToolReferenceParam
    | str
    | CustomThinkCompletionContentParam
)
TextParts: TypeAlias = Iterable[ChatCompletionContentPartTextParam]


class FunctionCall(TypedDict, total=False):
    """A call in the former style."""

    arguments: Required[str]
    name: Required[str]


class CustomCall(TypedDict, total=False):
    """Call of a custom tool."""

    input: Required[str]
    name: Required[str]


class ChatCompletionMessageFunctionToolCallParam(TypedDict, total=False):
    """Call of a function by the model."""

    id: Required[str]
    function: Required[FunctionCall]
    type: Required[Literal["function"]]


class ChatCompletionMessageCustomToolCallParam(TypedDict, total=False):
    """Call of a custom tool by the model."""

    id: Required[str]
    custom: Required[CustomCall]
    type: Required[Literal["custom"]]


class Audio(TypedDict, total=False):
    """A former answer in sound."""

    id: Required[str]


class ChatCompletionDeveloperMessageParam(TypedDict, total=False):
    """Instructions of the developer."""

    content: Required[str | TextParts]
    role: Required[Literal["developer"]]
    name: str


class ChatCompletionSystemMessageParam(TypedDict, total=False):
    """Instructions."""

    content: Required[str | TextParts]
    role: Required[Literal["system"]]
    name: str


class ChatCompletionUserMessageParam(TypedDict, total=False):
    """Message of the user."""

    content: Required[str | Iterable[OpenAIContentPart]]
    role: Required[Literal["user"]]
    name: str


class ChatCompletionAssistantMessageParam(TypedDict, total=False):
    """Message of the model."""

    role: Required[Literal["assistant"]]
    audio: Audio | None
    content: str | Iterable[ChatCompletionContentPartTextParam | ChatCompletionContentPartRefusalParam] | None
    function_call: FunctionCall | None
    name: str
    refusal: str | None
    tool_calls: Iterable[ChatCompletionMessageFunctionToolCallParam | ChatCompletionMessageCustomToolCallParam]


class ChatCompletionToolMessageParam(TypedDict, total=False):
    """Result of a tool."""

    content: Required[str | TextParts]
    role: Required[Literal["tool"]]
    tool_call_id: Required[str]


class ChatCompletionFunctionMessageParam(TypedDict, total=False):
    """Result of a function, in the former style."""

    content: Required[str | None]
    name: Required[str]
    role: Required[Literal["function"]]


class CustomChatCompletionMessageParam(TypedDict, total=False):
    """A message with any role."""

    role: Required[str]
    content: str | list[CustomPart]
    name: str
    tool_call_id: str | None
    tool_calls: list[ChatCompletionMessageFunctionToolCallParam] | None
    reasoning: str | None
    tools: list[Json] | None
    task: str | None


class Role(StrEnum):
    """Roles of Harmony."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    DEVELOPER = "developer"
    TOOL = "tool"


class Author(BaseModel):
    """Author of a message of Harmony."""

    role: Role
    name: str | None = None


class Content(BaseModel):
    """Content of a message of Harmony."""


class Message(BaseModel):
    """A message of Harmony."""

    author: Author
    content: list[Content] = Field(default_factory=list)
    channel: str | None = None
    recipient: str | None = None
    content_type: str | None = None


ChatCompletionMessageParam: TypeAlias = (
    ChatCompletionDeveloperMessageParam
    | ChatCompletionSystemMessageParam
    | ChatCompletionUserMessageParam
    | ChatCompletionAssistantMessageParam
    | ChatCompletionToolMessageParam
    | ChatCompletionFunctionMessageParam
    | CustomChatCompletionMessageParam
    | Message
)


def normalize_messages(messages: Any) -> None:
    """Rename `reasoning_content` of raw messages to `reasoning`, and make lists of their tool calls."""
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue
        calls = message.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            message["tool_calls"] = list(calls)
        reasoning = message.pop("reasoning_content", None)
        if reasoning is not None and message.get("reasoning") is None:
            message["reasoning"] = reasoning
