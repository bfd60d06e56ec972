"""Everything that happened in a run, in order, once.

`oracles.py`, `measures.py` and `report/` read the record and nothing else; a report can be made again from
`events.jsonl` alone. Each line is one of the structs below, `kind` first telling which; `t` is seconds since
the start of the run. Requests that come by the ten thousand and say nothing on their own (lists, gets,
reconciles) are not recorded one by one but counted, minute by minute (`Counts`).

Objects are named `namespace/name`.
"""

from typing import Literal

import msgspec


class _Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    t: float


class Run(_Line, frozen=True, kw_only=True, tag="run"):
    """The first line: what was run and by which rules it is to be judged. Times in seconds."""

    name: str
    seed: int
    version: str
    duration: float
    epoch: str
    """Wall time of t = 0, RFC 3339."""
    policy: str
    replicas: int
    """Controller replicas."""
    stable_for: float
    retry_waits: list[float]
    """Wait before the second attempt, the third, ...; one more attempt than waits is allowed."""
    pod_cooldown: float
    audit_interval: float
    notice: float
    """How long an honest controller may take to notice what the API server shows."""
    max_requests_per_pod: int
    load_timeout: float
    pod_start: float
    """Longest time from a pod's creation to its readiness that the scenario allows for."""
    unready_grace: float = 0.0
    notes: list[str] = []
    """What the reader of the summary must know, e.g. that a sidecar is not simulated."""


class Counts(_Line, frozen=True, kw_only=True, tag="counts"):
    """How often things happened in the `seconds` before `t`."""

    seconds: float
    counts: dict[str, int]


class FaultLine(_Line, frozen=True, kw_only=True, tag="fault"):
    """A fault begins, ends, or (a moment's fault) strikes. `id` is its place in the scenario's list."""

    id: int
    fault: str
    event: Literal["begin", "end", "strike"]
    targets: list[str] = []
    detail: str = ""
    seconds: float = 0.0
    """Its size, where that is a time: how far reads lag, how wrong a clock is, how much longer a request takes."""


class AdapterLine(_Line, frozen=True, kw_only=True, tag="adapter"):
    """A ModelAdapter as the API server shows it, each time it changes."""

    object: str
    event: Literal["created", "updated", "deleted"]
    uid: str
    generation: int
    wanted: int | None = None
    """`spec.replicas`; None is every matching pod."""
    artifact: str
    selector: dict[str, str] = {}
    """matchLabels; `matchExpressions` are in `expressions`."""
    expressions: list[tuple[str, str, list[str]]] = []
    phase: str = ""
    conditions: dict[str, tuple[str, str]] = {}
    """Type to (status, reason)."""
    message: str = ""
    """Of the condition that changed last."""
    instances: list[str] = []
    candidates: int = 0
    attempts: dict[str, int] = {}
    """Pod to retries announced (annotation `retry-count.POD`)."""
    placements: list[str] = []
    """Pods that the placements annotation names."""
    deleting: bool = False
    finalizer: bool = False


class PodLine(_Line, frozen=True, kw_only=True, tag="pod"):
    """A pod as the API server shows it, each time it changes in a way that matters here."""

    object: str
    event: Literal["created", "updated", "deleted"]
    uid: str
    workload: str = ""
    """Deployment that it belongs to."""
    node: str = ""
    zone: str = ""
    ip: str = ""
    phase: str = ""
    ready: bool = False
    ready_since: float | None = None
    """Last transition of `Ready`, as shown (whole seconds), in seconds since the start of the run."""
    terminating: bool = False
    engine: str = ""
    """Container id of the engine: its incarnation."""
    restarts: int = 0
    labels: dict[str, str] = {}
    capacity: int = 0
    """Adapters that the engine keeps in memory (`--max-cpu-loras`); more may be loaded, a policy may decline to."""


class SecretLine(_Line, frozen=True, kw_only=True, tag="secret"):
    """A Secret has come, changed or gone; what is in it is recorded nowhere."""

    object: str
    event: Literal["created", "updated", "deleted"]
    version: str


class SliceLine(_Line, frozen=True, kw_only=True, tag="slice"):
    """An EndpointSlice that the operator manages."""

    object: str
    event: Literal["created", "updated", "deleted"]
    adapter: str
    pods: list[str] = []
    """Names of the pods with a ready endpoint."""


class EngineLine(_Line, frozen=True, kw_only=True, tag="engine"):
    """What an engine holds has changed; seen from inside, whether or not anybody asked."""

    object: str
    """The pod."""
    engine: str
    """Container id."""
    event: Literal["started", "stopped", "loaded", "unloaded"]
    adapter: str = ""
    """ModelAdapter name (the engine knows no namespace)."""
    root: str = ""


class RequestLine(_Line, frozen=True, kw_only=True, tag="request"):
    """A load or unload leaves the controller (`status` and `error` unset), or has ended."""

    object: str
    """The pod."""
    id: int
    """Both lines of a request carry the same."""
    event: Literal["sent", "done"]
    by: str
    """Controller replica."""
    verb: Literal["load", "unload"]
    adapter: str
    engine: str = ""
    """Container id when sent; empty if nothing runs there."""
    root: str = ""
    status: int = 0
    """HTTP status; 0 if there was no answer."""
    error: str = ""
    """Exception type or the engine's message."""


class ApiLine(_Line, frozen=True, kw_only=True, tag="api"):
    """A write of the controller to the API server, when the server took it. `code` is the HTTP status."""

    object: str
    by: str
    verb: Literal["create", "patch", "apply", "delete"]
    resource: str
    subresource: str = ""
    code: int
    reason: str = ""
    """Kubernetes' reason if it failed."""


class TrafficLine(_Line, frozen=True, kw_only=True, tag="traffic"):
    """What came of users' requests for an adapter, of those that ended in the `seconds` before `t`."""

    object: str
    """The adapter."""
    seconds: float
    requests: int
    ok: int = 0
    misrouted: int = 0
    """Sent to a pod where the adapter was not loaded."""
    cold: int = 0
    """Sent to one that had to read its weights again."""
    queued: int = 0
    """Waited on the engine for its turn."""
    causes: dict[str, int] = {}
    """Why those failed that did: an HTTP status, the client's exception, or `no endpoint` at the gateway."""
    first_token_seconds: list[float] = []
    """Of those answered, in the order in which they ended, from the user's side."""
    end_to_end_seconds: list[float] = []


class ControllerLine(_Line, frozen=True, kw_only=True, tag="controller"):
    """A replica starts, takes the lead, loses it, crashes or stops."""

    by: str
    event: Literal["started", "leading", "lost", "crashed", "stopped"]


class LeaseLine(_Line, frozen=True, kw_only=True, tag="lease"):
    """The leader's lease as written: `by` may act until `until` (seconds since the start of the run)."""

    by: str
    until: float


class EventLine(_Line, frozen=True, kw_only=True, tag="event"):
    """A Kubernetes Event, created or counted up."""

    object: str
    type: str
    reason: str
    note: str
    count: int = 1


class LogLine(_Line, frozen=True, kw_only=True, tag="log"):
    """A warning or an error from the controller's log."""

    by: str
    level: str
    text: str


class LeakLine(_Line, frozen=True, kw_only=True, tag="leak"):
    """A secret was about to be recorded; it has been struck out there. `where` says in what kind of line."""

    object: str
    where: str


Line = (
    Run
    | Counts
    | FaultLine
    | AdapterLine
    | PodLine
    | SecretLine
    | SliceLine
    | EngineLine
    | RequestLine
    | TrafficLine
    | ApiLine
    | ControllerLine
    | LeaseLine
    | EventLine
    | LogLine
    | LeakLine
)
