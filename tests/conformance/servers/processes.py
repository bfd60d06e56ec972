"""Server processes, forked by a `fork_server.py` of the server's own Python."""

import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_SCRIPT = Path(__file__).parent / "fork_server.py"
_POLL_SECONDS = 0.02


class ForkServer:
    """Starts servers; may be used by several threads.

    Args:
        python: interpreter of the server's installation.
        program: what the server is to think it is called.
        modules: the one with the server's `main`, and others to import beforehand.
    """

    def __init__(self, python: str, program: str, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [python, str(_SCRIPT), program, *modules],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ended: dict[int, int] = {}
        self._answers: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()
        self._answers.get()

    def start(self, args: Sequence[str], environment: Mapping[str, str], log: Path) -> "Process":
        """Fork a server, the leader of its own process group, whose output goes to `log`."""
        request = {"args": list(args), "environment": dict(environment), "log": str(log)}
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            pid = self._answers.get()
        if pid is None:
            raise RuntimeError("the fork server has ended")
        return Process(pid, self._ended)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            if isinstance(answer, dict):
                self._ended[answer["pid"]] = answer["exit"]
            else:
                self._answers.put(answer)
        self._answers.put(None)


class Process:
    """One forked server."""

    def __init__(self, pid: int, ended: Mapping[int, int]) -> None:
        self.pid = pid
        self._ended = ended

    def poll(self) -> int | None:
        """Return the exit code, None while the process runs."""
        return self._ended.get(self.pid)

    def wait(self, seconds: float) -> int | None:
        """Return the exit code; None if the process still runs after `seconds`."""
        waiting = threading.Event()
        for _ in range(int(seconds / _POLL_SECONDS)):
            if self.poll() is not None:
                break
            waiting.wait(_POLL_SECONDS)
        return self.poll()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill_group(self, number: int) -> bool:
        """Signal all of the server's processes; return whether there were any."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        return True
