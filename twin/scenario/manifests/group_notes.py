"""Notes on groups of pods: fields of LeaderWorkerSets, StormServices and RayServices that are not simulated."""

from collections.abc import Iterator

from twin.scenario.errors import Note, Path
from twin.scenario.manifests.reader import Entry

_SERVE = "Ray Serve's applications are not simulated; Ray Serve loads adapters by itself, without the operator"
_SUBGROUPS = "subgroups are not simulated"
_PLACEMENT = "exclusive placement is not simulated: pods of a group may run anywhere"
_PLACEMENT_ANNOTATIONS = (
    "leaderworkerset.sigs.k8s.io/exclusive-topology",
    "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology",
)


def notes_on_groups(entry: Entry) -> Iterator[Note]:
    """Yield what the simulated controllers of groups leave out, with its place."""
    spec = entry.object.get("spec") or {}
    match entry.kind:
        case "LeaderWorkerSet":
            for name in _PLACEMENT_ANNOTATIONS:
                if name in (entry.object["metadata"].get("annotations") or {}):
                    yield entry.note(f"{entry.title}: {_PLACEMENT}", ("metadata", "annotations", name))
            if (spec.get("leaderWorkerTemplate") or {}).get("subGroupPolicy"):
                at: Path = ("spec", "leaderWorkerTemplate", "subGroupPolicy")
                yield entry.note(f"{entry.title}: {_SUBGROUPS}", at)
        case "RoleSet":
            yield from _on_roles(entry, spec, ("spec",))
        case "StormService":
            yield from _on_roles(entry, (spec.get("template") or {}).get("spec") or {}, ("spec", "template", "spec"))
        case "RayService":
            yield entry.note(f"{entry.title}: {_SERVE}", ("spec", "serveConfigV2"))


def _on_roles(entry: Entry, spec: dict[str, object], at: Path) -> Iterator[Note]:
    if spec.get("schedulingStrategy"):
        yield entry.note(f"{entry.title}: gang scheduling is not simulated", (*at, "schedulingStrategy"))
    if spec.get("topologyPolicy"):
        yield entry.note(f"{entry.title}: placement by topology is not simulated", (*at, "topologyPolicy"))
