"""Ends of a command other than its own: one line at most, an exit code, no traceback."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from twin.commands.endings import BROKEN_PIPE, INTERRUPTED, TERMINATED, UNUSABLE, guarded

FULL = os.strerror(errno.ENOSPC)


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), INTERRUPTED, "twin: interrupted: nothing was kept\n"),
        (KeyboardInterrupt("3 runs are stored"), INTERRUPTED, "twin: interrupted: 3 runs are stored\n"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), BROKEN_PIPE, ""),
        (
            OSError(errno.ENOSPC, FULL, "out/events.jsonl"),
            UNUSABLE,
            f"twin: out/events.jsonl: {FULL}; free some space and run the same command again\n",
        ),
        (
            OSError(errno.ENOSPC, FULL),
            UNUSABLE,
            f"twin: the output cannot be written: {FULL}; free some space and run the same command again\n",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "out"), UNUSABLE, "twin: out: Permission denied\n"),
    ],
)
def test_an_end_is_a_line_and_an_exit_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raising(error)) == code
    assert capsys.readouterr() == ("", line)


def test_an_error_that_is_no_disks_stays_an_internal_one() -> None:
    with pytest.raises(OSError, match="odd"):
        guarded(raising(OSError(errno.EINVAL, "odd")))


def test_sigterm_ends_a_command_like_ctrl_c_with_its_own_code(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    assert guarded(command) == TERMINATED
    assert capsys.readouterr().err == "twin: interrupted: nothing was kept\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_command_that_writes_what_it_has_after_sigterm_ends_with_its_code_too() -> None:
    def command() -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            return INTERRUPTED
        return 0

    assert guarded(command) == TERMINATED


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which `twin` is this checkout's."""
    twin = f"{sys.executable} -m twin"
    script = f'set -o pipefail; twin() {{ {twin} "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("line", "code", "err"),
    [
        ("twin --version > /dev/full", UNUSABLE, f"twin: the output cannot be written: {FULL}; free some space"),
        ("twin --version >&-", 0, ""),
        ("twin check missing.yaml 2> /dev/full", UNUSABLE, ""),
    ],
)
def test_disks_and_closed_streams_of_a_shell(line: str, code: int, err: str, tmp_path: Path) -> None:
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("only Linux has /dev/full")
    done = shell(line, tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(err)
    assert done.stderr.count("\n") == bool(err)
    assert done.stdout == ""


def test_a_reader_that_has_gone_ends_a_command_silently() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "twin", "--version"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (BROKEN_PIPE, "")
