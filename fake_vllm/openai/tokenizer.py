"""A plain tokenizer: every four bytes of UTF-8 are one token.

No model's vocabulary is at hand, and none is needed: what matters is that lengths come out about right (four
characters a token is the usual rule of thumb for English), that counting costs nothing, and that what is
tokenized can be got back. Answers of `/tokenize` say in a header that this is not the model's tokenizer.
"""

from collections.abc import Iterable

WIDTH = 4  # bytes a token; OpenAI's rule of thumb, "one token is roughly four characters of English"
NAME = "fake-vllm/four-bytes-a-token"
LARGEST = (2 << 8 * WIDTH) - 1  # the largest number that stands for a token


def count(text: str) -> int:
    """How many tokens `text` has."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size // WIDTH)


def encode(text: str) -> list[int]:
    """The tokens of `text`: each is its bytes as a number, with a leading one that keeps their count."""
    raw = text.encode("utf-8", "replace")
    return [int.from_bytes(b"\1" + raw[at : at + WIDTH]) for at in range(0, len(raw), WIDTH)]


def decode(tokens: Iterable[int]) -> str:
    """The text of `tokens`; a number that is none of ours stands for a character that is not known."""
    return b"".join(map(_bytes, tokens)).decode("utf-8", "replace")


def pieces(text: str) -> list[str]:
    """The text of each token by itself."""
    return [decode([token]) for token in encode(text)]


def _bytes(token: int) -> bytes:
    size = (token.bit_length() - 1) // 8
    if 1 <= size <= WIDTH and token >> 8 * size == 1:
        return (token ^ (1 << 8 * size)).to_bytes(size)
    return "\ufffd".encode()
