"""Checks between the parts of a scenario: references, pod sizes, times. Each check yields all errors that it finds."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path as File

from controller.cache.pod_view import label_problem
from formats.durations import format_duration
from twin.scenario.errors import Note, Problem, choices, closest
from twin.scenario.faults import ClockSkew, ControllerCrash, LeaderLoss, Rollout
from twin.scenario.manifests.admission import Admission, kind_error
from twin.scenario.manifests.pod_templates import WITH_PODS
from twin.scenario.manifests.reader import Entry
from twin.scenario.manifests.workloads import (
    GPU,
    RESTARTABLE,
    Workload,
    check_engine,
    nameless_variables,
)
from twin.scenario.model import ScenarioFile
from twin.scenario.sections.cluster import Cluster, Node
from twin.scenario.sections.policies import plug_ins, policy_error
from twin.scenario.sections.targets import NodeTargets, PodTargets
from twin.scenario.yaml.positions import Document


def sort_kinds(entries: Sequence[Entry]) -> tuple[list[Entry], list[Problem], list[Note]]:
    """Return the supported objects, errors in misspelled kinds, and notes on ignored objects."""
    supported: list[Entry] = []
    problems: list[Problem] = []
    notes: list[Note] = []
    for entry in entries:
        match kind_error(entry):
            case None:
                supported.append(entry)
            case Problem() as problem:
                problems.append(problem)
            case text:
                notes.append(entry.note(text))
    return supported, problems, notes


def check_objects(entries: Sequence[Entry], admission: Admission) -> tuple[list[Entry], list[Problem]]:
    """Return the objects that the API server accepts, and the errors of the others and of duplicates."""
    accepted: list[Entry] = []
    problems: list[Problem] = []
    first: dict[tuple[str, str, str], Entry] = {}
    for entry in entries:
        other = first.setdefault((entry.kind, entry.namespace, entry.name), entry)
        if other is not entry:
            line, _ = other.document.where(other.path)
            message = f"{entry.title} already exists, in {other.document.file}:{line}"
            problems.append(entry.problem(("metadata", "name"), message, "allowed: one object for each kind and name"))
            continue
        refusals = admission.refusals(entry.object)
        problems += [entry.problem(path, message) for path, message in refusals]
        if not refusals:
            accepted.append(entry)
    return accepted, problems


def check_fields(entries: Sequence[Entry], admission: Admission) -> tuple[list[Problem], list[Note]]:
    """Return the errors in misspelled fields, and notes on others that the kinds do not have.

    `kubectl` refuses both. A field that resembles none of its kind may be one of a later release of Kubernetes.
    """
    problems: list[Problem] = []
    notes: list[Note] = []
    for entry in entries:
        for field in admission.unknown_fields(entry.object):
            name = str(field.path[-1])
            if close := closest(name, field.known):
                message = f'unknown field "{name}"; did you mean "{close}"?'
                problems.append(entry.problem(field.path, message, key=True))
            else:
                text = f"{entry.title}: {field}: Kubernetes has no such field; it is ignored"
                notes.append(entry.note(text, field.path))
    return problems, notes


def check_workloads(workloads: Sequence[Workload], cluster: Cluster, nodes: Sequence[Node]) -> Iterator[Problem]:
    """Check that engines can start and that each pod fits on a node."""
    largest = max(node.gpus for node in nodes)
    for workload in workloads:
        yield from nameless_variables(workload)
        refused = check_engine(workload, cluster.engine(workload.name).version) if workload.has_engine else None
        if refused is not None:
            yield refused
        if problem := label_problem(workload.labels, [str(item.get("name")) for item in workload.containers]):
            yield workload.entry.problem((*workload.at[:-1], "metadata", "labels"), problem)
        if workload.gpus > largest:
            message = f"a pod requests {workload.gpus} {GPU}, and no node has more than {largest}"
            yield workload.entry.problem(workload.at, message, "allowed: fewer GPUs, or larger nodes in cluster.nodes")


def check_references(
    file: ScenarioFile, document: Document, workloads: Sequence[Workload], nodes: Sequence[Node]
) -> Iterator[Problem]:
    """Check that names in the scenario exist."""
    names = sorted({workload.name for workload in workloads})
    for name in file.cluster.engines:
        if name != "default" and name not in names:
            message = f'workload "{name}" not found in the manifests'
            yield document.problem(("cluster", "engines", name), message, choices(name, [*names, "default"]), key=True)
    for index, fault in enumerate(file.faults):
        at = ("faults", index)
        if isinstance(fault, Rollout):
            yield from _check_workload(document, (*at, "deployment"), fault.deployment, workloads, RESTARTABLE)
        pods = getattr(fault, "pods", None)
        if isinstance(pods, PodTargets):
            yield from _check_pods(document, (*at, "pods"), pods, workloads)
        chosen = getattr(fault, "nodes", None)
        if isinstance(chosen, NodeTargets):
            yield from _check_nodes(document, (*at, "nodes"), chosen, [node.name for node in nodes])


def check_containers(file: ScenarioFile, document: Document, workloads: Sequence[Workload]) -> Iterator[Problem]:
    """Check that containers that end by themselves exist and are no engines. Requires valid objects."""
    names = sorted({str(item.get("name")) for workload in workloads for item in workload.all_containers})
    engines = {str(workload.engine["name"]) for workload in workloads if workload.has_engine}
    for name in file.cluster.containers:
        at = ("cluster", "containers", name)
        if name not in names:
            yield document.problem(at, f'container "{name}" not found in the manifests', choices(name, names), key=True)
        elif name in engines:
            yield document.problem(
                at, "is an engine", "allowed: other containers; see the fault engine-restart", key=True
            )


def _check_workload(
    document: Document, at: tuple[str | int, ...], name: str, workloads: Sequence[Workload], kinds: Sequence[str]
) -> Iterator[Problem]:
    """Check that one of these kinds has the name."""
    names = sorted({workload.name for workload in workloads if workload.entry.kind in kinds})
    if name not in names:
        wanted = f"{', '.join(kinds[:-1])} or {kinds[-1]}"
        yield document.problem(at, f'{wanted} "{name}" not found in the manifests', choices(name, names))


def _check_pods(
    document: Document, at: tuple[str | int, ...], pods: PodTargets, workloads: Sequence[Workload]
) -> Iterator[Problem]:
    if pods.of:
        yield from _check_workload(document, (*at, "of"), pods.of, workloads, WITH_PODS)
    names = sorted({workload.name for workload in workloads})
    for index, pattern in enumerate(pods.names):
        if not any(workload.can_match(pattern) for workload in workloads):
            close = closest(pattern, names)
            hint = f'did you mean "{close}-*"? ' if close else ""
            listed = ", ".join(names) or "none"
            message = f'no workload creates pods named "{pattern}"'
            yield document.problem((*at, "names", index), message, f"{hint}there are: {listed}; * stands for the rest")
    if pods.selector and not any(pods.selector.items() <= workload.labels.items() for workload in workloads):
        yield document.problem((*at, "selector"), "no pod of the manifests has these labels", "allowed: labels of pods")


def _check_nodes(
    document: Document, at: tuple[str | int, ...], chosen: NodeTargets, names: Sequence[str]
) -> Iterator[Problem]:
    for index, pattern in enumerate(chosen.names):
        if not any(fnmatchcase(name, pattern) for name in names):
            message = f'node "{pattern}" not found'
            yield document.problem((*at, "names", index), message, choices(pattern, names[:20]))
    if chosen.count is not None and chosen.count > len(names):
        yield document.problem(
            (*at, "count"), f"is {chosen.count}", f"allowed: at most {len(names)}, the number of nodes"
        )


def check_times(file: ScenarioFile, document: Document) -> Iterator[Problem]:
    """Check that faults occur during the run and that the replicas they name exist."""
    allowed = f"allowed: before the run ends, {format_duration(file.duration)}"
    for index, fault in enumerate(file.faults):
        at = ("faults", index)
        time = getattr(fault, "at", None)
        if time is not None and time >= file.duration:
            yield document.problem((*at, "at"), f"is at {format_duration(time)}, after the end of the run", allowed)
        start = getattr(fault, "start", 0.0)
        if start >= file.duration:
            yield document.problem(
                (*at, "from"), f"starts at {format_duration(start)}, after the end of the run", allowed
            )
        if isinstance(fault, ControllerCrash | ClockSkew) and (fault.replica or 0) >= file.controller.replicas:
            last = file.controller.replicas - 1
            message = f"replica {fault.replica} does not exist"
            yield document.problem((*at, "replica"), message, f"allowed: 0 to {last} (controller.replicas)")
        if isinstance(fault, LeaderLoss) and file.controller.replicas < 2:
            message = "requires a second replica"
            yield document.problem((*at, "kind"), message, "allowed: with controller.replicas of at least 2")


def check_templates(file: ScenarioFile, document: Document, admission: Admission) -> Iterator[Problem]:
    """Check that the API server accepts the first and the last adapter of each template."""
    for index, template in enumerate(file.adapters):
        at: tuple[str | int, ...] = ("adapters", index)
        for number in dict.fromkeys((0, template.count - 1)):
            refusals = admission.refusals(template.manifest(number))
            for path, message in refusals:
                field = path[1:] if path[:1] == ("metadata",) else path
                yield document.problem((*at, *field), message)
            if refusals:
                break


def check_names(file: ScenarioFile, document: Document, entries: Sequence[Entry]) -> Iterator[Problem]:
    """Check that the names of adapters are unique, across templates and manifests."""
    existing = {(e.namespace, e.name): e.title for e in entries if e.kind == "ModelAdapter"}
    for index, template in enumerate(file.adapters):
        for number in range(template.count):
            metadata = template.manifest(number)["metadata"]
            key = (metadata["namespace"], metadata["name"])
            if key in existing:
                message = f"{key[0]}/{key[1]} already exists, from {existing[key]}"
                yield document.problem(("adapters", index, "name"), message, "allowed: a unique name")
                break
            existing[key] = f"adapters.{index}"


def check_policies(file: ScenarioFile, document: Document, entries: Sequence[Entry], folder: File) -> Iterator[Problem]:
    """Check the plug-in policies that adapters name; the operator reports other unknown policies."""
    for index, template in enumerate(file.adapters):
        for name in sorted(plug_ins([template.manifest(0)["spec"]])):
            if error := policy_error(name, folder):
                yield document.problem(("adapters", index, "spec", "schedulerName"), *error)
    for entry in entries:
        if entry.kind == "ModelAdapter":
            for name in sorted(plug_ins([entry.object.get("spec") or {}])):
                if error := policy_error(name, folder):
                    yield entry.problem(("spec", "schedulerName"), *error)
