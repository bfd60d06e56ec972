"""The error of all parsers in this package."""


class FormatError(ValueError):
    """Text that cannot be parsed.

    Attributes:
        message: what is wrong.
        allowed: what is allowed, with examples; empty if the message says it.
    """

    def __init__(self, message: str, allowed: str = "") -> None:
        super().__init__(f"{message}; allowed: {allowed}" if allowed else message)
        self.message = message
        self.allowed = allowed


def quoted(value: object) -> str:
    """Return `value` as users write it in YAML, for messages."""
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else str(value)
