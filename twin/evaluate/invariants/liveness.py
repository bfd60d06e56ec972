"""What must come true in the end: once faults have ended, every adapter that can run does, with the artifact that its
spec names, and then silence.

The bound is the contract's: the longest single wait, the aside time, the time that all loads need at `loads_per_pod`,
a pod's start, and 30 s. A run that ends sooner, or whose faults last to its end, is not judged.
"""

from collections import defaultdict

from controller.api.spec import artifact_of, lora_path
from controller.engine.sidecar_codes import CODES
from twin.evaluate.invariants.state import ClusterState
from twin.evaluate.invariants.tolerances import settled_at
from twin.evaluate.invariants.violations import Violation
from twin.trace.lines import (
    AdapterLine,
    ApiLine,
    ControllerLine,
    EngineLine,
    FaultLine,
    Line,
    PodLine,
    RequestLine,
    SecretLine,
)

_SAID_BY_ENGINE = frozenset(
    {"InvalidAdapter", "ArtifactNotFound", "Refused"}
    | {verdict.reason for verdict in CODES.values() if verdict.adapters_fault}
)
"""Reasons of a condition that says that the adapter is at fault, and that only another try can tell to be over."""

_OWN_FAULT = _SAID_BY_ENGINE | {
    "UnknownScheduler",
    "UnsupportedArtifact",
    "InvalidTimeout",
    "SecretUnavailable",
    "SecretNotFound",
    "SecretForbidden",
    "SecretInvalid",
    "SecretKeyMissing",
    "ServiceNameTaken",
}
"""All of them."""

_GRACE = 30.0


class Liveness:
    """Goes along with the record, and judges at its end."""

    def __init__(self, scene: ClusterState) -> None:
        self.checked = 0
        self.judged = False
        self._scene = scene
        self._quiet_since = 0.0
        self._longest = 0.0
        self._sent: dict[int, float] = {}
        self._tried: dict[str, float] = {}
        self._roots: dict[tuple[str, str], str] = {}
        """(pod, adapter's name) to what its engine was given."""
        self._named: dict[str, set[str]] = defaultdict(set)
        """Adapter to all that its artifactURL has been; one that was never changed is not looked at again."""
        self._generations: dict[str, tuple[str, int]] = {}
        self._acts: list[tuple[float, str, str, int]] = []

    def see(self, line: Line, index: int) -> None:
        match line:
            case FaultLine():
                self._quiet_since = max(self._quiet_since, settled_at(line))
            case PodLine() | SecretLine():
                self._quiet_since = max(self._quiet_since, line.t)
            case ControllerLine(event="started" | "crashed" | "leading"):
                self._quiet_since = max(self._quiet_since, line.t)
            case AdapterLine():
                self._adapter(line)
                self._named[line.object].add(line.artifact)
            case EngineLine(event="loaded"):
                self._roots[line.object, line.adapter] = line.root
            case RequestLine(event="sent"):
                self._sent[line.id] = line.t
                adapter = f"{line.object.split('/')[0]}/{line.adapter}"
                if line.verb == "load":
                    self._tried[adapter] = line.t
                self._acts.append((line.t, adapter, f"{line.verb} sent to {line.object}", index))
            case RequestLine(event="done"):
                self._longest = max(self._longest, line.t - self._sent.get(line.id, line.t))
            case ApiLine() if line.resource not in ("leases", "events"):
                what = f"{line.verb} of {line.resource}{'/' if line.subresource else ''}{line.subresource}"
                self._acts.append((line.t, line.object, what, index))

    def finish(self, end: float) -> list[Violation]:
        """Judges, if the run went on long enough. `end` in seconds."""
        since = self._quiet_since + self._bound()
        self.judged = not self._scene.excuses.lasting and end > since
        if not self.judged:
            return []
        found = []
        for adapter in sorted(self._scene.adapters.values(), key=lambda line: line.object):
            self.checked += 1
            fault = self._unserved(adapter)
            if fault:
                found.append(Violation(round(since, 6), "liveness", adapter.object, fault))
        for t, object_, what, index in self._acts:
            if t > since:
                self.checked += 1
                line = self._scene.adapters.get(object_)
                if line is None or not _says(line, _OWN_FAULT):
                    found.append(Violation(t, "liveness", object_, f"no silence: {what}", (index,)))
        return found

    def _bound(self) -> float:
        run = self._scene.run
        pods = max(len(self._scene.pods), 1)
        rounds = len(self._scene.adapters) / (pods * run.loads_per_pod) + 1
        wait = max([*run.retry_waits, self._longest])
        return wait + run.aside_for + rounds * min(self._longest, run.load_timeout) + run.pod_start + _GRACE

    def _has_room(self, pod: str, capacity: int, line: AdapterLine) -> bool:
        """Whether the policy would put the adapter there: one that packs leaves pods alone that are full."""
        if self._scene.run.policy != "bin-pack" or pod.split("/")[1] in line.instances:
            return True
        engine = self._scene.engines.get(pod)
        return engine is not None and len(engine.holds) < capacity

    def _adapter(self, line: AdapterLine) -> None:
        state = (line.uid, line.generation + (1 if line.deleting else 0))
        if self._generations.get(line.object) != state or line.event != "updated":
            self._generations[line.object] = state
            self._quiet_since = max(self._quiet_since, line.t)

    def _unserved(self, line: AdapterLine) -> str:
        """What is missing, if something is that the adapter could have."""
        if line.deleting:
            return "its deletion does not come to an end"
        if _says(line, _OWN_FAULT - _SAID_BY_ENGINE):
            return ""
        namespace = line.object.split("/")[0]
        usable = [
            name
            for name, pod in self._scene.pods.items()
            if name.startswith(f"{namespace}/")
            and pod.bad_since is None
            and all(pod.line.labels.get(key) == value for key, value in line.selector.items())
            and self._has_room(name, pod.line.capacity, line)
        ]
        if _says(line, _SAID_BY_ENGINE):
            late = usable and self._tried.get(line.object, 0.0) < self._quiet_since
            return f"it is {line.phase} and was not tried again: {line.message}" if late else ""
        due = len(usable) if line.wanted is None else min(line.wanted, len(usable))
        if due and line.phase != "Running":
            return f"it is {line.phase or 'untouched'}, though {len(usable)} pods could take it: {line.message}"
        if len(line.instances) < due:
            return f"{len(line.instances)} of {due} possible replicas serve"
        return self._outdated(line)

    def _outdated(self, line: AdapterLine) -> str:
        """Where it still serves what its artifactURL named before, if anywhere."""
        namespace, name = line.object.split("/")
        wanted = artifact_of(lora_path(line.artifact))
        for pod in line.instances if len(self._named[line.object]) > 1 else ():
            root = self._roots.get((f"{namespace}/{pod}", name))
            if root is not None and artifact_of(root) != wanted:
                return f"{pod} serves {root} as {name}, though its artifactURL is {line.artifact}"
        return ""


def _says(line: AdapterLine, reasons: frozenset[str]) -> bool:
    """Whether a condition says one of these about the adapter itself."""
    return any(status != "True" and reason in reasons for status, reason in line.conditions.values())
