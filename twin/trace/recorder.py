"""Writes the record during a run: every line once, in order.

It follows the store for changes that `kubectl get -w` would show; other parts of the simulation emit their own lines. A
change without visible difference makes no line. A secret in a line is redacted, and a `LeakLine` is recorded for the
invariant that checks it.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from controller.api import annotations
from controller.api.labels import ACTIVATOR_LABEL, MANAGED_BY, MANAGER, SERVICE_LABEL
from controller.api.spec import artifact_of, lora_path, sidecar_needed
from controller.api.types import MODEL_ADAPTERS, PODS
from controller.cache.pod_view import pod_view
from formats.artifact_urls import hide_url_secrets
from formats.timestamps import parse_timestamp
from twin.apiserver import Change, Object, Store
from twin.apiserver.meta.objects import EPOCH
from twin.trace.lines import (
    AdapterLine,
    Counts,
    EngineLine,
    EventLine,
    LeakLine,
    Line,
    LogLine,
    PodLine,
    RefusedLine,
    RequestLine,
    SecretLine,
    SliceLine,
)

WorkloadOf = Callable[[Object], str]
"""Returns the name of the Deployment that a pod object belongs to."""

_EXPLAINING = (
    "Initialized",
    "Scheduled",
    "Loaded",
    "Bound",
    "SlicesAdopted",
    "BaseModelServed",
    "Ready",
    "FullyReplicated",
)
"""Conditions in the order in which an adapter passes them."""
_MINUTE = 60.0
_EVENTS = {"ADDED": "created", "MODIFIED": "updated", "DELETED": "deleted"}
_ZONE = "topology.kubernetes.io/zone"
REDACTED = "[secret]"

TWIN = "twin"
"""Author of the lines about failures of the simulated cluster itself."""
_LONGEST_FAILURE = 1000  # characters

_DIGIT = re.compile(r"\d")


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Line)


def encode(lines: Iterable[Line]) -> bytes:
    """Return the record as `events.jsonl`: one JSON object per line, `kind` first."""
    return b"".join(_encoder.encode(line) + b"\n" for line in lines)


def decode(data: bytes) -> list[Line]:
    """Return the lines of an `events.jsonl`.

    Raises:
        msgspec.MsgspecError: a line is not valid.
    """
    return [_decoder.decode(line) for line in data.splitlines() if line]


_WITH_TEXTS = AdapterLine | EventLine | LogLine | PodLine | RefusedLine | SliceLine
"""Lines whose texts may contain a secret."""


class Recorder:
    """Collects lines. `now` returns seconds since the start of the run at `epoch`; `secrets` are redacted."""

    def __init__(self, now: Callable[[], float], secrets: Sequence[str], epoch: datetime = EPOCH) -> None:
        self.epoch = epoch
        self.lines: list[Line] = []
        self._clock = now
        self._secrets = tuple(secrets)
        self._subscribers: list[Callable[[Line], None]] = []
        self._counts: dict[str, int] = {}
        self._sources: list[tuple[Callable[[], Mapping[str, int]], dict[str, int]]] = []
        self._minute = 0
        self._last_lines: dict[tuple[str, str], Line] = {}
        self._zones: dict[str, str] = {}
        self._managed_slices: set[str] = set()
        """Slices that the operator manages or did before, by `namespace/name`."""
        self._sidecars: dict[str, tuple[Object, bool]] = {}
        """Adapter to its spec, and whether only the sidecar can fetch the artifact."""
        self._states: dict[str, tuple[Object, annotations.PersistedState]] = {}
        """Adapter to its annotations, and what they say."""
        self._pods: dict[str, str] = {}
        self._workload_of: WorkloadOf = lambda pod: ""  # noqa: ARG005

    def now(self) -> float:
        """Seconds since the start of the run, rounded to microseconds."""
        return round(self._clock(), 6)

    def emit(self, line: Line) -> None:
        """Record a line."""
        self._flush_minutes()
        line = self._redact(line)
        self.lines.append(line)
        for subscriber in self._subscribers:
            subscriber(line)

    def subscribe(self, subscriber: Callable[[Line], None]) -> None:
        """Call `subscriber` with each line, after it has been recorded."""
        self._subscribers.append(subscriber)

    def count(self, name: str, n: int = 1) -> None:
        """Count an event that is not recorded by itself."""
        self._flush_minutes()
        self._counts[name] = self._counts.get(name, 0) + n

    def count_from(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Add the increase of the counts that `read` returns; it is called at least once a minute."""
        self._sources.append((read, {}))

    def close(self) -> None:
        """Record the last counts."""
        start = self._minute * _MINUTE
        self._write_counts(self.now(), self.now() - start)

    def pod_at(self, ip: str) -> str:
        """Return the pod that has or had an address (addresses are never reused in a run), else the address."""
        return self._pods.get(ip, ip)

    def watch_store(self, store: Store, workload_of: WorkloadOf) -> None:
        """Record changes of ModelAdapters, pods, slices, Events and Secrets from now on."""
        self._workload_of = workload_of
        views: dict[str, Callable[[Change], Line | None]] = {
            "modeladapters.model.aibrix.ai": self._adapter,
            "pods": self._pod,
            "endpointslices.discovery.k8s.io": self._slice,
            "events.events.k8s.io": self._event,
            "nodes": self._node,
            "secrets": self._secret,
        }
        for resource, convert in views.items():
            store.subscribe(lambda change, convert=convert: self._on_change(change, convert), resource)  # type: ignore[misc]

    # -- counts per minute

    def _flush_minutes(self) -> None:
        now, end = self._clock(), (self._minute + 1) * _MINUTE
        if now >= end:
            self._write_counts(end, _MINUTE)
            self._minute = int(now // _MINUTE)

    def _write_counts(self, t: float, seconds: float) -> None:
        for read, before in self._sources:
            for name, total in read().items():
                if grown := total - before.get(name, 0):
                    self._counts[name] = self._counts.get(name, 0) + grown
                before[name] = total
        if self._counts:
            self.lines.append(Counts(t=t, seconds=round(seconds, 6), counts=dict(sorted(self._counts.items()))))
            self._counts = {}

    # -- objects

    def _on_change(self, change: Change, convert: Callable[[Change], Line | None]) -> None:
        line = convert(change)
        if line is None:
            return
        slot = (change.resource, _key(change.object))
        before = self._last_lines.get(slot)
        if change.type == "DELETED":
            self._last_lines.pop(slot, None)
        else:
            if before is not None and _has_same_content(before, line):
                return
            self._last_lines[slot] = line
        self.emit(line)

    def _adapter(self, change: Change) -> Line:
        obj = change.object
        meta, spec, status = obj["metadata"], obj["spec"], obj.get("status", {})
        phase = status.get("phase", "")
        selector = spec.get("podSelector", {})
        state = self._persisted_state(obj)
        conditions = status.get("conditions", [])
        return AdapterLine(
            t=self.now(),
            object=_key(obj),
            event=_EVENTS[change.type],  # type: ignore[arg-type]
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            wanted=0 if phase == "Idle" else spec.get("replicas"),
            artifact=spec.get("artifactURL", ""),
            selector=selector.get("matchLabels", {}),
            expressions=[
                (item["key"], item["operator"], item.get("values", [])) for item in selector.get("matchExpressions", [])
            ],
            phase=phase,
            conditions={item["type"]: (item["status"], item.get("reason", "")) for item in conditions},
            message=_message(conditions),
            messages={item["type"]: item["message"] for item in conditions if _DIGIT.search(item.get("message", ""))},
            scheduler=spec.get("schedulerName", "default"),
            sidecar=self._needs_sidecar(obj),
            instances=status.get("instances", []),
            candidates=status.get("candidates", 0),
            attempts={pod: attempt.retries for pod, attempt in sorted(state.attempts.items())},
            placements=sorted(state.placements),
            move=f"{state.move.source} > {state.move.target}" if state.move is not None else "",
            moving=state.move is not None and state.move.under_way,
            deleting="deletionTimestamp" in meta,
            finalizer=annotations.FINALIZER in meta.get("finalizers", []),
            on_demand=spec.get("activation", {}).get("mode") == "OnDemand",
        )

    def _persisted_state(self, adapter: Object) -> annotations.PersistedState:
        """Return what the operator has stored on the object; read once for each version of its annotations.

        Writes of the status leave the annotations the same object.
        """
        key, stored = _key(adapter), adapter["metadata"].get("annotations", {})
        known = self._states.get(key)
        if known is None or known[0] is not stored:
            known = self._states[key] = stored, annotations.read(stored)
        return known[1]

    def _needs_sidecar(self, adapter: Object) -> bool:
        """Return whether only the sidecar can fetch the artifact; decided once for each version of the spec."""
        key, spec = _key(adapter), adapter["spec"]
        known = self._sidecars.get(key)
        if known is None or known[0] is not spec:
            known = self._sidecars[key] = spec, bool(sidecar_needed(MODEL_ADAPTERS.decode(adapter).spec))
        return known[1]

    def _pod(self, change: Change) -> Line:
        obj = change.object
        meta, spec, status = obj["metadata"], obj.get("spec", {}), obj.get("status", {})
        for item in status.get("podIPs", ()):
            self._pods[item["ip"]] = _key(obj)
        ready: Object = next((item for item in status.get("conditions", []) if item["type"] == "Ready"), {})
        view = pod_view(PODS.decode(obj), "")
        statuses = status.get("containerStatuses", [])
        engine: Object = next((item for item in statuses if item["name"] == view.container), {})
        return PodLine(
            t=self.now(),
            object=_key(obj),
            event=_EVENTS[change.type],  # type: ignore[arg-type]
            uid=meta["uid"],
            workload=self._workload_of(obj),
            node=spec.get("nodeName", ""),
            zone=self._zones.get(spec.get("nodeName", ""), ""),
            ip=status.get("podIP", ""),
            ips=list(view.ips) if len(view.ips) > 1 else [],
            phase=status.get("phase", ""),
            ready=ready.get("status") == "True",
            ready_since=self._seconds(ready.get("lastTransitionTime")),
            terminating="deletionTimestamp" in meta,
            engine=engine.get("containerID", ""),
            restarts=engine.get("restartCount", 0),
            labels=meta.get("labels", {}),
            capacity=view.max_cpu_loras,
            port=view.port,
            sidecar=view.sidecar,
            mislabelled=bool(view.problem),
        )

    def _seconds(self, timestamp: str | None) -> float | None:
        """Return a wall time as seconds since the start of the run."""
        return None if not timestamp else (parse_timestamp(timestamp) - self.epoch).total_seconds()

    def _slice(self, change: Change) -> Line | None:
        obj = change.object
        labels = obj["metadata"].get("labels", {})
        if labels.get(MANAGED_BY) == MANAGER:
            self._managed_slices.add(_key(obj))
        if _key(obj) not in self._managed_slices:
            return None
        activator = ACTIVATOR_LABEL in labels
        endpoints = [] if activator else obj.get("endpoints") or []
        ready = [item for item in endpoints if item.get("conditions", {}).get("ready", True)]
        return SliceLine(
            t=self.now(),
            object=_key(obj),
            event=_EVENTS[change.type],  # type: ignore[arg-type]
            adapter=f"{obj['metadata']['namespace']}/{labels.get(SERVICE_LABEL, '')}",
            pods=[item.get("targetRef", {}).get("name", "") for item in ready],
            addresses=[item["addresses"][0] for item in ready],
            port=next((item.get("port") or 0 for item in obj.get("ports") or ()), 0),
            activator=activator,
        )

    def _event(self, change: Change) -> Line | None:
        obj = change.object
        if change.type == "DELETED":
            return None
        regarding = obj.get("regarding", {})
        return EventLine(
            t=self.now(),
            object=f"{regarding.get('namespace', '')}/{regarding.get('name', '')}",
            type=obj.get("type", ""),
            reason=obj.get("reason", ""),
            note=obj.get("note", ""),
            count=obj.get("series", {}).get("count", 1),
        )

    def _secret(self, change: Change) -> Line:
        meta = change.object["metadata"]
        event = _EVENTS[change.type]
        return SecretLine(t=self.now(), object=_key(change.object), event=event, version=meta["resourceVersion"])  # type: ignore[arg-type]

    def _node(self, change: Change) -> Line | None:
        """Remember the node's zone, which is part of the lines of pods."""
        self._zones[change.object["metadata"]["name"]] = change.object["metadata"].get("labels", {}).get(_ZONE, "")
        return None

    # -- failures of the simulated cluster

    def record_failure(self, part: str, key: str, error: Exception) -> None:
        """Record an exception in a part of the simulated cluster while it processed an object."""
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        line = f"{where.tb_frame.f_code.co_name}:{where.tb_lineno}" if where is not None else ""
        text = f"{part}: {key or 'unknown object'}: {type(error).__name__}: {error} ({line})"
        self.emit(LogLine(t=self.now(), by=TWIN, level="error", text=text[:_LONGEST_FAILURE]))

    # -- secrets

    def _redact(self, line: Line) -> Line:
        """Return the line with secrets redacted."""
        line = _without_url_secrets(line)
        if not self._secrets or not isinstance(
            line, AdapterLine | EventLine | LogLine | RefusedLine | SliceLine | PodLine
        ):
            return line
        text = _encoder.encode(line).decode()
        if not any(secret in text for secret in self._secrets):
            return line
        self.lines.append(LeakLine(t=line.t, object=getattr(line, "object", ""), where=type(line).__name__))
        for secret in self._secrets:
            text = text.replace(json.dumps(secret)[1:-1], REDACTED)
        cleaned: Line = _decoder.decode(text)
        return cleaned


def _without_url_secrets(line: Line) -> Line:
    """Return the line with users and signatures of its URL hidden; a ModelAdapter created by hand may have them."""
    match line:
        case AdapterLine(artifact=url) if (hidden := hide_url_secrets(url)) != url:
            return msgspec.structs.replace(line, artifact=hidden, digest=artifact_of(lora_path(url)))
        case EngineLine(root=url) if (hidden := hide_url_secrets(url)) != url:
            return msgspec.structs.replace(line, root=hidden, digest=artifact_of(url))
        case RequestLine(root=url) if (hidden := hide_url_secrets(url)) != url:
            return msgspec.structs.replace(line, root=hidden)
    return line


def _has_same_content(before: Line, after: Line) -> bool:
    """Return True if two lines differ at most in time and event."""
    return all(
        getattr(before, name) == getattr(after, name) for name in after.__struct_fields__ if name not in ("t", "event")
    )


def _key(obj: Mapping[str, Any]) -> str:
    meta = obj["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])


def _message(conditions: Sequence[Mapping[str, Any]]) -> str:
    """Return the message of the condition that explains the phase: the first that is not True, else `Ready`."""
    of_type = {item["type"]: item for item in conditions}
    explained = [of_type[name] for name in _EXPLAINING if name in of_type]
    explaining = next((item for item in explained if item["status"] != "True"), of_type.get("Ready", {}))
    return str(explaining.get("message", ""))
