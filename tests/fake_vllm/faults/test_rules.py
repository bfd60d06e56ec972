"""Prometheus rules evaluated on the fake's metrics, in virtual time.

`promtool` (Debian's package `prometheus` has it) evaluates the rules on what was scraped; without it only what they
name is looked up, by the Python parser.
"""

import asyncio
import json
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from fake_vllm.distributions import Constant
from fake_vllm.engine.context import Randomness
from fake_vllm.engine.engine import Engine, EngineConfig
from fake_vllm.engine.timing import EngineTimes, StepTimeModel
from fake_vllm.flavors import flavor_of
from twin.kernel import loop

RULES = Path(__file__).parents[2] / "data" / "engine-rules.yaml"
EVERY = 15
"""Seconds between scrapes."""
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")


def an_engine() -> Engine:
    config = EngineConfig(
        served_model_names=("base",),
        max_model_len=1000,
        enable_lora=True,
        lora_modules=(("sql", "/sql"), ("js", "/js")),
        max_num_seqs=8,
    )
    timing = StepTimeModel(step_base=0.02, kv_tokens=2500)
    return Engine(
        config,
        flavor_of(config),
        EngineTimes(Constant(0.0), Constant(0.0), timing),
        Randomness(np.random.default_rng(0)),
    )


def scraped() -> list[str]:
    """Return the pages of eight minutes: idle, two minutes of overload, idle."""

    async def story() -> list[str]:
        engine = an_engine()
        pages: list[str] = []

        async def scrape() -> None:
            while True:
                pages.append(engine.metrics_page())
                await asyncio.sleep(EVERY)

        async def client(number: int) -> None:
            await asyncio.sleep(60 + number % 7)
            try:
                async with asyncio.timeout(120 if number else 60):
                    while True:
                        await engine.complete(("sql", "js", "base")[number % 3], 300, 400)
            except TimeoutError:
                pass

        scraping = asyncio.ensure_future(scrape())
        await asyncio.gather(*(client(number) for number in range(40)))
        await asyncio.sleep(480 - asyncio.get_running_loop().time())
        scraping.cancel()
        return pages

    return loop.run(story())


def series(pages: list[str]) -> list[dict[str, str]]:
    """Return the scraped samples in the form of promtool's tests: one line per series, `_` for a missing sample."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for at, page in enumerate(pages):
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                labels = ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}"][at] = sample.value
    return [
        {"series": name, "values": " ".join(_shown(values.get(at)) for at in range(len(pages)))}
        for name, values in found.items()
    ]


def _shown(value: float | None) -> str:
    return "_" if value is None else f"{value:.6f}"


def tool(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *words], input=given, capture_output=True, text=True, timeout=60, check=False)


def test_what_rules_name_is_there() -> None:
    said = YAML(typ="safe").load(RULES)
    expressions = [rule["expr"] for group in said["groups"] for rule in group["rules"]]
    named = {name for expression in expressions for name in re.findall(r"vllm:[a-z_]+", expression)}
    page = scraped()[-1]
    there = {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}
    assert named <= there
    assert len(named) >= 7


@needs_promtool
def test_promtool_reads_the_page_and_the_rules() -> None:
    read = tool("check", "metrics", given=scraped()[-1])
    assert read.returncode in (0, 3)  # 3: lints, for vLLM's names have colons in them
    assert "parsing error" not in read.stderr
    assert tool("check", "rules", str(RULES)).returncode == 0


@needs_promtool
def test_alerts_fire_while_there_is_too_much_work_and_not_before_or_after(tmp_path: Path) -> None:
    pages = scraped()
    every = {"severity": "ticket", "model_name": "base"}
    engine = {**every, "engine": "0"}
    fires: dict[str, Any] = {
        "EngineQueues": engine,
        "EngineCacheFull": every,
        "FirstTokenLate": every,
        "ClientsGiveUp": every,
    }
    quiet = [*fires, "EngineStuck", "AdapterWaits"]
    tests = [{"eval_time": "45s", "alertname": name, "exp_alerts": []} for name in quiet]
    tests += [
        {"eval_time": "150s", "alertname": name, "exp_alerts": [{"exp_labels": labels}]}
        for name, labels in fires.items()
    ]
    tests += [{"eval_time": "450s", "alertname": name, "exp_alerts": []} for name in quiet]
    tests += [{"eval_time": "150s", "alertname": "EngineStuck", "exp_alerts": []}]
    file = tmp_path / "test.yaml"
    whole = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{EVERY}s",
        "tests": [{"interval": f"{EVERY}s", "input_series": series(pages), "alert_rule_test": tests}],
    }
    file.write_text(json.dumps(whole))
    judged = tool("test", "rules", str(file))
    assert judged.returncode == 0, judged.stdout + judged.stderr
