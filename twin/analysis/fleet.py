"""Use of a fleet's GPUs and memory, and free capacity that no adapter can use."""

from collections import Counter

import numpy as np
import pandas as pd
from scipy import stats

from twin.analysis.columns import column_list
from twin.analysis.run_data import Source, lines_of, scenario_of
from twin.evaluate.gpu_use import GpuUse
from twin.evaluate.statistics import interval
from twin.scenario import Scenario
from twin.sim.settings import gpus_by_workload
from twin.trace.lines import EngineLine, PodLine


def gpu_hours(run: Source) -> float:
    """Return the GPU hours that pods held, from their assignment to a node to their end."""
    use, lines = GpuUse(gpus_by_workload(scenario_of(run))), lines_of(run)
    for line in lines:
        if isinstance(line, PodLine):
            use.see(line)
    return use.hours(lines[-1].t)


def gpu_hours_for(runs: pd.DataFrame, availability: float, cost: str = "gpu_hours") -> pd.DataFrame:
    """Return variants by cost, and whether each reaches an availability with statistical significance.

    `passed` is true if the lower end of the 95 % interval of the mean over seeds reaches `availability`; the first such
    row is the cheapest sufficient fleet. A single seed has no interval, so `passed` is false.

    Raises:
        ValueError: if there is no column `cost`.
    """
    (cost,) = column_list(cost, runs.columns, "cost")
    rows = []
    for variant, group in runs.groupby("variant"):
        values = group["availability"].dropna().to_numpy(dtype=float)
        low = interval(values)[0] if len(values) > 1 else float("nan")
        rows.append((variant, float(group[cost].mean()), len(values), float(values.mean()), low, low >= availability))
    columns = ["variant", cost, "seeds", "availability", "availability_low", "passed"]
    return pd.DataFrame(rows, columns=columns).sort_values([cost, "variant"], ignore_index=True)


def stranded(run: Source, at_seconds: float | None = None) -> pd.DataFrame:
    """Return the free capacity of each running engine and its stranded part, at a time or at the end.

    A slot (`--max-cpu-loras`) is stranded if the free memory cannot hold the smallest adapter of the run in it; memory
    is stranded if the largest adapters in all free slots cannot use it. Without a memory budget nothing is stranded.
    """
    scenario, lines = scenario_of(run), lines_of(run)
    sizes = _sizes(scenario)
    small, large = min(sizes.values(), default=0.0), max(sizes.values(), default=0.0)
    pods: dict[str, PodLine] = {}
    engines: dict[str, Counter[str]] = {}
    for line in lines:
        if at_seconds is not None and line.t > at_seconds:
            break
        if isinstance(line, PodLine):
            pods[line.object] = line
        elif isinstance(line, EngineLine):
            _apply(engines, line)
    rows = []
    for pod, names in sorted(engines.items()):
        pod_line = pods[pod]
        budget = scenario.cluster.engine(pod_line.workload or pod.partition("/")[2]).memory.lora_budget
        used = sum(sizes.get(name, scenario.cluster.artifacts.size.default) for name in names)
        slots = max(pod_line.capacity - len(names), 0)
        memory = float("nan") if budget is None else max(budget - used, 0.0)
        bounded = budget is not None and large > 0
        rows.append(
            {
                "pod": pod,
                "node": pod_line.node,
                "adapters": len(names),
                "slots": pod_line.capacity,
                "slots_free": slots,
                "slots_stranded": max(slots - int(memory // small), 0) if bounded else 0,
                "memory_used_bytes": float(used),
                "memory_free_bytes": memory,
                "memory_stranded_bytes": max(memory - slots * large, 0.0) if bounded else 0.0,
            }
        )
    return pd.DataFrame(rows)


def cold_hits(traffic: pd.DataFrame) -> pd.DataFrame:
    """Return the share of cold requests (the weights had to be loaded again) by adapter, the most popular first.

    `low` and `high` are the 95 % interval (Wilson) of `cold_share`, which is wide for rarely used adapters.
    """
    table = traffic.groupby("adapter")[["requests", "cold"]].sum().reset_index()
    table = table.sort_values(["requests", "adapter"], ascending=[False, True], ignore_index=True)
    table.insert(0, "popularity_rank", np.arange(1, len(table) + 1))
    bounds = [
        stats.binomtest(int(cold), int(requests)).proportion_ci(method="wilson")
        for cold, requests in zip(table["cold"], table["requests"], strict=True)
    ]
    table["cold_share"] = table["cold"] / table["requests"]
    table["low"], table["high"] = [bound.low for bound in bounds], [bound.high for bound in bounds]
    return table


def _apply(engines: dict[str, Counter[str]], line: EngineLine) -> None:
    match line.event:
        case "started":
            engines[line.object] = Counter()
        case "stopped":
            engines.pop(line.object, None)
        case "loaded" if line.object in engines:
            engines[line.object][line.adapter] = 1
        case "unloaded" if line.object in engines:
            engines[line.object].pop(line.adapter, None)


def _sizes(scenario: Scenario) -> dict[str, float]:
    """Return the bytes of each adapter of the scenario, as in the registry."""
    size = scenario.cluster.artifacts.size
    manifests = [obj for obj in scenario.objects if obj.get("kind") == "ModelAdapter"]
    manifests += [template.manifest(i) for template in scenario.adapters for i in range(template.count)]
    sizes = {}
    for manifest in manifests:
        rank = str((manifest["spec"].get("additionalConfig") or {}).get("rank", ""))
        by_rank = rank.isdecimal() and size.per_rank is not None
        sizes[manifest["metadata"]["name"]] = float(size.per_rank or 0) * int(rank) if by_rank else float(size.default)
    return sizes
