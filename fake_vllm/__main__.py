"""`fake-vllm`: one fake engine as a process, which SIGTERM ends from the beginning.

In a container it is process 1, which the kernel ends only by signals that it handles. The handler is therefore set
before the imports of `main.py`, which are most of the start.
"""

import os
import signal


def main() -> None:
    """Entry point of the `fake-vllm` command."""
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    from fake_vllm.main import main as serve

    serve()


if __name__ == "__main__":
    main()
