"""A burst of 500 adapters on 50 engines whose loads take a second, as simulated and as served.

The operator is a process, API and engines are sockets, time is real. Its limit towards the API server (100 requests a
second, its default) is what decides, and the twin knows it.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

MANIFEST = Path(__file__).parents[2] / "scenarios" / "manifests" / "qwen-coder-100.yaml"
SCENARIO = """\
name: live-bench
duration: 150s
manifests: [fifty.yaml]
cluster:
  nodes: {count: 7, gpus: 8}
  engines: {default: {startup: 2s, load: 1s}}
  artifacts: {bandwidth: 100Gbit/s, size: {default: 10MiB}}
controller: {kube_api_qps: 100}
adapters:
  - name: many-{i:03}
    count: 500
    spec:
      baseModel: qwen-coder-1-5b-instruct
      podSelector: {matchLabels: {model.aibrix.ai/name: qwen-coder-1-5b-instruct}}
      artifactURL: huggingface://acme/many-{i:03}
      replicas: 1
    arrive: {at: 40s}
"""


def measure() -> dict[str, float]:
    """Return the seconds from the burst until the last adapter is Running, simulated and served."""
    with tempfile.TemporaryDirectory() as folder:
        text = MANIFEST.read_text(encoding="utf-8")
        assert text.count("replicas: 100\n") == 1, "the manifest that this scales down has changed"
        (Path(folder) / "fifty.yaml").write_text(text.replace("replicas: 100\n", "replicas: 50\n"), encoding="utf-8")
        file = Path(folder) / "live.yaml"
        file.write_text(SCENARIO, encoding="utf-8")
        command = [sys.executable, "-m", "twin", "compare-worlds", str(file), "--json", "--out", folder]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
    rows = {row["measure"]: row for row in json.loads(ran.stdout)}
    assert rows["adapters.running"]["served"] == 500, rows["adapters.running"]
    last = rows["time_to_running_seconds.max"]
    return {
        "predicted: last of 500 Running after s": last["simulated"],
        "live: last of 500 Running after s": last["served"],
        "live / predicted": last["served"] / last["simulated"],
    }
