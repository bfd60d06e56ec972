"""A simple tokenizer: every four bytes of UTF-8 are one token.

There is no vocabulary of a model. Lengths are about right (four characters per token is the usual rule of thumb for
English), counting is fast, and tokens can be decoded. A header of `/tokenize` says that this is not the model's
tokenizer. Its ids are larger than those of any model, so ids of a real vocabulary are different from them; those are
accepted as well and stand for no text.
"""

from collections.abc import Iterable

WIDTH = 4  # bytes per token; OpenAI's rule of thumb, "one token is roughly four characters of English"
NAME = "fake-vllm/four-bytes-a-token"
EOS = 2  # token that ends a text, as of Llama's tokenizers; no text is split into it
EOS_TEXT = "</s>"
_BITS = 8 * WIDTH
LARGEST = ((WIDTH + 1) << _BITS) - 1  # largest token id


def count(text: str) -> int:
    """Return the number of tokens in `text`."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size // WIDTH)


def encode(text: str) -> list[int]:
    """Return the tokens of `text`: the bytes of each as a number, after a digit that preserves their count."""
    raw = text.encode("utf-8", "replace")
    return [_token(raw[start : start + WIDTH]) for start in range(0, len(raw), WIDTH)]


def decode(tokens: Iterable[int]) -> str:
    """Return the text of `tokens`; an id that `encode` never returns becomes a replacement character."""
    return b"".join(map(_bytes, tokens)).decode("utf-8", "replace")


def pieces(text: str) -> list[str]:
    """Return the text of each token."""
    return [decode([token]) for token in encode(text)]


def is_own(token: int) -> bool:
    """Return whether `encode` can have returned this id."""
    return _size(token) > 0


def _token(raw: bytes) -> int:
    return (WIDTH + 1 - len(raw)) << _BITS | int.from_bytes(raw)


def _size(token: int) -> int:
    """Return the number of bytes that a token stands for, 0 if it is not of this tokenizer."""
    size = WIDTH + 1 - (token >> _BITS)
    fits = 1 <= size <= WIDTH and (token & (1 << _BITS) - 1) >> 8 * size == 0
    return size if fits else 0


def _bytes(token: int) -> bytes:
    if size := _size(token):
        return (token & (1 << _BITS) - 1).to_bytes(size)
    return "\ufffd".encode()
