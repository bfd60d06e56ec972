"""Formats of the generated text: `response_format` and `structured_outputs`.

See vllm/entrypoints/generate/base/protocol.py and vllm/sampling_params.py.
"""

import json
from collections.abc import Callable
from dataclasses import field
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from fake_vllm.http.validation import VLLMValidationError

_KINDS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")

_TAG_FORMATS = (
    *("const_string", "json_schema", "any_text", "token", "exclude_token", "any_tokens", "grammar", "regex"),
    *("sequence", "or", "tag", "triggered_tags", "token_triggered_tags", "tags_with_separator", "optional", "plus"),
    *("star", "repeat", "dispatch", "token_dispatch", "qwen_xml_parameter"),
)
"""Kinds of `format` in a structural tag that xgrammar knows (xgrammar/structural_tag.py)."""


class FormatModel(BaseModel):
    """A model whose validator's name is part of the places in error messages (see `base.py`)."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    @model_validator(mode="wrap")
    @classmethod
    def __log_extra_fields__(cls, data: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(data)


class JsonSchemaResponseFormat(FormatModel):
    """A JSON schema with its name."""

    name: str
    description: str | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(FormatModel):
    """Text, any JSON object, or JSON that fits a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaResponseFormat | None = None


class StructuralTagResponseFormat(FormatModel):
    """Text with tagged structures, described as one value."""

    type: Literal["structural_tag"]
    format: Any


class LegacyStructuralTag(FormatModel):
    """One structure between two tags."""

    begin: str
    structural_tag_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    end: str


class LegacyStructuralTagResponseFormat(FormatModel):
    """Text with tagged structures and the triggers that start them."""

    type: Literal["structural_tag"]
    structures: list[LegacyStructuralTag]
    triggers: list[str]


AnyResponseFormat: TypeAlias = ResponseFormat | StructuralTagResponseFormat | LegacyStructuralTagResponseFormat
_STRUCTURAL_TAG: TypeAdapter[StructuralTagResponseFormat | LegacyStructuralTagResponseFormat] = TypeAdapter(
    LegacyStructuralTagResponseFormat | StructuralTagResponseFormat, config=ConfigDict(defer_build=True)
)


@dataclass
class StructuredOutputsParams:
    """One constraint for the generated text, with options.

    Fields with an underscore cannot be sent. They are here because vLLM quotes all fields in its errors.
    """

    json: str | dict[str, Any] | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    whitespace_pattern: str | None = None
    structural_tag: str | None = None
    _backend: str | None = field(default=None, init=False)
    _backend_was_auto: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        count = sum(getattr(self, kind) is not None for kind in _KINDS)
        if count != 1:
            found = "but multiple are specified" if count else "but none are specified"
            kind = "You can only use one kind" if count else "You must use one kind"
            raise VLLMValidationError(f"{kind} of structured outputs constraint {found}: {self.__dict__}")


@dataclass
class RepetitionDetectionParams:
    """Parameters to end a text that repeats itself."""

    max_pattern_size: int = 0
    min_pattern_size: int = 0
    min_count: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.min_pattern_size <= self.max_pattern_size:
            raise VLLMValidationError(
                "max_pattern_size, min_pattern_size must be >=0, with min_pattern_size <= max_pattern_size. "
                "Set both to 0 to disable repetitive pattern detection."
            )
        if self.max_pattern_size > 0 and self.min_count < 2:
            raise VLLMValidationError(
                "min_count must be >= 2 to detect repetitive patterns in engine output. If you do not wish to detect "
                "repetitive patterns, set max_pattern_size to 0."
            )


def constraint_of(
    structured: StructuredOutputsParams | None, response_format: AnyResponseFormat | None
) -> StructuredOutputsParams | None:
    """Return the constraint of a request, in which `response_format` comes first.

    Raises:
        VLLMValidationError: if the two contradict each other.
    """
    if response_format is None or response_format.type == "text":
        return structured
    override: dict[str, Any]
    if response_format.type == "json_object":
        override = {"json_object": True}
    elif isinstance(response_format, ResponseFormat):
        schema = response_format.json_schema
        override = {"json": None if schema is None else schema.json_schema}
    else:
        override = {"structural_tag": json.dumps(response_format.model_dump(by_alias=True))}
    sent = {} if structured is None else {kind: getattr(structured, kind) for kind in _KINDS}
    return StructuredOutputsParams(**{**sent, **override})


def check_response_format(value: Any) -> None:
    """Check what vLLM checks of a raw `response_format`.

    Raises:
        VLLMValidationError: if a schema is missing or a structural tag is malformed.
    """
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "json_schema" and value.get("json_schema") is None:
        raise VLLMValidationError(
            "When response_format type is 'json_schema', the 'json_schema' field must be provided.",
            parameter="response_format",
        )
    if kind == "structural_tag":
        try:
            tag = _STRUCTURAL_TAG.validate_python(value)
        except ValidationError:
            raise _invalid_tag("response_format") from None
        _check_structural_tag(tag.model_dump(by_alias=True), "response_format")


def check_structural_tag_text(value: Any) -> None:
    """Check the structural tag of raw `structured_outputs`.

    Raises:
        VLLMValidationError: if it is malformed.
    """
    tag = value.get("structural_tag") if isinstance(value, dict) else None
    if tag is None:
        return
    try:
        _check_structural_tag(json.loads(tag), "structured_outputs")
    except (TypeError, ValueError):
        raise _invalid_tag("structured_outputs") from None


def _check_structural_tag(tag: Any, parameter: str) -> None:
    """Check that a tag has one of the two forms that xgrammar reads."""
    if not isinstance(tag, dict):
        raise _invalid_tag(parameter)
    if isinstance(tag.get("format"), dict) and tag["format"].get("type") in _TAG_FORMATS:
        return
    structures, triggers = tag.get("structures"), tag.get("triggers")
    if not structures or not triggers:
        raise _invalid_tag(parameter)
    for structure in structures:
        if not any(structure["begin"].startswith(trigger) for trigger in triggers):
            raise _invalid_tag(parameter)


def _invalid_tag(parameter: str) -> VLLMValidationError:
    return VLLMValidationError(f"Invalid {parameter} structural_tag specification.", parameter=parameter)
