"""Ends of a command other than its own: Ctrl-C, SIGTERM, a closed pipe, a disk that refuses.

Each prints at most one line and exits with a code of its own. What a command keeps is in the message of the
`KeyboardInterrupt` that it raises.
"""

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

UNUSABLE, INTERRUPTED, BROKEN_PIPE, TERMINATED = 2, 130, 141, 143
"""Exit codes: the last three are those of a shell for a process that SIGINT, SIGPIPE or SIGTERM has ended."""
NOTHING = "nothing was kept"
"""End of the line of a command that does not say what it keeps."""
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
_ADVICE = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "free some of your quota and run the same command again",
}


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit code; any of these ends is an exit code too."""
    with sigterm_as_interrupt() as terminated:
        try:
            code = command()
            sys.stdout.flush()
        except KeyboardInterrupt as interrupt:
            _print(": ".join(["interrupted", *(str(kept) for kept in interrupt.args or [NOTHING])]))
            code = INTERRUPTED
        except BrokenPipeError:
            code = BROKEN_PIPE
            _drop_output()
        except OSError as error:
            if error.filename is None and error.errno not in _DISK:
                raise
            _print(_refusal(error))
            code = UNUSABLE
            _drop_output()
    return TERMINATED if terminated() and code == INTERRUPTED else code


@contextmanager
def kept(message: str) -> Iterator[None]:
    """Say in the message of an interruption what is kept, and how to go on."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(*(interrupt.args or [message])) from None


@contextmanager
def sigterm_as_interrupt() -> Iterator[Callable[[], bool]]:
    """Treat SIGTERM like Ctrl-C, also in a background process of a script, which ignores SIGINT by default.

    Yields a function that returns True after a SIGTERM. Outside of the main thread signals stay as they are.
    """
    received: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        received.append(number)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.raise_signal(signal.SIGINT)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, before)


def _refusal(error: OSError) -> str:
    reason = error.strerror or str(error)
    what = f"{os.fsdecode(error.filename)}: {reason}" if error.filename else f"the output cannot be written: {reason}"
    return "; ".join(filter(None, [what, _ADVICE.get(error.errno or 0)]))


def _print(message: str) -> None:
    """Print a line on stderr, which may be closed too."""
    try:
        print(f"twin: {message}", file=sys.stderr, flush=True)
    except OSError:
        _redirect(sys.stderr.fileno())


def _drop_output() -> None:
    """Discard what is still buffered for stdout; Python would complain when it writes it at its exit."""
    try:
        _redirect(sys.stdout.fileno())
    except (OSError, ValueError):  # not a file, as in tests
        return


def _redirect(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
