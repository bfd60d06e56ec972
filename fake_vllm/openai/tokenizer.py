"""A simple tokenizer: every four bytes of UTF-8 are one token.

There is no vocabulary of a model. Lengths are about right (four characters per token is the usual rule of thumb for
English), counting is fast, and tokens can be decoded. A header of `/tokenize` says that this is not the model's
tokenizer.
"""

from collections.abc import Iterable

WIDTH = 4  # bytes per token; OpenAI's rule of thumb, "one token is roughly four characters of English"
NAME = "fake-vllm/four-bytes-a-token"
LARGEST = (2 << 8 * WIDTH) - 1  # largest token id


def count(text: str) -> int:
    """Return the number of tokens in `text`."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size // WIDTH)


def encode(text: str) -> list[int]:
    """Return the tokens of `text`: the bytes of each as a number, after a leading 1 that preserves their count."""
    raw = text.encode("utf-8", "replace")
    return [int.from_bytes(b"\1" + raw[start : start + WIDTH]) for start in range(0, len(raw), WIDTH)]


def decode(tokens: Iterable[int]) -> str:
    """Return the text of `tokens`; an id that `encode` never returns becomes a replacement character."""
    return b"".join(map(_bytes, tokens)).decode("utf-8", "replace")


def pieces(text: str) -> list[str]:
    """Return the text of each token."""
    return [decode([token]) for token in encode(text)]


def _bytes(token: int) -> bytes:
    size = (token.bit_length() - 1) // 8
    if 1 <= size <= WIDTH and token >> 8 * size == 1:
        return (token ^ (1 << 8 * size)).to_bytes(size)
    return "\ufffd".encode()
