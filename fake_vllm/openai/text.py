"""What the fake writes: its adapter's name, then words that depend on seed, adapter and prompt alone.

The name comes first, so that a request that went to the wrong adapter is seen at once. Each token is four
ASCII bytes, as `tokens.py` counts them, so that usage and text agree; only the name's last token is filled up.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from statistics import NormalDist

from fake_vllm.distributions import LogNormal
from fake_vllm.openai.tokenizer import WIDTH

_WORDS = (
    " the and for are but not you all can had her was one our out day get has him his how man new now old see two way"
    " who boy did its let put say she too use dad mom far big set run own why ask men read end few got top yet act add"
)
_SPREAD = NormalDist()


@dataclass(frozen=True, slots=True)
class Draft:
    """One answer before anything cuts it off: its tokens as text, as many as were asked for."""

    pieces: tuple[str, ...]
    ended: bool
    """Whether the model itself ended here, rather than the limit."""


def draft(source: bytes, name: str, limit: int, length: LogNormal, *, least: int = 0, endless: bool = False) -> Draft:
    """The answer that `source` leads to.

    Args:
        source: what it depends on: seed, adapter, prompt, number of the choice.
        name: whose answer it is.
        limit: tokens at most.
        length: how long answers are that nothing cuts off, in tokens.
        least: tokens at least.
        endless: never end before the limit (`ignore_eos`).
    """
    digest = blake2b(source, digest_size=16).digest()
    wanted = limit if endless else max(least, 1, _drawn(length, digest[:8]))
    size = min(limit, wanted)
    head, tape = _head(name), _tape()
    start = int.from_bytes(digest[8:10]) % len(tape)
    body = size - len(head)
    if body <= 0:
        return Draft(head[:size], ended=size < limit)
    words = tape[start : start + body]
    while len(words) < body:
        words += tape[: body - len(words)]
    return Draft(head + words, ended=size < limit)


def _drawn(length: LogNormal, raw: bytes) -> int:
    chance = (int.from_bytes(raw) + 0.5) / 2**64
    return round(length.median * math.exp(length.sigma * _SPREAD.inv_cdf(chance)))


@lru_cache(maxsize=1024)
def _head(name: str) -> tuple[str, ...]:
    """The name in brackets, in tokens: cut where characters end, since none may be torn apart."""
    text = f"[{name}]"
    if text.isascii():
        text = text.ljust(-(-len(text) // WIDTH) * WIDTH)
        return tuple(text[at : at + WIDTH] for at in range(0, len(text), WIDTH))
    return tuple(text)


@lru_cache(maxsize=1)
def _tape() -> tuple[str, ...]:
    """Words in an order that looks like none; every answer is a stretch of it."""
    words = [f" {word}" for word in _WORDS.split() if len(word) == WIDTH - 1]
    return tuple(words[(at * 2654435761 % 2**32 >> 9) % len(words)] for at in range(4096))
