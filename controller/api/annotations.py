"""State that a restarted controller needs, stored as annotations on the ModelAdapter. Their keys are defined here only.

- `scheduled-pods`: the selected pods, comma-separated;
- `retry-count.POD` and `last-retry-time.POD`: the last attempt announced on that pod;
- `placements`: JSON, where the adapter may be loaded. The operator changes no other engine.

`read` parses them into a `PersistedState`; `changes` returns the merge patch from one `PersistedState` to another. A
value that cannot be parsed (edited by hand) counts as absent and is listed in `unreadable`, so that an event can report
it; the next change removes it. `last-scale-time` is the time at which the operator itself set `spec.replicas`, and
`move` (JSON) the last replica that rebalancing has moved, or is moving, to another pod. `written-by` (JSON) is the
operator that wrote the annotations last, and when. `activation` (JSON) says of an
adapter on demand whether it is to be loaded, and since when.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from controller.api.labels import DOMAIN
from formats.timestamps import format_micro_time, parse_timestamp

FINALIZER = f"{DOMAIN}/finalizer"
SCHEDULED_PODS = f"{DOMAIN}/scheduled-pods"
PLACEMENTS = f"{DOMAIN}/placements"
RETRY_COUNT = f"{DOMAIN}/retry-count."
LAST_RETRY_TIME = f"{DOMAIN}/last-retry-time."
LAST_SCALE_TIME = f"{DOMAIN}/last-scale-time"
MOVE = f"{DOMAIN}/move"
ACTIVATION = f"{DOMAIN}/activation"
WRITER = f"{DOMAIN}/written-by"

_LONGEST_POD = 63 - len("last-retry-time.")
"""The name part of an annotation key has at most 63 characters (Kubernetes, "Labels and Selectors", syntax)."""

MOST_PODS = 500
"""Pods that fit into one object: its annotations have at most 256 KiB together (Kubernetes, "Annotations")."""


class Placement(msgspec.Struct, frozen=True):
    """Where an adapter may be loaded: one incarnation of one pod's engine, and the artifact."""

    uid: str
    engine: str
    """Container id."""
    artifact: str
    """Short hash, see `spec.artifact_of`."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last attempt announced on a pod."""

    retries: int
    """0 for the first attempt."""
    announced: float
    """Seconds since 1970."""


class MoveRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last move of a replica to another pod. Times are in seconds since 1970."""

    source: str
    target: str
    started: float
    finished: float = 0.0
    """Time at which the source was withdrawn, or the move was cancelled; 0 if it is under way."""
    cancelled: str = ""
    """Why it was cancelled; empty if it was not."""

    @property
    def under_way(self) -> bool:
        """True if it has neither ended nor been cancelled."""
        return not self.finished


@dataclass(frozen=True, slots=True)
class ActivationRecord:
    """The last decision about an adapter on demand."""

    active: bool
    """True if it is to be loaded, since a request has come; False if it was idle."""
    since: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Writer:
    """The operator that wrote the annotations."""

    identity: str
    """Name of the replica."""
    namespace: str
    """Namespace of its Lease."""
    timestamp: float
    """Time of the write, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class PersistedState:
    """Everything that the operator stores on the object for its own use."""

    selected: tuple[str, ...] = ()
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    """By `pod_key`."""
    placements: Mapping[str, Placement] = field(default_factory=dict)
    """By pod name."""
    move: MoveRecord | None = None
    """The last move, or the one that is under way."""
    activation: ActivationRecord | None = None
    """None for an adapter that is not on demand, and before the first decision."""
    unreadable: tuple[str, ...] = ()
    """Keys whose values could not be parsed and count as absent."""

    def attempt(self, pod: str) -> Attempt | None:
        """Return the last attempt announced on the pod."""
        return self.attempts.get(pod_key(pod))


NOTHING = PersistedState()


def pod_key(pod: str) -> str:
    """Return the pod's name, shortened with a hash if it is too long for an annotation key."""
    if len(pod) <= _LONGEST_POD:
        return pod
    return f"{pod[: _LONGEST_POD - 9]}-{sha256(pod.encode()).hexdigest()[:8]}"


def read(annotations: Mapping[str, str]) -> PersistedState:
    """Parse the annotations of an object."""
    counts = {key[len(RETRY_COUNT) :]: value for key, value in annotations.items() if key.startswith(RETRY_COUNT)}
    attempts, unreadable = {}, []
    for key, count in counts.items():
        attempt = _attempt(count, annotations.get(LAST_RETRY_TIME + key, ""))
        if attempt is not None:
            attempts[key] = attempt
        else:
            unreadable += [name + key for name in (RETRY_COUNT, LAST_RETRY_TIME) if name + key in annotations]
    placements = _placements(annotations.get(PLACEMENTS, ""))
    unreadable += [PLACEMENTS] if placements is None else []
    move = _move(annotations.get(MOVE, ""))
    unreadable += [MOVE] if move is None and annotations.get(MOVE) else []
    activation = _activation(annotations.get(ACTIVATION, ""))
    unreadable += [ACTIVATION] if activation is None and annotations.get(ACTIVATION) else []
    return PersistedState(
        selected=tuple(filter(None, annotations.get(SCHEDULED_PODS, "").split(","))),
        attempts=attempts,
        placements=placements or {},
        move=move,
        activation=activation,
        unreadable=tuple(unreadable),
    )


def changes(before: PersistedState, after: PersistedState) -> dict[str, str | None]:
    """Return the merge patch for `metadata.annotations` that turns `before` into `after`."""
    patch: dict[str, str | None] = dict.fromkeys(key for key in before.unreadable if key not in after.unreadable)
    if before.selected != after.selected:
        patch[SCHEDULED_PODS] = ",".join(after.selected) or None
    if before.placements != after.placements or PLACEMENTS in before.unreadable:
        ordered = dict(sorted(after.placements.items()))
        patch[PLACEMENTS] = msgspec.json.encode(ordered).decode() if ordered else None
    if before.move != after.move:
        patch[MOVE] = msgspec.json.encode(_readable(after.move)).decode() if after.move is not None else None
    if before.activation != after.activation:
        patch[ACTIVATION] = None if after.activation is None else _activation_text(after.activation)
    for key in sorted({*before.attempts, *after.attempts}):
        attempt = after.attempts.get(key)
        if attempt == before.attempts.get(key):
            continue
        patch[RETRY_COUNT + key] = None if attempt is None else str(attempt.retries)
        patch[LAST_RETRY_TIME + key] = (
            None if attempt is None else format_micro_time(datetime.fromtimestamp(attempt.announced, UTC))
        )
    return patch


def scaled_at(annotations: Mapping[str, str]) -> float:
    """Return the time of the operator's last change of `spec.replicas`, in seconds since 1970; 0 if unknown."""
    try:
        return parse_timestamp(annotations[LAST_SCALE_TIME]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return 0.0


def set_replicas(replicas: int, at: float) -> dict[str, Any]:
    """Return the merge patch that sets `spec.replicas` at a time in seconds since 1970."""
    timestamp = format_micro_time(datetime.fromtimestamp(at, UTC))
    return {"metadata": {"annotations": {LAST_SCALE_TIME: timestamp}}, "spec": {"replicas": replicas}}


class _WriterText(msgspec.Struct, frozen=True):
    """A writer as it is stored."""

    identity: str
    namespace: str
    time: str


def write_writer(writer: Writer) -> str:
    """Return the text that is stored."""
    time = format_micro_time(datetime.fromtimestamp(writer.timestamp, UTC))
    return msgspec.json.encode(_WriterText(writer.identity, writer.namespace, time)).decode()


def read_writer(text: str) -> Writer | None:
    """Parse a stored writer; None without a text that can be parsed."""
    try:
        stored = msgspec.json.decode(text, type=_WriterText)
        return Writer(stored.identity, stored.namespace, parse_timestamp(stored.time).timestamp())
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return None


def _attempt(count: str, announced: str) -> Attempt | None:
    try:
        return Attempt(retries=max(int(count), 0), announced=parse_timestamp(announced).timestamp())
    except (ValueError, OverflowError):
        return None


class _ActivationText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision as it is stored, with a time that people can read."""

    active: bool
    since: str


def _activation_text(record: ActivationRecord) -> str:
    since = format_micro_time(datetime.fromtimestamp(record.since, UTC))
    return msgspec.json.encode(_ActivationText(record.active, since)).decode()


def _activation(text: str) -> ActivationRecord | None:
    """Return the stored decision; None without one, or if it cannot be parsed."""
    try:
        stored = msgspec.json.decode(text, type=_ActivationText)
        return ActivationRecord(stored.active, parse_timestamp(stored.since).timestamp())
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return None


class _MoveText(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A move as it is stored, with times that people can read."""

    source: str
    target: str
    started: str
    finished: str = ""
    cancelled: str = ""


def _readable(move: MoveRecord) -> _MoveText:
    started, finished = (
        format_micro_time(datetime.fromtimestamp(time, UTC)) if time else "" for time in (move.started, move.finished)
    )
    return _MoveText(move.source, move.target, started, finished, move.cancelled)


def _move(text: str) -> MoveRecord | None:
    """Return None if there is no text, or it cannot be parsed."""
    if not text:
        return None
    try:
        stored = msgspec.json.decode(text, type=_MoveText)
        started = parse_timestamp(stored.started).timestamp()
        finished = parse_timestamp(stored.finished).timestamp() if stored.finished else 0.0
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return None
    return MoveRecord(stored.source, stored.target, started, finished, stored.cancelled)


def _placements(text: str) -> dict[str, Placement] | None:
    """Return None if the text cannot be parsed."""
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Placement])
    except msgspec.MsgspecError:
        return None
