"""Faults of engines and of the connections to them, by the names that `fake_vllm` uses, and engine restarts."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fake_vllm.faults.rules import FaultRule
from twin.scenario.faults.window import InstantFault, LastingFault
from twin.scenario.sections.base_model import Flag, Probability
from twin.scenario.sections.targets import ALL_PODS, Pods

Caller = Literal["controller", "probes", "traffic"]
AdapterGlob = Annotated[str, Field(min_length=1)]


class EngineFault(LastingFault):
    """Base of the faults of requests to engines."""

    pods: Pods = ALL_PODS
    """Pods whose engines are affected."""
    probability: Probability = 1.0
    """Probability that a request is affected."""
    callers: Annotated[tuple[Caller, ...], Field(min_length=1)] = ("controller",)
    """Clients whose requests are affected: the controller, the kubelet's probes, user traffic."""

    def rule(self) -> FaultRule:
        """Return the rule that the engines apply."""
        names = ("probability", "adapters", "factor", "status", "body", "message", "retry_after", "after", "value")
        settings = {name: getattr(self, name) for name in names if name in type(self).model_fields}
        return FaultRule(self.kind, callers=self.callers, **settings)


class RequestFault(EngineFault):
    """Base of the faults that can be restricted to some adapters."""

    adapters: tuple[AdapterGlob, ...] = ()
    """Only loads and unloads of these adapters; `*` matches any text. All requests if absent."""


class ConnectionRefused(EngineFault):
    """Connections are refused, as if nothing were listening.

    The pod's status does not change unless `callers` includes the probes; then the pod becomes unready after a few of
    them. The engine keeps working, and its adapters stay loaded. The operator sees a connection error, which it
    retries: this fault shows the delays of `controller.retry` best.
    """

    kind: Literal["connection-refused"]


class ConnectionReset(RequestFault):
    """The connection is reset before the response arrives.

    With `after: true` the engine executes the request and only its response is lost: a load that succeeded then looks
    failed. An operator that lists the engine's adapters before it retries does not load twice.
    """

    kind: Literal["connection-reset"]
    after: Flag = False
    """Execute the request nevertheless, so that only its response is lost."""


class Timeout(RequestFault):
    """Requests are accepted, but no response is ever sent.

    The client waits until its timeout: `controller.load_timeout` for a load, `controller.list_timeout` for a list. The
    engine does not execute the request. Use `slow` for an engine that responds late.
    """

    kind: Literal["timeout"]


class Slow(RequestFault):
    """Requests take longer.

    Adapter requests, and completions if `callers` includes traffic, take `factor` times as long as the engine would
    need otherwise. Requests fail only if they reach a timeout.
    """

    kind: Literal["slow"]
    factor: float = Field(default=10.0, strict=True, ge=1, le=10_000, allow_inf_nan=False)
    """Multiplier of the duration."""


class HttpError(RequestFault):
    """Requests fail with an HTTP error.

    The operator retries 408, 429, 500 and 502 to 504; any other 4xx is final. It waits as `retry_after` says, at
    most a minute, and uses another pod meanwhile. The engine does not execute the request.
    """

    kind: Literal["http-error"]
    status: Annotated[int, Field(strict=True, ge=400, le=599)] = 500
    """HTTP status of the response."""
    body: str = ""
    """Body of the response; vLLM's error object if empty."""
    message: str = ""
    """Message of that error object, if `body` is empty."""
    retry_after: Annotated[str, Field(max_length=100, pattern=r"^[ -~]*$")] = ""
    """Header Retry-After: a duration such as `24h`, or the text of the header itself (a date, `inf`)."""


class Unauthorized(EngineFault):
    """The API key is refused with 401.

    All requests under `/v1` are refused. The operator treats it as final for this pod, because another pod may accept
    the key.
    """

    kind: Literal["unauthorized"]


class InvalidAdapter(RequestFault):
    """Loads fail as they do with a corrupt artifact.

    The engine responds with 500 and its own error text about the weights. The operator treats that as an error of the
    adapter: it does not try one pod after another but sets the adapter to Failed, and retries when the spec changes and
    every `controller.pod_cooldown`.
    """

    kind: Literal["invalid-adapter"]
    message: str = ""
    """Error text of the engine, `{adapter}` stands for the name; the text for corrupt safetensors if empty."""


class OutOfMemory(RequestFault):
    """Loads fail: the GPU has no memory left for another adapter."""

    kind: Literal["out-of-memory"]


class MetricsStale(EngineFault):
    """The engine's metrics no longer change.

    `/metrics` repeats the first page that it returns during the fault, as after a scrape cache or an exporter has hung.
    Requests and adapters are not affected. The operator notices pages of a busy engine that stay the same, and scales
    nothing by them; of an idle engine it cannot know.
    """

    kind: Literal["metrics-stale"]


class MetricsWrong(EngineFault):
    """The engine's metrics are wrong.

    Each of the engine's values in `/metrics` is `value`. With a `probability` below 1 single pages are wrong and others
    right. The operator ignores values that cannot be right, and scales nothing by a single page.
    """

    kind: Literal["metrics-wrong"]
    value: Annotated[str, Field(max_length=30, pattern=r"^(NaN|[+-]?Inf|[+-]?\d+(\.\d+)?([eE][+-]?\d+)?)$")] = "NaN"
    """Value of each series: a number as text, `NaN`, `+Inf` or `-Inf`."""


class EngineRestart(InstantFault):
    """Engine containers restart in place: the pods stay, and their adapters are lost.

    The kubelet restarts the container at once, and with growing delays if it terminates again soon (CrashLoopBackOff).
    The pod keeps its name and address, gets a new container id and is not ready until the new engine listens. Artifacts
    in the container's cache have to be downloaded again.
    """

    on: ClassVar[str] = "engines"

    kind: Literal["engine-restart"]
    pods: Pods
    """Pods whose engines restart."""


class EngineCoreCrash(InstantFault):
    """Engine cores are killed, as by the OOM killer or a CUDA error; the API server in front of them dies by itself.

    vLLM runs its core as a process of its own. For one second the server still answers: running streams end with an
    error event, requests and loads get 500, and `/health` and `/v1/models` stay 200. Then the port closes. After six
    seconds the server ends with exit code 0, so that a pod with `restartPolicy: OnFailure` is complete and does not
    come back; others restart in place, without adapters. An engine that is still starting ends at once, with exit
    code 1.

    Recorded from vLLM 0.16 to 0.32, the times from 0.32. SGLang is assumed to end in the same way.
    """

    on: ClassVar[str] = "engines"

    kind: Literal["engine-core-crash"]
    pods: Pods
    """Pods whose engine cores are killed."""
