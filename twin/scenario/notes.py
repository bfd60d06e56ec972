"""Notes on a valid scenario: what is ignored, what cannot work, and what to change."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from controller.api.labels import ENABLED_LABEL
from fake_vllm.engine.config import EngineConfigError
from twin.apiserver.meta.selectors import label_selector
from twin.scenario.errors import Note
from twin.scenario.manifests.autoscaler_notes import notes_on_autoscalers
from twin.scenario.manifests.group_notes import notes_on_groups
from twin.scenario.manifests.pod_fields import unread_names
from twin.scenario.manifests.reader import Entry
from twin.scenario.manifests.workloads import Workload, engine_config
from twin.scenario.model import ScenarioFile
from twin.scenario.sections.cluster import Node

UPDATING = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
UNREAD = "fields of its pods that the twin does not read"
_NO_ENGINE = "no engine runs in its pods: no container starts the API server of vLLM or SGLang"
_WITHOUT_ENGINES = ("DaemonSet", "Job")
"""Kinds that usually have none: no note."""
_NAMED = 5
"""Maximum number of names in a note."""


def notes_on(
    entries: Sequence[Entry], workloads: Sequence[Workload], adapters: Sequence[dict[str, Any]], nodes: Sequence[Node]
) -> list[Note]:
    """Return notes on what keeps something of a valid scenario from working."""
    notes = [*_on_selectors(workloads, adapters), *_on_pods(entries, workloads)]
    notes += [*_on_services(entries), *_on_budgets(entries, workloads), *notes_on_autoscalers(entries)]
    requested = sum(workload.gpus * workload.replicas for workload in workloads)
    available = sum(node.gpus for node in nodes)
    if requested > available:
        text = f"the pods request {requested} GPUs and the nodes have {available}: some pods will stay Pending"
        notes.append(Note(text))
    return [*notes, *(note for entry in entries for note in notes_on_groups(entry))]


def _on_pods(entries: Sequence[Entry], workloads: Sequence[Workload]) -> Iterator[Note]:
    existing = {(entry.kind, entry.namespace, entry.name) for entry in entries}
    for workload in workloads:
        entry, at = workload.entry, workload.at
        if not workload.has_engine and entry.kind not in _WITHOUT_ENGINES:
            yield entry.note(f"{workload.title}: {_NO_ENGINE}", at)
        elif workload.has_engine and not workload.looks_like_engine:
            container = workload.engine["name"]
            yield entry.note(f"no container of {entry.title} looks like vLLM; {container} is used", at)
        if workload.lacks_sglang_label:
            lacking = f"pods of {workload.name} run SGLang without the label model.aibrix.ai/engine: sglang"
            yield entry.note(f"{lacking}: the operator treats it as vLLM", at)
        for kind, name in dict.fromkeys((reference.kind, reference.name) for reference in workload.references):
            if (kind, entry.namespace, name) not in existing:
                yield entry.note(f"pods of {workload.name} cannot start: {kind} {name} is not in the manifests", at)


def notes_on_unread_fields(workloads: Sequence[Workload]) -> Iterator[Note]:
    """Yield notes on fields of pods that change nothing here."""
    for workload in workloads:
        if unread := unread_names(workload):
            text = f"{workload.title}: {UNREAD}: {', '.join(unread)}"
            yield workload.entry.note(text, (*workload.at, *next(iter(unread.values()))))


def _on_budgets(entries: Sequence[Entry], workloads: Sequence[Workload]) -> Iterator[Note]:
    """Yield notes on disruption budgets that never allow the eviction of a pod."""
    for entry in entries:
        if entry.kind != "PodDisruptionBudget":
            continue
        spec = entry.object.get("spec") or {}
        matches = label_selector(spec.get("selector") or {})
        pods = sum(
            workload.replicas
            for workload in workloads
            if workload.entry.namespace == entry.namespace and matches(workload.labels)
        )
        unavailable, available = spec.get("maxUnavailable"), spec.get("minAvailable")
        if not pods:
            yield entry.note(f"{entry.title} selects no pod of the manifests")
        elif unavailable in (0, "0%") or available == "100%" or (isinstance(available, int) and available >= pods):
            rule = f"maxUnavailable is {unavailable}" if available is None else f"minAvailable is {available}"
            yield entry.note(f"{entry.title} blocks every drain: {rule} of {pods} pods", ("spec",))


def _on_services(entries: Sequence[Entry]) -> Iterator[Note]:
    """Yield notes on StatefulSets whose Service is missing."""
    services = {(entry.namespace, entry.name) for entry in entries if entry.kind == "Service"}
    for entry in entries:
        name = (entry.object.get("spec") or {}).get("serviceName", "") if entry.kind == "StatefulSet" else None
        if name is None or (entry.namespace, name) in services:
            continue
        lacking = f"Service {name} is not in the manifests" if name else "spec.serviceName is not set"
        yield entry.note(f"{entry.title}: {lacking}: its pods have no DNS names of their own", ("spec",))


def _on_selectors(workloads: Sequence[Workload], adapters: Sequence[dict[str, Any]]) -> Iterator[Note]:
    """Yield notes on adapters that select no pods, and on pods that are selected but not enabled."""
    disabled, chosen = dict[str, Workload](), dict[str, Workload]()
    for adapter in adapters:
        metadata = adapter["metadata"]
        selected = [workload for workload in workloads if _selects(adapter, workload)]
        if not selected:
            yield Note(f"ModelAdapter {metadata['namespace']}/{metadata['name']} selects no pod of the manifests")
        chosen |= {each.entry.title: each for each in selected}
        disabled |= {each.entry.title: each for each in selected if each.labels.get(ENABLED_LABEL) != "true"}
    for workload in disabled.values():
        lacking = f'pods of {workload.name} are without the label {ENABLED_LABEL}: "true"'
        text = f"{lacking}, so no adapter is loaded on them; add it to the pods' labels"
        yield workload.entry.note(text, (*workload.at[:-1], "metadata"))
    for workload in chosen.values():
        if lacking := _lacks_for_loading(workload):
            text = f"engines of {workload.name} refuse every adapter, because they are without {lacking}"
            yield workload.entry.note(text, (*workload.at, "containers"))


def _lacks_for_loading(workload: Workload) -> str:
    """Return what a vLLM needs for adapters that are loaded at run time and does not have; empty if nothing."""
    if not workload.looks_like_engine or workload.engine.get("envFrom"):
        return ""
    try:
        config = engine_config(workload)
    except EngineConfigError:
        return ""
    variable = any(each.get("name") == UPDATING and "valueFrom" in each for each in workload.engine.get("env") or ())
    needs = (("--enable-lora", config.enable_lora), (f'{UPDATING}="True"', config.runtime_updating or variable))
    return " and ".join(name for name, there in needs if not there)


def note_on_trace(file: ScenarioFile, entries: Sequence[Entry]) -> list[Note]:
    """Return a note on requests in a trace for adapters that never exist."""
    trace = file.traffic.trace if file.traffic is not None else None
    if trace is None or not trace.adapters:
        return []
    existing = {entry.name for entry in entries if entry.kind == "ModelAdapter"}
    existing |= {t.manifest(number)["metadata"]["name"] for t in file.adapters for number in range(t.count)}
    requested = Counter(trace.adapters)
    unknown = sorted(set(requested) - existing)
    if not unknown:
        return []
    skipped, names = sum(requested[name] for name in unknown), ", ".join(unknown[:_NAMED])
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    return [Note(f"{skipped:,} requests of the trace are skipped, because their adapters never exist: {names}{more}")]


def _selects(adapter: dict[str, Any], workload: Workload) -> bool:
    selector = adapter["spec"].get("podSelector") or {}
    return (
        adapter["metadata"]["namespace"] == workload.entry.namespace
        and dict(selector.get("matchLabels") or {}).items() <= workload.labels.items()
        and all(_meets(workload.labels, requirement) for requirement in selector.get("matchExpressions") or ())
    )


def _meets(labels: dict[str, str], requirement: dict[str, Any]) -> bool:
    key, values = requirement.get("key"), requirement.get("values") or ()
    match requirement.get("operator"):
        case "In":
            return labels.get(str(key)) in values
        case "NotIn":
            return labels.get(str(key)) not in values
        case "Exists":
            return key in labels
    return key not in labels
