"""The error for a world that cannot be served."""


class ServeError(Exception):
    """The world cannot be served; the message is one line with the reason and the remedy."""
