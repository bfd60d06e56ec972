"""What a fleet's GPUs and memory are used for, and what lies idle without being of use to anybody."""

from collections import Counter

import numpy as np
import pandas as pd
from scipy import stats

from twin.analysis.run_data import Source, lines_of, scenario_of
from twin.evaluate.statistics import interval
from twin.scenario import Scenario
from twin.trace.lines import EngineLine, PodLine
from twin.world.scheduler import gpus_of

_HOUR = 3600.0


def gpu_hours(run: Source) -> float:
    """GPUs that pods held, from their place on a node to their end, times how long."""
    each, lines = _gpus(scenario_of(run)), lines_of(run)
    since: dict[str, tuple[float, int]] = {}
    total = 0.0
    for line in lines:
        if not isinstance(line, PodLine):
            continue
        if line.event == "deleted":
            start, gpus = since.pop(line.object, (line.t, 0))
            total += gpus * (line.t - start)
        elif line.node and line.object not in since:
            since[line.object] = (line.t, each.get(line.workload or line.object.partition("/")[2], 0))
    total += sum(gpus * (lines[-1].t - start) for start, gpus in since.values())
    return total / _HOUR


def gpu_hours_for(runs: pd.DataFrame, availability: float, cost: str = "gpu_hours") -> pd.DataFrame:
    """Variants by what they cost, and whether each reaches the availability with statistical significance.

    `holds` is true where the lower end of a 95 % interval of the mean over seeds reaches `availability`; the first such
    row is the cheapest fleet that does. One seed has no interval and holds nothing.
    """
    rows = []
    for variant, group in runs.groupby("variant"):
        values = group["availability"].dropna().to_numpy(dtype=float)
        low = interval(values)[0] if len(values) > 1 else float("nan")
        rows.append((variant, float(group[cost].mean()), len(values), float(values.mean()), low, low >= availability))
    columns = ["variant", cost, "seeds", "availability", "availability_low", "holds"]
    return pd.DataFrame(rows, columns=columns).sort_values([cost, "variant"], ignore_index=True)


def stranded(run: Source, at_seconds: float | None = None) -> pd.DataFrame:
    """What each running engine has free, and what of that nobody can use; at a moment, or at the end.

    Slots (`--max-cpu-loras`) are stranded that the free memory could not fill with the smallest adapter of the run;
    memory is stranded that all free slots could not use up with the largest. Without a memory budget there is neither.
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
            _hold(engines, line)
    rows = []
    for pod, names in sorted(engines.items()):
        shown = pods[pod]
        budget = scenario.cluster.engine(shown.workload or pod.partition("/")[2]).memory.lora_budget
        used = sum(sizes.get(name, scenario.cluster.artifacts.size.default) for name in names)
        slots = max(shown.capacity - len(names), 0)
        memory = float("nan") if budget is None else max(budget - used, 0.0)
        bounded = budget is not None and large > 0
        rows.append(
            {
                "pod": pod,
                "node": shown.node,
                "adapters": len(names),
                "slots": shown.capacity,
                "slots_free": slots,
                "slots_stranded": max(slots - int(memory // small), 0) if bounded else 0,
                "memory_used_bytes": float(used),
                "memory_free_bytes": memory,
                "memory_stranded_bytes": max(memory - slots * large, 0.0) if bounded else 0.0,
            }
        )
    return pd.DataFrame(rows)


def cold_hits(traffic: pd.DataFrame) -> pd.DataFrame:
    """How often requests met an adapter whose weights had to be read again, the most asked for first.

    `low` and `high` are a 95 % interval (Wilson) of `cold_share`: who is asked for rarely is known roughly.
    """
    found = traffic.groupby("adapter")[["requests", "cold"]].sum().reset_index()
    found = found.sort_values(["requests", "adapter"], ascending=[False, True], ignore_index=True)
    found.insert(0, "popularity_rank", np.arange(1, len(found) + 1))
    bounds = [
        stats.binomtest(int(cold), int(asked)).proportion_ci(method="wilson")
        for cold, asked in zip(found["cold"], found["requests"], strict=True)
    ]
    found["cold_share"] = found["cold"] / found["requests"]
    found["low"], found["high"] = [bound.low for bound in bounds], [bound.high for bound in bounds]
    return found


def _hold(engines: dict[str, Counter[str]], line: EngineLine) -> None:
    match line.event:
        case "started":
            engines[line.object] = Counter()
        case "stopped":
            engines.pop(line.object, None)
        case "loaded" if line.object in engines:
            engines[line.object][line.adapter] = 1
        case "unloaded" if line.object in engines:
            engines[line.object].pop(line.adapter, None)


def _gpus(scenario: Scenario) -> dict[str, int]:
    """What one pod asks for, by the name of its Deployment, or its own."""
    found = {}
    for each in scenario.objects:
        template = each["spec"]["template"] if each["kind"] in ("Deployment", "ReplicaSet") else each
        if each["kind"] in ("Deployment", "ReplicaSet", "Pod"):
            found[each["metadata"]["name"]] = gpus_of(template)
    return found


def _sizes(scenario: Scenario) -> dict[str, float]:
    """Bytes of each adapter that the scenario names, as the registry has them."""
    size = scenario.cluster.artifacts.size
    manifests = [obj for obj in scenario.objects if obj.get("kind") == "ModelAdapter"]
    manifests += [template.manifest(i) for template in scenario.adapters for i in range(template.count)]
    found = {}
    for manifest in manifests:
        rank = str((manifest["spec"].get("additionalConfig") or {}).get("rank", ""))
        known = rank.isdecimal() and size.per_rank is not None
        found[manifest["metadata"]["name"]] = float(size.per_rank or 0) * int(rank) if known else float(size.default)
    return found
