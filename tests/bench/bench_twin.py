"""The whole twin: an hour of `fleet`, a quiet day, and growth with the number of adapters.

Each run is its own process, for its own peak memory.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FLEET = Path("scenarios/fleet.yaml")

_PROGRAM = """
import json, resource, sys, time
from pathlib import Path
from twin.runs.run import simulate_and_judge
from twin.scenario import load_all
overrides = json.loads(sys.argv[2])
(scenario,), problems = load_all([Path(sys.argv[1])], overrides, None)
assert not problems, problems
started = time.process_time()  # not wall time, since the machine is shared
result = simulate_and_judge(scenario)
cpu = time.process_time() - started
print(json.dumps({
    "cpu": cpu, "duration": scenario.duration, "events": len(result.lines), "passed": result.passed,
    "reconciles": result.summary()["reconciles"]["total"],
    "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def _run(scenario: Path, **overrides: str) -> dict[str, Any]:
    command = [sys.executable, "-c", _PROGRAM, str(scenario), json.dumps(overrides)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _steady(adapters: int, duration: str) -> dict[str, Any]:
    """Run a scenario with 100 pods and `adapters` adapters, without changes or faults."""
    body = f"""
name: quiet
duration: {duration}
manifests: [{FLEET.parent.resolve()}/manifests/qwen-coder-100.yaml]
cluster: {{nodes: {{count: 25, gpus: 4}}, engines: {{default: {{startup: 30s}}}}}}
adapters:
  - name: a-{{i}}
    count: {adapters}
    spec:
      baseModel: qwen-coder-1-5b-instruct
      podSelector:
        matchLabels:
          model.aibrix.ai/name: qwen-coder-1-5b-instruct
          adapter.model.aibrix.ai/enabled: "true"
      artifactURL: huggingface://acme/a-{{i}}
      replicas: 2
    arrive: {{at: 2m}}
"""
    file = Path("reports/bench-quiet.yaml")
    file.parent.mkdir(exist_ok=True)
    file.write_text(body, encoding="utf-8")
    try:
        return _run(file)
    finally:
        file.unlink()


def measure() -> dict[str, float]:
    """Return ratios to real time, seconds, MiB, and growth of the trace from 100 to 1000 adapters (10 is linear)."""
    fleet, day = _run(FLEET), _steady(1000, "24h")
    few, many = _steady(100, "10m"), _steady(1000, "10m")
    return {
        "fleet: times faster than real time": fleet["duration"] / fleet["cpu"],
        "fleet: peak memory, MiB": fleet["rss"],
        "fleet: events in the record": fleet["events"],
        "fleet: reconciles/s": fleet["reconciles"] / fleet["cpu"],
        "quiet day of 100 pods and 1000 adapters: seconds": day["cpu"],
        "100 to 1000 adapters: events grow by a factor of": many["events"] / few["events"],
        "100 to 1000 adapters: seconds grow by a factor of": many["cpu"] / few["cpu"],
    }
