"""`python -m twin`, the same as `twin`."""

import signal
import sys

try:
    from twin.cli import main
except KeyboardInterrupt:  # no traceback of the imports
    sys.exit(128 + signal.SIGINT)

if __name__ == "__main__":
    main()
