"""Log-probabilities in responses. The fake computes none: every token has the same, and its alternatives less."""

from collections.abc import Sequence
from typing import Any

from fake_vllm.openai import tokenizer

LOGPROB = -0.6931471805599453  # the logarithm of one half
_MOST = 20
"""Alternatives to a token, however many a server allows."""
_OTHERS = (
    *(" the", " and", " for", " are", " but", " not", " you", " all", " can", " had", " her", " was", " one", " our"),
    *(" out", " day", " get", " has", " him", " his", " how", " man", " new", " now"),
)


def completion_logprobs(
    pieces: Sequence[str], count: int, *, as_ids: bool, offset: int = 0, unscored: int = 0
) -> dict[str, Any]:
    """Return the log-probabilities of a completion's tokens.

    Args:
        pieces: text of each token.
        count: alternatives to each token.
        as_ids: write tokens as ids.
        offset: characters before the first token.
        unscored: tokens at the start that have none, as the first one of a prompt.
    """
    texts = [_written(piece, as_ids) for piece in pieces]
    offsets = [offset]
    for text in texts:
        offsets.append(offsets[-1] + len(text))
    scored = range(len(pieces))
    return {
        "text_offset": offsets[:-1],
        "token_logprobs": [LOGPROB if index >= unscored else None for index in scored],
        "tokens": texts,
        "top_logprobs": [
            {_written(text, as_ids): value for text, value in alternatives(piece, max(1, count))}
            if index >= unscored
            else None
            for index, piece in enumerate(pieces)
        ],
    }


def chat_logprobs(pieces: Sequence[str], count: int, *, as_ids: bool) -> dict[str, Any]:
    """Return the log-probabilities of a chat's tokens."""
    return {
        "content": [
            {
                **_chat_token(piece, LOGPROB, as_ids),
                "top_logprobs": [_chat_token(text, value, as_ids) for text, value in alternatives(piece, count)],
            }
            for piece in pieces
        ]
    }


def prompt_logprobs(tokens: Sequence[int], count: int) -> list[dict[str, Any] | None]:
    """Return the log-probabilities of a prompt's tokens; the first one has none."""
    return [
        None if index == 0 else _prompt_token(token, tokenizer.decode([token]), count)
        for index, token in enumerate(tokens)
    ]


def _prompt_token(token: int, piece: str, count: int) -> dict[str, Any]:
    others = alternatives(piece, max(1, count))[1:]
    result: dict[str, Any] = {str(token): {"logprob": LOGPROB, "rank": 1, "decoded_token": piece}}
    for rank, (text, value) in enumerate(others, 2):
        result[str(tokenizer.encode(text)[0])] = {"logprob": value, "rank": rank, "decoded_token": text}
    return result


def alternatives(piece: str, count: int) -> list[tuple[str, float]]:
    """Return the most probable tokens with their log-probabilities, the chosen one first."""
    count = _MOST if count < 0 else min(count, _MOST)
    others = [text for text in _OTHERS if text != piece][: max(0, count - 1)]
    tokens = [piece, *others][:count]
    return [(text, LOGPROB - rank) for rank, text in enumerate(tokens)]


def _chat_token(piece: str, value: float, as_ids: bool) -> dict[str, Any]:
    return {"token": _written(piece, as_ids), "logprob": value, "bytes": list(piece.encode("utf-8", "replace"))}


def _written(piece: str, as_ids: bool) -> str:
    if not as_ids:
        return piece
    tokens = tokenizer.encode(piece)
    return f"token_id:{tokens[0] if tokens else 0}"
