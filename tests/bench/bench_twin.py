"""The whole twin: an hour of `fleet`, a quiet day, ten thousand adapters, growth with their number, and traffic.

Each run is its own process, for its own peak memory.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FLEET = Path("scenarios/fleet.yaml")
TRAFFIC = Path("scenarios/traffic/a-hot-adapter.yaml")

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
summary = result.summary()
print(json.dumps({
    "cpu": cpu, "duration": scenario.duration, "events": len(result.lines), "passed": result.passed,
    "reconciles": summary["reconciles"]["total"],
    "writes": sum(summary["api_requests"][verb] for verb in ("create", "patch", "delete")),
    "requests": summary["traffic"]["requests"],
    "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def _run(scenario: Path, **overrides: str) -> dict[str, Any]:
    command = [sys.executable, "-c", _PROGRAM, str(scenario), json.dumps(overrides)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _steady(adapters: int, duration: str, *, pods: int = 100, arrive: str = "{at: 2m}") -> dict[str, Any]:
    """Run a scenario without changes or faults."""
    manifest = Path("scenarios/manifests/qwen-coder-100.yaml").read_text(encoding="utf-8")
    body = f"""
name: quiet
duration: {duration}
manifests: [pods.yaml]
cluster: {{nodes: {{count: {pods // 4}, gpus: 4}}, engines: {{default: {{startup: 30s}}}}}}
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
    arrive: {arrive}
"""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "quiet.yaml"
        file.write_text(body, encoding="utf-8")
        pods_file = manifest.replace("replicas: 100", f"replicas: {pods}")
        (Path(folder) / "pods.yaml").write_text(pods_file, encoding="utf-8")
        return _run(file)


def measure() -> dict[str, float]:
    """Return CPU seconds, MiB, ratios to real time, and growth with the number of adapters (10 is linear)."""
    fleet, day, traffic = _run(FLEET), _steady(1000, "24h"), _run(TRAFFIC)
    few, many = _steady(100, "10m"), _steady(1000, "10m")
    large = _steady(10_000, "30m", pods=1000, arrive="{poisson: 20/s, from: 2m}")
    return {
        "fleet, an hour, simulated and judged: CPU seconds": fleet["cpu"],
        "fleet: times faster than real time": fleet["duration"] / fleet["cpu"],
        "fleet: peak memory, MiB": fleet["rss"],
        "fleet: events in the record": fleet["events"],
        "fleet: reconciles/s": fleet["reconciles"] / fleet["cpu"],
        "10 000 adapters x 2 on 1 000 pods, half an hour: CPU seconds": large["cpu"],
        "10 000 adapters x 2 on 1 000 pods: peak memory, MiB": large["rss"],
        "quiet day of 100 pods and 1000 adapters: CPU seconds": day["cpu"],
        "100 to 1000 adapters: events grow by a factor of": many["events"] / few["events"],
        "100 to 1000 adapters: CPU grows by a factor of": many["cpu"] / few["cpu"],
        "requests to the API server until one of 1000 adapters runs": many["writes"] / 1000,
        "a-hot-adapter: CPU seconds": traffic["cpu"],
        "a-hot-adapter: users' requests a CPU second": traffic["requests"] / traffic["cpu"],
    }
