"""Texts of errors as vLLM's server shows them (`vllm/entrypoints/serve`, `sanitize_message`)."""

import re

_ADDRESS = re.compile(r" at 0x[0-9a-f]+>")
_FRAME = re.compile(r'\n?\s*File "[^"]+", line \d+, in \S+(\n\s+.*)?')
_PATHS = (
    re.compile(r"/(?:home|usr|opt|var|tmp|root|lib|mnt|srv)(?:/[\w.\-]+)+"),
    re.compile(r"(?:/[\w\-]+)+/[\w\-]+\.\w+"),
)


def sanitize(message: str, *, hides_paths: bool) -> str:
    """Return a text without addresses of objects, and without paths in the releases that hide them."""
    message = _ADDRESS.sub(">", message)
    if not hides_paths:
        return message
    message = _FRAME.sub("", message)
    for pattern in _PATHS:
        message = pattern.sub("<path>", message)
    return message.strip()
