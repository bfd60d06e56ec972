"""Generated text: the adapter's name, then words that depend only on seed, adapter and prompt.

The name comes first, so a request that went to the wrong adapter is visible at once. Each token is four ASCII bytes, as
`tokenizer.py` counts them, so usage and text agree; only the last token of the name is padded.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate
from statistics import NormalDist

from fake_vllm.distributions import LogNormal
from fake_vllm.openai.tokenizer import WIDTH

_WORDS = (
    " the and for are but not you all can had her was one our out day get has him his how man new now old see two way"
    " who boy did its let put say she too use dad mom far big set run own why ask men read end few got top yet act add"
)
_END = ""  # text of the token that ends a text
_SPREAD = NormalDist()


@dataclass(frozen=True, slots=True)
class Draft:
    """One response before stop strings are applied: the text of each token."""

    pieces: tuple[str, ...]
    ended: bool
    """True if the model ended the text, not the limit: its last token is the one that ends a text, and has none."""


def draft(source: bytes, name: str, limit: int, length: LogNormal, *, least: int = 0, endless: bool = False) -> Draft:
    """Return the text for `source`.

    Args:
        source: seed, adapter, prompt and number of the choice.
        name: name of the model, with which the text begins.
        limit: maximum number of tokens.
        length: distribution of lengths without a limit, in tokens.
        least: minimum number of tokens.
        endless: do not end before the limit (`ignore_eos`).
    """
    digest = blake2b(source, digest_size=16).digest()
    natural = limit if endless else max(least + 1, 2, _drawn(length, digest[:8]))
    size = min(limit, natural)
    ended = size < limit
    head, tape = _head(name), _tape()
    start = int.from_bytes(digest[8:10]) % len(tape)
    body = size - len(head) - ended
    if body <= 0:
        return _draft(head[: size - ended], ended=ended)
    words = tape[start : start + body]
    while len(words) < body:
        words += tape[: body - len(words)]
    return _draft(head + words, ended=ended)


def draft_of(text: str, limit: int) -> Draft:
    """Return a text that is given, in tokens."""
    tokens = _split_words(text)
    return _draft(tokens[:limit], ended=len(tokens) < limit)


def _draft(pieces: tuple[str, ...], *, ended: bool) -> Draft:
    return Draft((*pieces, _END) if ended else pieces, ended)


def _drawn(length: LogNormal, raw: bytes) -> int:
    chance = (int.from_bytes(raw) + 0.5) / 2**64
    return round(length.median * math.exp(length.sigma * _SPREAD.inv_cdf(chance)))


@lru_cache(maxsize=1024)
def _head(name: str) -> tuple[str, ...]:
    """Return the tokens of the name in brackets, split only between characters."""
    text = f"[{name}]"
    return _split_words(text.ljust(-(-len(text) // WIDTH) * WIDTH) if text.isascii() else text)


def _split_words(text: str) -> tuple[str, ...]:
    """Return the tokens of a text, split only between characters."""
    width = WIDTH if text.isascii() else 1
    return tuple(text[start : start + width] for start in range(0, len(text), width))


@lru_cache(maxsize=1)
def _tape() -> tuple[str, ...]:
    """Return words in a pseudo-random order; every text is a section of it."""
    words = [f" {word}" for word in _WORDS.split() if len(word) == WIDTH - 1]
    return tuple(words[(index * 2654435761 % 2**32 >> 9) % len(words)] for index in range(4096))


def cut_at_stop(
    pieces: tuple[str, ...], stops: tuple[str, ...], least: int, *, include: bool
) -> tuple[tuple[str, ...], str | None]:
    """Return the pieces up to the first stop string after the `least` first tokens, and that string."""
    if not stops:
        return pieces, None
    text = "".join(pieces)
    ends = list(accumulate(map(len, pieces)))
    start = ends[least - 1] if 0 < least <= len(ends) else 0
    matches = [(at, stop) for stop in stops if (at := text.find(stop, max(0, start - len(stop) + 1))) >= 0]
    if not matches:
        return pieces, None
    at, stop = min(matches, key=lambda match: match[0] + len(match[1]))
    last = next(number for number, end in enumerate(ends) if end >= at + len(stop))
    kept = text[: at + len(stop) if include else at]
    return (*_split(kept, ends[:last]), kept[ends[last - 1] if last else 0 :]), stop


def _split(text: str, ends: list[int]) -> list[str]:
    """Return `text` cut at `ends`; tokens behind its end are empty, as a stop string removed them."""
    starts = [0, *ends[:-1]]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)] if ends else []
