"""Liveness: once all faults have ended, every adapter that can run is Running with the artifact in its spec, and the
operator makes no further changes.

The bound is the longest single wait, the pod cooldown, the time of all loads at `max_requests_per_pod`, a pod's start,
and 30 s. A run that ends earlier, or whose faults last until its end, is not checked.
"""

from collections import defaultdict

from controller.api.spec import artifact_of, lora_path
from twin.evaluate.invariants.deadlines import Violation
from twin.evaluate.invariants.own_faults import OWN_FAULT, SAID_BY_ENGINE, says
from twin.evaluate.invariants.placement import ready_takers
from twin.evaluate.invariants.state import ClusterState
from twin.evaluate.invariants.tolerances import settled_at
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

_GRACE = 30.0
_STATUS = "patch of modeladapters/status"


class Liveness:
    """Check of liveness at the end of the trace."""

    def __init__(self, state: ClusterState) -> None:
        self.checked = 0
        self.judged = False
        self._state = state
        self._quiet_since = 0.0
        self._longest = 0.0
        self._sent: dict[int, float] = {}
        self._tried: dict[str, float] = {}
        self._roots: dict[tuple[str, str], str] = {}
        """(pod, adapter name) to the digest of what the engine has loaded."""
        self._named: dict[str, set[str]] = defaultdict(set)
        """Adapter to all values of its artifactURL; only adapters with several are checked for outdated artifacts."""
        self._generations: dict[str, tuple[str, int]] = {}
        self._loading: dict[str, float] = {}
        """Adapters on demand that have been asked for, to the time of it; only late ones are judged."""
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
                self._roots[line.object, line.adapter] = line.digest or artifact_of(line.root)
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
        """Return the violations, if the run was long enough. `end`: seconds."""
        since = self._quiet_since + self._bound()
        self.judged = not self._state.tolerances.lasting and end > since
        self._loading = {key: at for key, at in self._loading.items() if end - at <= self._bound()}
        if not self.judged:
            return []
        found = []
        for adapter in sorted(self._state.adapters.values(), key=lambda line: line.object):
            self.checked += 1
            fault = self._unserved(adapter)
            if fault:
                found.append(Violation(round(since, 6), "liveness", adapter.object, fault))
        for t, object_, what, index in self._acts:
            if t > since:
                self.checked += 1
                line = self._state.adapters.get(object_)
                if self._state.run.rebalance and _adapter_of(object_, what) in self._state.adapters:
                    continue  # a replica may be moved at any time
                owner = self._state.adapters.get(_adapter_of(object_, what))
                if owner is not None and owner.on_demand:
                    continue  # users' requests load it, and their absence unloads it
                if line is None or not (says(line, OWN_FAULT) or (what == _STATUS and _follows_demand(line))):
                    found.append(Violation(t, "liveness", object_, f"still active: {what}", (index,)))
        return found

    def _bound(self) -> float:
        run = self._state.run
        pods = max(len(self._state.pods), 1)
        rounds = len(self._state.adapters) / (pods * run.max_requests_per_pod) + 1
        wait = max([*run.retry_waits, self._longest])
        return wait + run.pod_cooldown + rounds * min(self._longest, run.load_timeout) + run.pod_start + _GRACE

    def _adapter(self, line: AdapterLine) -> None:
        if line.on_demand and line.phase == "Idle":
            self._loading.pop(line.object, None)
        elif line.on_demand:
            self._loading.setdefault(line.object, line.t)
        state = (line.uid, line.generation + (1 if line.deleting else 0))
        if self._generations.get(line.object) != state or line.event != "updated":
            self._generations[line.object] = state
            self._quiet_since = max(self._quiet_since, line.t)

    def _unserved(self, line: AdapterLine) -> str:
        """Return what the adapter lacks although it could have it, or an empty text."""
        if line.deleting:
            return "its deletion does not finish"
        if says(line, OWN_FAULT - SAID_BY_ENGINE) or line.object in self._loading:
            return ""
        usable = ready_takers(self._state, line)
        if says(line, SAID_BY_ENGINE):
            late = usable and self._tried.get(line.object, 0.0) < self._quiet_since
            return f"it is {line.phase} and was not tried again: {line.message}" if late else ""
        due = len(usable) if line.wanted is None else min(line.wanted, len(usable))
        if due and line.phase != "Running":
            return f"it is {line.phase or 'untouched'}, though {len(usable)} pods could take it: {line.message}"
        if len(line.instances) < due:
            return f"{len(line.instances)} of {due} possible replicas are serving"
        return self._outdated(line) or self._incomplete(line)

    def _incomplete(self, line: AdapterLine) -> str:
        """Return that an adapter with all of its replicas does not say so, or an empty text."""
        progress = line.conditions.get("Progressing")
        if line.wanted and len(line.instances) == line.wanted and progress not in (None, ("False", "Complete")):
            return f"{line.wanted} of {line.wanted} replicas are serving, and Progressing is {' '.join(progress)}"
        return ""

    def _outdated(self, line: AdapterLine) -> str:
        """Return which pod still serves the previous artifact, or an empty text."""
        namespace, name = line.object.split("/")
        wanted = line.digest or artifact_of(lora_path(line.artifact))
        for pod in line.instances if len(self._named[line.object]) > 1 else ():
            root = self._roots.get((f"{namespace}/{pod}", name))
            if root is not None and root != wanted:
                return f"{pod} serves the artifact {root} as {name}, though its artifactURL is {line.artifact}"
        return ""


def _follows_demand(line: AdapterLine) -> bool:
    """Return whether users' requests, and not only the cluster, change the adapter's conditions."""
    return line.conditions.get("ScalingActive", ("", ""))[0] == "True"


def _adapter_of(name: str, what: str) -> str:
    """Return the adapter that an act concerns; slices are named after it, with a suffix."""
    return name.rpartition("-")[0] if what.endswith("endpointslices") else name
