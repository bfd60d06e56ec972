"""Log-probabilities of `/generate`: managers/tokenizer_manager.py, `convert_logprob_style`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fake_vllm.openai import tokenizer
from fake_vllm.openai.logprobs import LOGPROB, alternatives

Entry = list[Any]
"""Log-probability, token and its text; the text is null unless it was asked for."""


@dataclass(frozen=True, slots=True)
class LogprobOptions:
    """Log-probabilities that a request asks for.

    Attributes:
        start: first token of the prompt that is listed; -1 for the last one alone.
        top: number of alternatives to each token.
        texts: entries have the tokens' texts.
    """

    start: int = -1
    top: int = 0
    texts: bool = False


def generate_logprobs(options: LogprobOptions, prompt: Sequence[int], pieces: Sequence[str]) -> dict[str, Any]:
    """Return the fields of `meta_info` for a prompt and the text so far; the first token listed has no value."""
    start = len(prompt) - 1 if options.start < 0 else options.start
    listed = [tokenizer.decode([token]) for token in prompt[max(0, start) :]]
    inputs = [_entry(options, piece, LOGPROB if index else None) for index, piece in enumerate(listed)]
    fields: dict[str, Any] = {
        "input_token_logprobs": inputs,
        "output_token_logprobs": [_entry(options, piece, LOGPROB) for piece in pieces],
    }
    if options.top > 0:
        fields["input_top_logprobs"] = [_top(options, piece) if index else None for index, piece in enumerate(listed)]
        fields["output_top_logprobs"] = [_top(options, piece) for piece in pieces]
    return fields


def _entry(options: LogprobOptions, piece: str, value: float | None) -> Entry:
    tokens = tokenizer.encode(piece)
    return [value, tokens[0] if tokens else 0, piece if options.texts else None]


def _top(options: LogprobOptions, piece: str) -> list[Entry]:
    return [_entry(options, text, value) for text, value in alternatives(piece, options.top)]
