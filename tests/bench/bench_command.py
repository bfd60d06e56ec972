"""Wait of a user: the command line as a whole process, from start to exit.

CPU seconds and memory are those of the child processes, as the operating system counts them; each command is run
three times and the median kept. Python may keep the compiled modules, as it does for a user: compiling all of them in
each process would take longer than a small run.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

_RUN = """
import json, resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "twin", *sys.argv[1:]], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""
COMMANDS = {
    "twin --help": ("--help",),
    "twin check quickstart": ("check", "scenarios/quickstart.yaml"),
    "twin run quickstart": ("run", "scenarios/quickstart.yaml"),
    "twin run fleet": ("run", "scenarios/fleet.yaml"),
}


def measure() -> dict[str, float]:
    """Return seconds until the prompt is back, CPU seconds and MiB of each command."""
    figures: dict[str, float] = {}
    for what, arguments in COMMANDS.items():
        runs = [_run(*arguments) for _ in range(3)]
        for name, values in zip(
            ("wait, seconds", "CPU seconds", "peak memory, MiB"), zip(*runs, strict=True), strict=True
        ):
            figures[f"{what}: {name}"] = median(values)
    return figures


def _run(*arguments: str) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and MiB of one command."""
    with tempfile.TemporaryDirectory() as out:
        where = ("--out", out) if arguments[0] == "run" else ()
        started = time.perf_counter()
        command = [sys.executable, "-c", _RUN, *arguments, *where]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        wait = time.perf_counter() - started
    code, cpu, memory = json.loads(done.stdout)
    assert code == 0, arguments
    return wait, cpu, memory
