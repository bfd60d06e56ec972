"""Notes on HorizontalPodAutoscalers: what the twin cannot measure, missing targets, and pods with two autoscalers."""

from collections.abc import Iterator, Sequence

from twin.apiserver.registry.autoscaling import SOURCES
from twin.scenario.errors import Note
from twin.scenario.manifests.reader import Entry

AUTOSCALER = "HorizontalPodAutoscaler"
ENGINE_GAUGES = {
    "vllm": ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "gpu_cache_usage_perc"),
    "sglang": (
        "num_running_reqs",
        "num_queue_reqs",
        "token_usage",
        "num_used_tokens",
        "gen_throughput",
        "cache_hit_rate",
    ),
}
"""Metrics of pods that autoscalers usually have; all other gauges of an engine's page can be read too."""
_READABLE = "the twin offers the engines' own gauges as metrics of pods, such as vllm:num_requests_waiting"
_UNMEASURED = {
    "Resource": "the twin measures no CPU and no memory",
    "ContainerResource": "the twin measures no CPU and no memory",
    "External": "the twin has no external metrics",
    "Object": "the twin has no metrics of objects",
}


def notes_on_autoscalers(entries: Sequence[Entry]) -> Iterator[Note]:
    """Yield what keeps autoscalers from working."""
    autoscalers = [entry for entry in entries if entry.kind == AUTOSCALER]
    existing = {(entry.namespace, entry.kind, entry.name) for entry in entries}
    targets: dict[tuple[str, str], Entry] = {}
    for entry in autoscalers:
        reference = (entry.object.get("spec") or {}).get("scaleTargetRef") or {}
        kind, name = str(reference.get("kind", "")), str(reference.get("name", ""))
        if (entry.namespace, kind, name) not in existing:
            yield entry.note(f"{entry.title}: its target {kind} {name} is not in the manifests", ("spec",))
        other = targets.setdefault((entry.namespace, _pods_of(entries, entry.namespace, kind, name)), entry)
        if other is not entry:
            text = f"{entry.title} and {other.name} have the same pods, so neither scales (AmbiguousSelector)"
            yield entry.note(text, ("spec", "scaleTargetRef"))
        yield from _on_metrics(entry)


def _on_metrics(entry: Entry) -> Iterator[Note]:
    metrics = (entry.object.get("spec") or {}).get("metrics") or [{"type": "Resource", "resource": {"name": "cpu"}}]
    for index, metric in enumerate(metrics):
        type_ = metric.get("type", "")
        source = metric.get(SOURCES.get(type_, "")) or {}
        name = (source.get("metric") or source).get("name", "")
        if type_ == "Pods" and _is_gauge(name):
            continue
        reason = _UNMEASURED.get(type_, _READABLE)
        text = f"{entry.title} cannot read {name}: {reason}; it reports FailedGet{type_}Metric"
        single = "" if len(metrics) > 1 else ", and the replicas stay as they are"
        place = ("spec", "metrics", index) if entry.object["spec"].get("metrics") else ("spec",)
        yield entry.note(text + single, place)


def _is_gauge(name: str) -> bool:
    engine, separator, rest = name.partition(":") if ":" in name else name.partition("_")
    return bool(separator) and rest in ENGINE_GAUGES.get(engine, ())


def _pods_of(entries: Sequence[Entry], namespace: str, kind: str, name: str) -> str:
    """Return what tells the pods of a target apart: its selector, or its own name."""
    for entry in entries:
        if (entry.namespace, entry.kind, entry.name) == (namespace, kind, name):
            spec = entry.object.get("spec") or {}
            selector = spec.get("podSelector") or spec.get("selector")
            return str(selector) if selector else f"{kind}/{name}"
    return f"{kind}/{name}"
