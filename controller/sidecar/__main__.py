"""Entry point of `lora-runtime`. SIGTERM ends the process from its first instruction on.

In a container it is process 1, which the kernel does not end on a signal without a handler. Importing
`controller.sidecar.main` takes most of the start, so the handler is set first.
"""

import os
import signal


def main() -> None:
    """Run the `lora-runtime` command."""
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    from controller.sidecar.main import main as run

    run()


if __name__ == "__main__":
    main()
