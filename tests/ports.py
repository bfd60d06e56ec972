"""Ports for servers that tests start; not a test."""

import socket
from random import SystemRandom

_FIRST, _LAST = 12_000, 32_000
"""Below those that the system hands out by itself, to clients too, between now and when the port is used."""
_RANDOM = SystemRandom()


def free_port() -> int:
    """Return a free port of the loopback address; tests that run in parallel rarely draw the same."""
    while True:
        port = _RANDOM.randrange(_FIRST, _LAST)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
