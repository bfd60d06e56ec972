"""Checks of raw bodies that completions and chats share, made before pydantic's, in vLLM's words.

See the "before" validators of vllm/entrypoints/openai/completion/protocol.py and chat_completion/protocol.py. Values of
odd types fail here as they fail there, with Python's own exceptions, which become part of the response.
"""

from typing import Any

from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.protocol.formats import check_structural_tag_text
from fake_vllm.openai.releases import Api

_FORBIDDEN_IN_SALT = frozenset("@/\\\x00")  # vLLM, vllm/entrypoints/generate/base/protocol.py
_MAX_SALT = 128  # characters; the same file
_COUNTED = ("json", "regex", "choice")


def check_cache_salt(salt: Any, release: Api) -> None:
    """Check `cache_salt` as a release does; some leave it to the field's type.

    Raises:
        VLLMValidationError: if it cannot be used.
    """
    if salt is None or (release.bounded_fields and not release.limits_cache_salt):
        return
    if not isinstance(salt, str) or not salt:
        raise VLLMValidationError(
            "Parameter 'cache_salt' must be a non-empty string if provided.", parameter="cache_salt"
        )
    if release.limits_cache_salt and (len(salt) > _MAX_SALT or not _FORBIDDEN_IN_SALT.isdisjoint(salt)):
        raise VLLMValidationError(
            "Parameter 'cache_salt' must be at most 128 characters and must not contain '@', '/', '\\\\', or NUL.",
            parameter="cache_salt",
        )


def check_stream_options(data: dict[str, Any]) -> None:
    """Check that only a stream has stream options.

    Raises:
        VLLMValidationError: if not.
    """
    if data.get("stream_options") and not data.get("stream"):
        raise VLLMValidationError("Stream options can only be defined when `stream=True`.", parameter="stream_options")


def count_constraints(structured: Any) -> int:
    """Return the number of constraints in raw `structured_outputs`.

    Raises:
        AttributeError: if it is not an object, as on a real server.
    """
    return sum(structured.get(kind) is not None for kind in _COUNTED)


def check_structured_outputs(data: dict[str, Any], *, parameter: str | None) -> int:
    """Check that there is at most one constraint, and return the number.

    Raises:
        VLLMValidationError: if there are more; `parameter`: name in the error.
    """
    structured = data.get("structured_outputs")
    if structured is None:
        return 0
    count = count_constraints(structured)
    if count > 1:
        raise VLLMValidationError(
            "You can only use one kind of constraints for structured outputs ('json', 'regex' or 'choice').",
            parameter=parameter,
        )
    check_structural_tag_text(structured)
    return count


def check_logprob_fields(data: dict[str, Any], field: str, *, all_tokens: bool = True) -> None:
    """Check `prompt_logprobs` and `field`, the request's own field for log-probabilities.

    Args:
        data: the raw body.
        field: name of the field.
        all_tokens: it may be -1, for the whole vocabulary.

    Raises:
        VLLMValidationError: if one is not a number, is below -1, or is not available in a stream.
    """
    for name in ("prompt_logprobs", field):
        value = data.get(name)
        if value is not None and not isinstance(value, int | float):
            raise VLLMValidationError(f"`{name}` must be an integer.", parameter=name, value=value)
    prompt = data.get("prompt_logprobs")
    if prompt is not None:
        if data.get("stream") and (prompt > 0 or prompt == -1):
            raise VLLMValidationError(
                "`prompt_logprobs` are not available when `stream=True`.", parameter="prompt_logprobs"
            )
        _check_positive("prompt_logprobs", prompt)
    if data.get(field) is not None:
        _check_positive(field, data[field], all_tokens=all_tokens)


def check_logprob_token_ids(data: dict[str, Any], *, needs: str, missing: bool) -> None:
    """Check `logprob_token_ids`; `missing`: the request has no log-probabilities, for which it `needs` a field.

    Raises:
        VLLMValidationError: if it is sent together with fields that exclude it.
    """
    if not data.get("logprob_token_ids"):
        return
    if data.get("use_beam_search"):
        raise VLLMValidationError(
            "`logprob_token_ids` is not supported with beam search.", parameter="logprob_token_ids"
        )
    if missing:
        raise VLLMValidationError(f"when using `logprob_token_ids`, {needs}.", parameter="logprob_token_ids")


def _check_positive(name: str, value: float, *, all_tokens: bool = True) -> None:
    if value < 0 and not (all_tokens and value == -1):
        allowed = " or -1" if all_tokens else ""
        raise VLLMValidationError(f"`{name}` must be a positive value{allowed}.", parameter=name, value=value)
