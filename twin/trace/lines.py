"""The lines of `events.jsonl`: every event of a run, once, in order.

Invariants, measures and reports read the record and nothing else, so a report can be rebuilt from `events.jsonl` alone.
Each line is one of the structs below, with its `kind` first; `t` is seconds since the start of the run. Frequent
requests without further information (lists, gets, reconciles) are counted per minute (`Counts`) instead of recorded.

Objects are named `namespace/name`.
"""

from typing import Literal

import msgspec


class _Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    t: float


class Run(_Line, frozen=True, kw_only=True, tag="run"):
    """The first line: the scenario and the rules by which the run is judged. Times in seconds."""

    name: str
    seed: int
    version: str
    duration: float
    epoch: str
    """Wall time of t = 0, RFC 3339."""
    policy: str
    replicas: int
    """Number of controller replicas."""
    stable_for: float
    retry_waits: list[float]
    """Wait before the second attempt, the third, and so on; there is one more attempt than waits."""
    pod_cooldown: float
    audit_interval: float
    notice: float
    """Upper bound of the time in which a correct controller notices a change in the API server."""
    max_requests_per_pod: int
    load_timeout: float
    pod_start: float
    """Longest time from a pod's creation to its readiness in this scenario."""
    unready_grace: float = 0.0
    list_timeout: float = 30.0
    api_request: float = 0.0
    """Longest time of one request of a busy operator to the API server: latency, and its own rate limit."""
    rebalance: bool = False
    """True if the operator moves replicas by itself."""
    gpus: dict[str, int] = {}
    """GPUs of one pod, by the name of its workload or of the pod itself."""
    activator_timeout: float = 60.0
    """Time for which a request is held while its adapter is loaded."""
    notes: list[str] = []
    """Limits of the simulation that affect the results, for example that a sidecar is not simulated."""


class Counts(_Line, frozen=True, kw_only=True, tag="counts"):
    """Number of occurrences in the `seconds` before `t`."""

    seconds: float
    counts: dict[str, int]


class FaultLine(_Line, frozen=True, kw_only=True, tag="fault"):
    """A fault begins, ends or, for an instant fault, strikes. `id` is its index in the scenario's list."""

    id: int
    fault: str
    event: Literal["begin", "end", "strike"]
    targets: list[str] = []
    detail: str = ""
    seconds: float = 0.0
    """Magnitude of the fault if it is a time: the lag of reads, the skew of a clock, the added latency of a request."""


class AdapterLine(_Line, frozen=True, kw_only=True, tag="adapter"):
    """A ModelAdapter in the API server, each time it changes."""

    object: str
    event: Literal["created", "updated", "deleted"]
    uid: str
    generation: int
    wanted: int | None = None
    """`spec.replicas`, 0 while it is idle; None means every matching pod."""
    artifact: str
    """Its URL, without users and queries."""
    digest: str = ""
    """Digest of the artifact, if its URL is hidden in part."""
    selector: dict[str, str] = {}
    """matchLabels; `matchExpressions` are in `expressions`."""
    expressions: list[tuple[str, str, list[str]]] = []
    phase: str = ""
    conditions: dict[str, tuple[str, str]] = {}
    """Type to (status, reason)."""
    message: str = ""
    """Message of the condition that changed last."""
    messages: dict[str, str] = {}
    """Messages that have a number, by condition type."""
    scheduler: str = "default"
    """`spec.schedulerName`."""
    sidecar: bool = False
    """True if its artifact is fetched by the runtime sidecar alone."""
    instances: list[str] = []
    candidates: int = 0
    attempts: dict[str, int] = {}
    """Pod to the number of retries (annotation `retry-count.POD`)."""
    placements: list[str] = []
    """Pods in the placements annotation."""
    move: str = ""
    """Pods of its last move by rebalancing, as `FROM > TO`."""
    moving: bool = False
    """True while this move is under way."""
    deleting: bool = False
    finalizer: bool = False
    on_demand: bool = False
    """True if its first request loads it."""


class PodLine(_Line, frozen=True, kw_only=True, tag="pod"):
    """A pod in the API server, each time it changes in a relevant way."""

    object: str
    event: Literal["created", "updated", "deleted"]
    uid: str
    workload: str = ""
    """Deployment of the pod."""
    node: str = ""
    zone: str = ""
    ip: str = ""
    ips: list[str] = []
    """All addresses of a pod that has several, one of each family."""
    phase: str = ""
    ready: bool = False
    ready_since: float | None = None
    """Last transition of `Ready` in the status (whole seconds), in seconds since the start of the run."""
    terminating: bool = False
    engine: str = ""
    """Container id of the engine, which identifies its incarnation."""
    restarts: int = 0
    labels: dict[str, str] = {}
    capacity: int = 0
    """Adapters that the engine keeps in memory (`--max-cpu-loras`). More may be loaded; a policy may refuse to."""
    port: int = 0
    """Port of the engine."""
    sidecar: bool = False
    """True if it has the runtime sidecar."""
    mislabelled: bool = False
    """True if a label that describes its engine is wrong, so that no adapter is loaded on it."""


class SecretLine(_Line, frozen=True, kw_only=True, tag="secret"):
    """A Secret is created, updated or deleted; its content is not recorded."""

    object: str
    event: Literal["created", "updated", "deleted"]
    version: str


class SliceLine(_Line, frozen=True, kw_only=True, tag="slice"):
    """An EndpointSlice that the operator manages, or did before its labels changed."""

    object: str
    event: Literal["created", "updated", "deleted"]
    adapter: str
    """The Service that the slice's label names, which has the adapter's name; `namespace/` without the label."""
    pods: list[str] = []
    """Names of the pods with a ready endpoint."""
    addresses: list[str] = []
    """IP addresses of these pods, in the same order."""
    port: int = 0
    activator: bool = False
    """True if it publishes the operator's activator, and no pod."""


class EngineLine(_Line, frozen=True, kw_only=True, tag="engine"):
    """The adapters of an engine have changed, as seen inside the engine."""

    object: str
    """Name of the pod."""
    engine: str
    """Container id."""
    event: Literal["started", "stopped", "loaded", "unloaded"]
    adapter: str = ""
    """Name of the ModelAdapter (the engine has no namespaces)."""
    root: str = ""
    digest: str = ""
    """Digest of the artifact, if `root` is a URL that is hidden in part."""


class RequestLine(_Line, frozen=True, kw_only=True, tag="request"):
    """A load or unload is sent by the controller (`status` and `error` are unset), or has ended."""

    object: str
    """Name of the pod."""
    id: int
    """Number of the request, the same in both of its lines."""
    event: Literal["sent", "done"]
    by: str
    """Controller replica."""
    verb: Literal["load", "unload"]
    adapter: str
    engine: str = ""
    """Container id at the time of sending; empty if no engine runs."""
    root: str = ""
    status: int = 0
    """HTTP status; 0 if there was no response."""
    error: str = ""
    """Exception type, or the engine's message."""
    retry_after: str = ""
    """Header Retry-After of the response."""


class ApiLine(_Line, frozen=True, kw_only=True, tag="api"):
    """A write of the controller, when the API server received it. `code` is the HTTP status."""

    object: str
    by: str
    verb: Literal["create", "patch", "apply", "delete"]
    resource: str
    subresource: str = ""
    code: int
    reason: str = ""
    """Kubernetes' reason of a failure."""
    unchanged: bool = False
    """True if the object already was what the write asked for."""


class RefusedLine(_Line, frozen=True, kw_only=True, tag="refused"):
    """The API server refuses a user's request of the scenario: an adapter that arrives, an edit, a manifest."""

    object: str
    verb: Literal["create", "patch", "delete"]
    resource: str
    code: int
    reason: str = ""
    message: str = ""


class TrafficLine(_Line, frozen=True, kw_only=True, tag="traffic"):
    """Results of users' requests for an adapter that ended in the `seconds` before `t`."""

    object: str
    """Name of the adapter."""
    seconds: float
    requests: int
    ok: int = 0
    misrouted: int = 0
    """Requests sent to a pod without the adapter."""
    cold: int = 0
    """Requests for which the adapter's weights had to be read again."""
    queued: int = 0
    """Requests that waited in the engine's queue."""
    causes: dict[str, int] = {}
    """Causes of failures: an HTTP status, the client's exception, or `no endpoint` at the gateway."""
    first_token_seconds: list[float] = []
    """Times of successful requests, in the order in which they ended, measured by the user."""
    end_to_end_seconds: list[float] = []
    good: int | None = None
    """Successful requests whose first token came within the objective; None without an objective."""


class AnswerLine(_Line, frozen=True, kw_only=True, tag="answer"):
    """Weights that made a user's answer: for an adapter at a pod, when they change, and then once a minute."""

    object: str
    """Name of the adapter."""
    pod: str
    engine: str
    """Container id."""
    sent: float
    """Time at which the request was sent, in seconds since the start of the run."""
    weights: str
    """Digest of the weights; that of an artifact is `artifact_of` its path."""
    prefix_weights: str = ""
    """Digest of the weights that made blocks in the prefix cache for such a request; empty without any."""


class HeldLine(_Line, frozen=True, kw_only=True, tag="held"):
    """A request that the operator's activator gets, releases, and that an engine has answered."""

    object: str
    """Name of the adapter."""
    id: int
    """Number of the request, the same in all of its lines."""
    event: Literal["held", "released", "answered"]
    seconds: float = 0.0
    """Time for which it was held; of `answered` the user's time to the first token."""
    cause: str = ""
    """Why it was not passed on, as in `TrafficLine.causes`."""


class IdleLine(_Line, frozen=True, kw_only=True, tag="idle"):
    """An adapter on demand that has had requests becomes Idle. Times are those of requests that engines received."""

    object: str
    idle_seconds: float
    in_progress_since: float | None = None
    """Time at which the oldest request in progress was sent; None without one."""
    last_started: float | None = None
    last_ended: float | None = None
    """Start and end of the last request that has ended."""
    pinned: bool = False


class ControllerLine(_Line, frozen=True, kw_only=True, tag="controller"):
    """A replica starts, becomes leader, loses the lead, crashes or stops."""

    by: str
    event: Literal["started", "leading", "lost", "crashed", "stopped"]


class LeaseLine(_Line, frozen=True, kw_only=True, tag="lease"):
    """The leader's Lease as written: `by` may act until `until` (seconds since the start of the run)."""

    by: str
    until: float


class EventLine(_Line, frozen=True, kw_only=True, tag="event"):
    """A Kubernetes Event, created or with an increased count."""

    object: str
    type: str
    reason: str
    note: str
    count: int = 1


class LogLine(_Line, frozen=True, kw_only=True, tag="log"):
    """A warning or an error of the controller's log."""

    by: str
    level: str
    text: str


class LeakLine(_Line, frozen=True, kw_only=True, tag="leak"):
    """A secret was redacted from a line; `where` is the kind of that line."""

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
    | AnswerLine
    | HeldLine
    | IdleLine
    | ApiLine
    | RefusedLine
    | ControllerLine
    | LeaseLine
    | EventLine
    | LogLine
    | LeakLine
)
