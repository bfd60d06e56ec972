"""Loading of scenario files: read, override, redact, validate, check. Start reading at `load`."""

from collections.abc import Mapping, Sequence
from pathlib import Path as File
from typing import Any

from pydantic import ValidationError

from twin.scenario.cross_checks import (
    check_containers,
    check_fields,
    check_names,
    check_objects,
    check_policies,
    check_references,
    check_templates,
    check_times,
    check_workloads,
    sort_kinds,
)
from twin.scenario.edits import check_edits
from twin.scenario.error_messages import explain
from twin.scenario.errors import Note, Problem, ScenarioErrors
from twin.scenario.manifests.admission import Admission
from twin.scenario.manifests.autoscaler_notes import AUTOSCALER, notes_on_autoscalers
from twin.scenario.manifests.owners import notes_on_owners
from twin.scenario.manifests.reader import CLUSTER_SCOPED, Entry, Manifests, read_manifests
from twin.scenario.manifests.secrets import SecretRedactor, hide_in_urls, secrets_of
from twin.scenario.manifests.sources import source_problem
from twin.scenario.manifests.stand_ins import note_on_stand_ins, stand_ins
from twin.scenario.manifests.webhooks import check_webhooks, notes_on_webhooks
from twin.scenario.manifests.workloads import nodes_for, workloads_of
from twin.scenario.model import Scenario, ScenarioFile
from twin.scenario.notes import note_on_trace, notes_on, notes_on_unread_fields
from twin.scenario.overrides import apply_overrides, set_path
from twin.scenario.sections.cluster import Cluster, Engine, Node
from twin.scenario.yaml.positions import Document, documents


def load(path: str | File, *, overrides: Mapping[str, str] | None = None, seed: int | None = None) -> Scenario:
    """Load a scenario file, validate it and fill in all defaults.

    `overrides` are paths and YAML values as of `--set`; `seed` replaces the seed in the file.

    Raises:
        ScenarioErrors: with every error that was found.
    """
    file = File(path)
    document = _document(file, str(path))
    problems = apply_overrides(document, overrides or {})
    if seed is not None:
        document.value = {**document.value, "seed": seed}
        document.overridden.append(("seed",))
    manifests = read_manifests(document, file.parent)
    secrets = _redact_secrets(document, manifests)
    model, faults = _validated(document, file.parent)
    problems += [*manifests.problems, *faults]
    scenario, more = _assembled(model, document, file.parent, manifests, secrets, complete=not problems)
    if model is not None:
        more += _check_vary(model, document, file.parent)
    problems += more
    if problems or scenario is None:
        raise ScenarioErrors(_redacted(problems, secrets))
    return scenario


def load_all(files: Sequence[File], overrides: Mapping[str, str], seed: int | None) -> tuple[list[Scenario], list[str]]:
    """Return the scenarios that are valid, and one line for each error in the others."""
    loaded: dict[tuple[str, int], tuple[File, Scenario]] = {}
    problems = list[str]()
    for file in files:
        try:
            scenario = load(file, overrides=overrides, seed=seed)
        except ScenarioErrors as errors:
            problems += map(str, errors.problems)
            continue
        key = (scenario.name, scenario.seed)
        if key in loaded:
            problems.append(
                f"{file}: has the same name and seed as {loaded[key][0]}, so would replace its run; rename one"
            )
        loaded.setdefault(key, (file, scenario))
    return [scenario for _, scenario in loaded.values()], problems


def _document(file: File, name: str) -> Document:
    parsed = documents(file, name)
    if not parsed:
        raise ScenarioErrors([Problem(name, 0, 0, "", "is empty", "allowed: a scenario: name, duration, manifests, …")])
    if len(parsed) > 1:
        line, column = parsed[1].where(())
        raise ScenarioErrors(
            [Problem(name, line, column, "", "contains a second YAML document", "allowed: one scenario per file")]
        )
    value = parsed[0].value
    if not isinstance(value, dict):
        raise ScenarioErrors(
            [parsed[0].problem((), "is not a mapping", "allowed: a scenario: name, duration, manifests, …")]
        )
    if problem := source_problem(value, parsed[0]):
        raise ScenarioErrors([problem])
    if "apiVersion" in value and "kind" in value:
        message = "is a Kubernetes manifest, not a scenario"
        raise ScenarioErrors([parsed[0].problem((), message, "list it under `manifests:` of a scenario")])
    return parsed[0]


def _redact_secrets(document: Document, manifests: Manifests) -> SecretRedactor:
    """Replace every secret in the manifests and the scenario by a pseudonym."""
    secrets = SecretRedactor()
    templates = document.value.get("adapters")
    edited = [{"kind": kind, **edit["patch"]} for kind, edit in _patches(document)]
    secrets.register(
        [
            secret
            for obj in [*(entry.object for entry in manifests.entries), {"adapters": templates}, *edited]
            for secret in secrets_of(obj)
        ]
    )
    manifests.entries = [Entry(hide_in_urls(secrets.manifest(e.object)), e.document, e.path) for e in manifests.entries]
    document.value = {
        key: value if key == "objects" else hide_in_urls(secrets.replace(value))
        for key, value in document.value.items()
    }
    for kind, edit in _patches(document):
        edit["patch"] = {k: v for k, v in secrets.manifest({**edit["patch"], "kind": kind}).items() if k != "kind"}
    return secrets


def _patches(document: Document) -> list[tuple[str, dict[str, Any]]]:
    """Return the edits with a patch, each with the kind that it patches."""
    edits = document.value.get("edits")
    mappings = [edit for edit in edits if isinstance(edit, dict)] if isinstance(edits, list) else []
    return [(str(edit.get("of", "")).split("/")[0], edit) for edit in mappings if isinstance(edit.get("patch"), dict)]


def _validated(document: Document, folder: File) -> tuple[ScenarioFile | None, list[Problem]]:
    try:
        return ScenarioFile.model_validate(document.value, context={"folder": folder}), []
    except ValidationError as error:
        return None, explain(error, document, ScenarioFile)


def _assembled(
    file: ScenarioFile | None,
    document: Document,
    folder: File,
    manifests: Manifests,
    secrets: SecretRedactor,
    *,
    complete: bool,
) -> tuple[Scenario | None, list[Problem]]:
    """Return the scenario and the errors between its parts. Without a valid `file`, only the manifests are checked."""
    entries, problems, notes = sort_kinds(manifests.entries)
    workloads = workloads_of(entries)
    templates = file.adapters if file else ()
    spaces = [e.name if e.kind in CLUSTER_SCOPED else e.namespace for e in entries]
    admission = Admission([*spaces, *(template.namespace for template in templates)], (e.kind for e in entries))
    accepted, refused = check_objects(entries, admission)
    misspelled, unknown = check_fields(entries, admission)
    problems += [*refused, *misspelled, *check_webhooks(manifests.entries, admission)]
    if file is None:
        return None, problems
    nodes = nodes_for(file.cluster, workloads)
    problems += check_workloads(workloads_of(accepted), file.cluster, nodes)
    problems += check_references(file, document, workloads, nodes) if not manifests.problems else ()
    problems += check_containers(file, document, workloads) if not (manifests.problems or refused) else ()
    problems += check_names(file, document, entries)
    problems += _misfits(file, document, folder, accepted, admission)
    runs_nothing = all(entry.kind == AUTOSCALER for entry in entries) and not templates
    if runs_nothing and not manifests.problems and not problems:
        problems += _nothing_to_run(document, [*manifests.notes, *notes, *notes_on_autoscalers(entries)])
    if problems or not complete:
        return None, problems
    first = [Entry(t.manifest(0), document, ("adapters", index)) for index, t in enumerate(templates)]
    absent = file.cluster.missing_secrets == "absent"
    made = [] if absent else stand_ins([*entries, *first], workloads, secrets)
    entries = [*made, *entries]
    adapters = [entry.object for entry in [*entries, *first] if entry.kind == "ModelAdapter"]
    to_change = [*unknown, *notes_on(entries, workloads, adapters, nodes), *notes_on_webhooks(manifests.entries)]
    to_change += [*notes_on_owners([*manifests.entries, *manifests.controlled]), *note_on_trace(file, entries)]
    to_know = [*note_on_stand_ins(made), *manifests.notes, *notes, *notes_on_unread_fields(workloads)]
    return _scenario(file, entries, nodes, [*to_change, *to_know], secrets), []


def _nothing_to_run(document: Document, ignored: Sequence[Note]) -> list[Problem]:
    """Return the error of a scenario without objects, and a line for each object that is ignored."""
    message = "nothing to run: no manifests and no adapters were found"
    if ignored:
        message = "nothing to run: every object of the manifests is ignored"
    allowed = "allowed: Kubernetes manifests under `manifests:`"
    places = [(note, *note.place.rpartition(":")[::2]) for note in ignored if note.place]
    lines = [Problem(file, int(line), 1, "", note.text) for note, file, line in places if line.isdecimal()]
    return [document.problem((), message, allowed), *lines]


def _scenario(
    file: ScenarioFile,
    entries: Sequence[Entry],
    nodes: tuple[Node, ...],
    notes: Sequence[Note],
    secrets: SecretRedactor,
) -> Scenario:
    """Combine a valid file and its manifests into a scenario."""
    return Scenario(
        name=file.name,
        description=file.description,
        findings=file.findings,
        duration=file.duration,
        seed=file.seed,
        objects=tuple(entry.object for entry in entries),
        nodes=nodes,
        cluster=_completed(file.cluster).model_copy(update={"nodes": nodes}),
        controller=file.controller,
        adapters=file.adapters,
        edits=file.edits,
        traffic=file.traffic,
        faults=file.faults,
        expect=file.expect,
        vary=file.vary,
        notes=tuple(dict.fromkeys([*file.notes, *(note.text for note in notes)])),
        places={note.text: note.place for note in notes if note.place},
        secrets=secrets.all,
    )


def _misfits(
    file: ScenarioFile, document: Document, folder: File, accepted: list[Entry], admission: Admission
) -> list[Problem]:
    """Return the errors in the scenario itself, given the valid manifests."""
    return [
        *check_times(file, document),
        *check_templates(file, document, admission),
        *check_policies(file, document, accepted, folder),
        *check_edits(file.edits, file.duration, document, accepted, file.adapters, admission),
    ]


def _completed(cluster: Cluster) -> Cluster:
    """Fill in the fields that engines do not set from the entry `default`."""
    default = cluster.engines.get("default", Engine())
    engines = {
        name: default.model_copy(update={key: getattr(engine, key) for key in engine.model_fields_set})
        for name, engine in cluster.engines.items()
    }
    return cluster.model_copy(update={"engines": engines})


def _check_vary(file: ScenarioFile, document: Document, folder: File) -> list[Problem]:
    """Validate each value of each varied path."""
    problems: list[Problem] = []
    plain = {key: value for key, value in document.value.items() if key != "vary"}
    for path, values in file.vary.items():
        for index, value in enumerate(values):
            placed = set_path(plain, path, value)
            if isinstance(placed, Problem):
                problems.append(document.problem(("vary", path), placed.message, placed.allowed, key=True))
                break
            _, errors = _validated(Document(document.file, placed[0]), folder)
            problems += [document.problem(("vary", path, index), error.message, error.allowed) for error in errors]
    return problems


def _redacted(problems: list[Problem], secrets: SecretRedactor) -> list[Problem]:
    """Return the errors with secrets replaced in their texts."""

    def clean(problem: Problem) -> Problem:
        texts = (secrets.redact(text) for text in (problem.path, problem.message, problem.allowed))
        return Problem(problem.file, problem.line, problem.column, *texts)

    return [clean(problem) for problem in problems]
