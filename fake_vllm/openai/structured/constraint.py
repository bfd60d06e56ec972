"""A request's constraint: the checks that vLLM makes of it, and a text that fits.

See `_validate_structured_outputs` in vllm/sampling_params.py and vllm/v1/structured_output.
"""

import json
from random import Random
from typing import Any

from fake_vllm.engine.lora import EngineError
from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.protocol.formats import StructuredOutputsParams
from fake_vllm.openai.structured import grammar, json_schema, regex
from fake_vllm.openai.structured.errors import ConstraintError

_ANY_OBJECT = {"type": "object"}


def constrained_text(constraint: StructuredOutputsParams, source: bytes) -> str:
    """Return a text that fits; the same one for the same `source`.

    Raises:
        VLLMValidationError: if the constraint cannot be used.
    """
    try:
        return _text(constraint, Random(int.from_bytes(source)))
    except ConstraintError as error:
        raise VLLMValidationError(f"Grammar error: {_explained(constraint, error)}") from None
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, RecursionError) as error:
        raise VLLMValidationError(f"Grammar error: {error}") from None


def check_constraint(constraint: StructuredOutputsParams, *, explained: bool = True) -> None:
    """Check a constraint and its grammar; `explained`: the client is sent the error of a grammar.

    Raises:
        VLLMValidationError: if it cannot be used.
        EngineError: if its grammar cannot be used, and the client is not sent the reason.
    """
    _check_content(constraint)
    try:
        _check_grammar(constraint)
    except VLLMValidationError:
        if explained:
            raise
        raise EngineError(500, "InternalServerError", "") from None


def _check_grammar(constraint: StructuredOutputsParams) -> None:
    if constraint.regex and "\0" in constraint.regex:
        raise VLLMValidationError("structured_outputs.regex must not contain a NUL character ('\\x00')")
    constrained_text(constraint, b"")


def _check_content(constraint: StructuredOutputsParams) -> None:
    if constraint.choice == []:
        raise VLLMValidationError("Choice '[]' cannot be an empty list")
    for name in ("grammar", "json", "structural_tag"):
        value = getattr(constraint, name)
        if isinstance(value, str) and not value.strip():
            raise VLLMValidationError(f"structured_outputs.{name} cannot be an empty string")
    if constraint.json_object is False:
        raise VLLMValidationError(
            "structured_outputs.json_object must be True if set; omit structured_outputs to disable structured outputs"
        )


def _text(constraint: StructuredOutputsParams, random: Random) -> str:
    if constraint.choice is not None:
        return random.choice(constraint.choice)
    if constraint.regex is not None:
        return regex.generate(constraint.regex, random)
    if constraint.grammar is not None:
        return grammar.generate(constraint.grammar, random)
    if constraint.json_object:
        return json_schema.generate(_ANY_OBJECT, random)
    if constraint.structural_tag is not None:
        return _tagged(json.loads(constraint.structural_tag), random)
    schema = constraint.json
    return json_schema.generate(_parsed(schema) if isinstance(schema, str) else schema, random)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise VLLMValidationError("Invalid JSON grammar specification.") from None


def _tagged(tag: Any, random: Random) -> str:
    """Return a text with one of a tag's structures."""
    structures = tag.get("structures")
    if not structures:
        return json_schema.generate(_ANY_OBJECT, random)
    chosen = random.choice(structures)
    return f"{chosen['begin']}{json_schema.generate(chosen.get('schema') or {}, random)}{chosen['end']}"


def _explained(constraint: StructuredOutputsParams, error: ConstraintError) -> str:
    """Return the error as the real server's library words it, as far as that is known."""
    if constraint.regex is None:
        return error.message
    line = f"start: /{constraint.regex}/"
    return f'at 1(8): invalid regex "{constraint.regex}" (in regex): {error.explanation}\n   1 | {line}\n{" " * 14}^'
