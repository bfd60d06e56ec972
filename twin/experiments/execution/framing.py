"""Pickled messages over a pipe, each preceded by its length.

Imports nothing of this project: a child process uses it before it has chosen its `controller` package.
"""

import pickle
from typing import Any, BinaryIO

_LENGTH = 8
"""Bytes of the length."""


def send(pipe: BinaryIO, message: Any) -> None:
    data = pickle.dumps(message)
    pipe.write(len(data).to_bytes(_LENGTH, "big") + data)
    pipe.flush()


def receive(pipe: BinaryIO) -> Any:
    """Return the next message.

    Raises:
        EOFError: if the pipe has ended, or ends within a message.
    """
    length = pipe.read(_LENGTH)
    data = pipe.read(int.from_bytes(length, "big")) if len(length) == _LENGTH else b""
    if not data:
        raise EOFError
    return pickle.loads(data)
