"""The operator as `lora-controller` processes on a served world: killed, disconnected, and restarted."""

import json
import time
from pathlib import Path

import httpx

from tests.twin.serve.worlds import World, a_served_world
from twin.trace.lines import ControllerLine, Line, RequestLine
from twin.trace.recorder import decode

MANIFESTS = Path(__file__).parents[4] / "scenarios" / "manifests"
SCENARIO = f"""\
name: apart
duration: 170s
manifests: [{MANIFESTS / "qwen-coder.yaml"}, {MANIFESTS / "quickstart-adapters.yaml"}]
cluster:
  nodes: {{count: 2, gpus: 4}}
  engines: {{default: {{startup: 5s, load: 1s}}}}
faults:
  - {{kind: connection-refused, pods: {{count: 1}}, from: 0s, until: 60s}}
  - {{kind: watch-drop, from: 62s, until: 66s}}
  - {{kind: api-error, probability: 0.3, from: 66s, until: 70s}}
  - {{kind: clock-skew, ahead: 20s, from: 75s, until: 85s}}
expect:
  - adapters.running == 3
  - invariants.violations == 0
"""


def test_a_scenario_passes_with_the_operator_as_a_process_that_is_killed(tmp_path: Path) -> None:
    """All adapters run after faults, two SIGKILLs and a wrong clock; each request in the trace has its replica."""
    ended = ("--operator-process", "--until-end", "--speed", "8", "--crash-interval", "45s", "--out", str(tmp_path))
    with a_served_world(tmp_path, *ended, scenario=SCENARIO) as world:
        assert "leader_election_master_status" in scraped(world)
        out, _ = world.process.communicate(timeout=60)
    assert world.process.returncode == 0, out
    lines = decode((tmp_path / "apart" / "0" / "events.jsonl").read_bytes())
    assert _lifecycle_events(lines)[:4] == ["started", "leading", "crashed", "started"]
    assert _lifecycle_events(lines).count("crashed") == 2
    senders = {line.by for line in lines if isinstance(line, RequestLine)}
    assert senders == {"lora-controller-0"}
    summary = json.loads((tmp_path / "apart" / "0" / "summary.json").read_text())
    assert summary["loads"]["failed_retriable"] > 0


def scraped(world: World) -> str:
    """Return the metrics of the operator's process as soon as it serves them."""
    for _ in range(200):
        answer = httpx.get(f"{world.gateway}/metrics", trust_env=False)
        if answer.is_success:
            break
        assert answer.status_code == 503, answer.text
        time.sleep(0.1)  # noqa: TID251 - another process starts
    return answer.text


def _lifecycle_events(lines: list[Line]) -> list[str]:
    return [line.event for line in lines if isinstance(line, ControllerLine)]
