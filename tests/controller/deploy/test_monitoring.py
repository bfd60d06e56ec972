"""Alerts and the dashboard ask for metrics that exist, and each alert has a runbook."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from ruamel.yaml import YAML

from controller.metrics.instruments import Metrics
from controller.sidecar.artifacts.progress import DownloadTracker
from tests.contract.worlds import a_log

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "controller/deploy/components/monitoring"
PAGES = ROOT / "docs/alerts"
RECORDING = ROOT / "tests/conformance/recordings/vllm-0.32.0.json"
NAME = re.compile(r"\b(?:vllm:|lora_|controller_runtime_|workqueue_|leader_election_|rest_client_)\w+")


def rules() -> list[dict[str, Any]]:
    rule = YAML(typ="safe").load((MONITORING / "prometheusrule.yaml").read_text())
    return list(rule["spec"]["groups"][0]["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads((MONITORING / "dashboard.json").read_text())["panels"])


def queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel.get("targets", [])]


def samples(families: Iterable[tuple[str, str]]) -> set[str]:
    """Return the names of samples of families, each with its type."""
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return {name + suffix for name, kind in families for suffix in suffixes.get(kind, [""])}


def families(registry: CollectorRegistry) -> list[tuple[str, str]]:
    return [(metric.name, metric.type) for metric in registry.collect()]


def of_real_vllm() -> list[tuple[str, str]]:
    """Return the metrics of a recorded vLLM 0.32.0."""
    return re.findall(r'"(vllm:\w+)": \{"type": "(\w+)"', RECORDING.read_text())


@pytest.fixture(scope="module")
def existing() -> set[str]:
    sidecar = CollectorRegistry()
    DownloadTracker(sidecar, a_log())
    return samples([*families(Metrics().registry), *families(sidecar), *of_real_vllm()])


@pytest.mark.parametrize("query", [*(rule["expr"] for rule in rules()), *queries()])
def test_a_query_asks_for_metrics_that_exist(query: str, existing: set[str]) -> None:
    names = set(NAME.findall(query))
    assert names
    assert names <= existing
    assert query.count("(") == query.count(")")


def test_the_dashboard_shows_fleet_adapters_engines_and_the_operator() -> None:
    shown = panels()
    assert [panel["title"] for panel in shown if panel["type"] == "row"] == ["Fleet", "Adapters", "Engines", "Operator"]
    assert len({panel["id"] for panel in shown}) == len(shown)
    cells = [
        (x, y)
        for panel in shown
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert max(x for x, _ in cells) == 23


def test_each_metric_of_the_operators_alerts_is_on_the_dashboard() -> None:
    in_alerts = {name for rule in rules() for name in NAME.findall(rule["expr"])}
    shown = {name for query in queries() for name in NAME.findall(query)}
    assert in_alerts - shown == {"controller_runtime_reconcile_errors_total"}  # shown as a result of reconcile_total


def test_each_alert_has_a_runbook_and_a_row_in_the_list() -> None:
    listed = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| (\w+) \|", (PAGES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted((rule["alert"], rule["alert"], rule["labels"]["severity"]) for rule in rules())
    for rule in rules():
        page = PAGES / f"{rule['alert']}.md"
        assert rule["annotations"]["runbook_url"].endswith(f"/docs/alerts/{page.name}")
        assert page.read_text().startswith(f"# {rule['alert']}\n")
        assert {"**Impact.**", "**Diagnosis.**"} <= set(re.findall(r"\*\*\w+\.\*\*", page.read_text()))
    assert {page.stem for page in PAGES.glob("Lora*.md")} == {rule["alert"] for rule in rules()}
