"""`lora-runtime`: the sidecar as its own process, which a SIGTERM ends from its first moment on.

In a container it is process 1, and the kernel ends that by no signal that it does not handle; most of a start is
reading `process.py` and what that needs.
"""

import os
import signal


def main() -> None:
    """Entry point of the `lora-runtime` command."""
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    from controller.sidecar.main import main as serve

    serve()


if __name__ == "__main__":
    main()
