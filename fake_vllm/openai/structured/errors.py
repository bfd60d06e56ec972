"""The error of a constraint that cannot be used."""


class ConstraintError(Exception):
    """A schema, pattern or grammar that cannot be used.

    Attributes:
        message: what is wrong.
        source: the pattern or grammar.
        position: place of the error in it.
    """

    def __init__(self, message: str, source: str = "", position: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.source = source
        self.position = position

    @property
    def explanation(self) -> str:
        """The error of a pattern, as the real server's regex library words it."""
        message = "unclosed character class" if self.message.startswith("unterminated character set") else self.message
        return f"regex parse error:\n    {self.source}\n    {' ' * self.position}^\nerror: {message}"
