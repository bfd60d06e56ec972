"""Failures of the simulated cluster itself: an exception outside of any request.

A simulation ends with the exception, since it is a mistake in the twin. A served world goes on: it has users, whose
other objects must not suffer from the one that the twin could not handle.
"""

from collections.abc import Callable

OnFailure = Callable[[str, str, Exception], None]
"""Called with the part that failed, the key of its object (empty if unknown), and the exception."""


def reraise(part: str, key: str, error: Exception) -> None:  # noqa: ARG001 - the protocol's signature
    """Raise the exception."""
    raise error
