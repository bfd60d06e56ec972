"""First module of the process that workers are forked from; import it nowhere else.

After Ctrl-C a worker that has just been forked finds its pipes and semaphores gone. Python would print a traceback for
it; the command has said by then what it kept.
"""

import sys
from types import TracebackType


def _print_unless_abandoned(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, OSError | EOFError):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _print_unless_abandoned
