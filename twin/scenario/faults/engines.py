"""Faults of engines, or of the way to them: the words that `fake_vllm` has for them, and a restart."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fake_vllm.faults.rules import FaultRule
from twin.scenario.faults.window import InstantFault, LastingFault
from twin.scenario.sections.base_model import Flag, Probability
from twin.scenario.sections.targets import ALL_PODS, Pods

Caller = Literal["controller", "probes", "traffic"]
AdapterGlob = Annotated[str, Field(min_length=1)]


class EngineFault(LastingFault):
    """A fault of engines, or of the way to them, that lasts."""

    pods: Pods = ALL_PODS
    """Whose engines."""
    probability: Probability = 1.0
    """That a request is hit."""
    hits: Annotated[tuple[Caller, ...], Field(min_length=1)] = ("controller",)
    """Whose requests: the controller's, the kubelet's probes', those of traffic."""

    def rule(self) -> FaultRule:
        """The fault in the words of the engines that meet it."""
        names = ("hits", "probability", "adapters", "factor", "status", "body", "message", "after")
        fields = type(self).model_fields
        return FaultRule(self.kind, **{name: getattr(self, name) for name in names if name in fields})


class RequestFault(EngineFault):
    """One that can tell what a request is about."""

    adapters: tuple[AdapterGlob, ...] = ()
    """Only loads and unloads of these adapters; `*` as in a shell. All requests if absent."""


class ConnectionRefused(EngineFault):
    """Nothing seems to listen: connections are refused.

    The pod's status does not change, unless `hits` names the probes: then it turns unready within a few of them, which
    is another question. The engine itself works on; what it has loaded stays loaded. The operator meets it as a
    connection error, which is worth another try: the waits of `controller.retry` are seen best with this fault.
    """

    kind: Literal["connection-refused"]


class ConnectionReset(RequestFault):
    """The connection breaks before an answer has come.

    With `after: true` the engine does what it was asked and only its answer is lost: a load has then succeeded and
    looks as if it had failed. An operator that looks before it tries again does not load twice.
    """

    kind: Literal["connection-reset"]
    after: Flag = False
    """Whether the engine has done what was asked all the same."""


class Timeout(RequestFault):
    """Requests are accepted and never answered.

    The caller waits as long as it has patience: `controller.load_timeout` for a load, `controller.list_timeout` for a
    look. The engine does not work on the request. A slow engine that does answer in the end is `slow`.
    """

    kind: Literal["timeout"]


class Slow(RequestFault):
    """Everything takes longer.

    Requests about adapters, and answers to users where `hits` names traffic, take `factor` times as long as this engine
    would take. Nothing fails by itself; what runs into a timeout does.
    """

    kind: Literal["slow"]
    factor: float = Field(default=10.0, strict=True, ge=1, le=10_000, allow_inf_nan=False)
    """How many times as long."""


class HttpError(RequestFault):
    """Requests are answered with an HTTP error.

    Whether the operator tries again depends on the status: 408, 429, 500 and 502 to 504 are worth it, any other 4xx is
    not. The engine does nothing of what was asked.
    """

    kind: Literal["http-error"]
    status: Annotated[int, Field(strict=True, ge=400, le=599)] = 500
    """HTTP status."""
    body: str = ""
    """Body of the answer; an error in vLLM's envelope if empty."""
    message: str = ""
    """The envelope's message, where no body is given."""


class Unauthorized(EngineFault):
    """The key is refused with 401.

    Everything under `/v1` is refused. The operator takes it as final for this pod: another pod may know the key.
    """

    kind: Literal["unauthorized"]


class InvalidAdapter(RequestFault):
    """Loads fail as with a broken artifact.

    The engine answers 500 with its own text about the weights, and the operator takes that as the adapter's own fault:
    it is not tried pod after pod, but Failed, and looked at again when its spec changes or every
    `controller.aside_for`.
    """

    kind: Literal["invalid-adapter"]
    message: str = ""
    """The engine's own words, `{adapter}` is the name; those of broken safetensors if empty."""


class OutOfMemory(RequestFault):
    """Loads fail: the GPU has no memory left for another adapter."""

    kind: Literal["out-of-memory"]


class EngineRestart(InstantFault):
    """Engine containers restart in place: the pods stay, their adapters are gone.

    The kubelet restarts the container at once, again later each time it ends soon (CrashLoopBackOff). The pod keeps its
    name and its address, its container id is another, and its readiness is lost until the new engine listens. What the
    hub's cache held on the container's disk has to be fetched again.
    """

    on: ClassVar[str] = "engines"

    kind: Literal["engine-restart"]
    pods: Pods
    """Whose engines."""
