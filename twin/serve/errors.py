"""What keeps a world from being served."""


class ServeError(Exception):
    """It cannot be; the message is one line that says why and what to do."""
