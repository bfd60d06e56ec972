"""`make live`: run every shipped scenario on a served world, with `lora-controller` as a process that is killed often.

Each scenario is served like `twin serve FILE --operator-process --until-end`: real sockets, HTTP and TLS, and a SIGKILL
to the operator every eight minutes. It is judged by its own expectations and all invariants. Several scenarios run at
once, since they mostly wait; large ones run alone afterwards, in real time. Arguments select scenarios by file or
folder below `scenarios/`; the default is all of them.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from twin.scenario import load

SCENARIOS = Path("scenarios")
OUT = Path("reports/live")
_NOT_SCENARIOS = ("manifests",)
_TOO_LONG = ("fleet-day.yaml",)
"""A day with more than `_CROWD` adapters would be served in real time; it runs only if it is named."""
_LONGEST = 5400.0  # seconds of the machine for one scenario
_CROWD = 500
"""Number of adapters above which a scenario runs alone and in real time: at a higher speed the operator would send more
requests than two cores can serve."""


@dataclass(frozen=True, slots=True)
class ScenarioRun:
    """Result of one scenario."""

    file: Path
    code: int
    seconds: float
    """Wall-clock time of the run."""
    kills: int
    message: str
    """Failed expectations and violations."""


def files(chosen: Sequence[str]) -> list[Path]:
    """Return the scenarios below these files and folders."""
    roots = [Path(name) for name in chosen] or [SCENARIOS]
    result = [path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*.yaml")))]
    named = [path for path in roots if path.is_file()]
    return [
        path
        for path in result
        if not set(path.parts) & set(_NOT_SCENARIOS) and (path in named or path.name not in _TOO_LONG)
    ]


def crowded(file: Path) -> bool:
    """Return True for a scenario that needs the machine for itself."""
    return sum(adapter.count for adapter in load(file).adapters) > _CROWD


def serve_all(chosen: Sequence[Path], arguments: argparse.Namespace) -> Iterator[ScenarioRun]:
    """Run all scenarios."""
    alone = [file for file in chosen if crowded(file)]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        yield from pool.map(
            lambda file: serve(file, arguments.speed, arguments), [file for file in chosen if file not in alone]
        )
    for file in alone:
        yield serve(file, 1.0, arguments)


def serve(file: Path, speed: float, arguments: argparse.Namespace) -> ScenarioRun:
    """Run one scenario."""
    out = OUT / file.relative_to(file.parts[0]).with_suffix("")
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "twin", "serve", str(file), "--operator-process", "--until-end"]
    command += ["--speed", f"{speed:g}"]
    command += [
        "--crash-interval",
        arguments.crash_interval,
        "--kubeconfig",
        str(out / "kubeconfig"),
        "--out",
        str(out),
    ]
    started = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST, check=False)
    except subprocess.TimeoutExpired:
        return ScenarioRun(file, 3, time.perf_counter() - started, 0, f"not done after {_LONGEST:g} s")
    kills = sum(kill_lines(out))
    message = "" if done.returncode == 0 else " / ".join(wrong(out) or done.stderr.splitlines()[-3:])
    return ScenarioRun(file, done.returncode, time.perf_counter() - started, kills, message)


def kill_lines(out: Path) -> Iterator[bool]:
    for record in out.rglob("events.jsonl"):
        for line in record.open(encoding="utf-8"):
            if '"kind":"controller"' in line:
                yield json.loads(line)["event"] == "crashed"


def wrong(out: Path) -> list[str]:
    """Return the failed expectations and violations of a run's summary."""
    result = []
    for file in out.rglob("summary.json"):
        summary = json.loads(file.read_text(encoding="utf-8"))
        result += [f"{each['text']} was {each['actual']}" for each in summary["expectations"] if not each["passed"]]
        if first := summary["invariants"]["first"]:
            result.append(f"{summary['invariants']['violations']} violations: {first}")
    return result


def main(command: Sequence[str]) -> int:
    """Run the scenarios; return 1 if one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.run", description=__doc__)
    parser.add_argument("scenarios", nargs="*")
    parser.add_argument("--speed", type=float, default=6.0, help="simulated seconds a second")
    parser.add_argument("--crash-interval", default="8m", help="simulated time between two SIGKILLs to the operator")
    parser.add_argument("--jobs", type=int, default=8, help="scenarios at once")
    arguments = parser.parse_args(command)
    chosen = files(arguments.scenarios)
    failed = 0
    for run in serve_all(chosen, arguments):
        failed += run.code != 0
        verdict = "passed" if run.code == 0 else f"exit {run.code}"
        print(f"{run.file!s:<52}{verdict:<8}{run.seconds:>6.0f} s{run.kills:>4} kills  {run.message}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
