"""Faults of engines, or of the way to them: the words that `fake_vllm` has for them, and a restart."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fake_vllm.faults import FaultRule
from twin.scenario.faults.timing import Moment, Spell
from twin.scenario.section import Flag, Probability
from twin.scenario.targets import ALL_PODS, Pods

Caller = Literal["controller", "probes", "traffic"]
AdapterGlob = Annotated[str, Field(min_length=1)]


class EngineSpell(Spell):
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


class RequestSpell(EngineSpell):
    """One that can tell what a request is about."""

    adapters: tuple[AdapterGlob, ...] = ()
    """Only loads and unloads of these adapters; `*` as in a shell. All requests if absent."""


class ConnectionRefused(EngineSpell):
    """Nothing seems to listen: connections are refused."""

    kind: Literal["connection-refused"]


class ConnectionReset(RequestSpell):
    """The connection breaks before an answer has come."""

    kind: Literal["connection-reset"]
    after: Flag = False
    """Whether the engine has done what was asked all the same."""


class Timeout(RequestSpell):
    """Requests are accepted and never answered."""

    kind: Literal["timeout"]


class Slow(RequestSpell):
    """Everything takes longer."""

    kind: Literal["slow"]
    factor: float = Field(default=10.0, strict=True, ge=1, le=10_000, allow_inf_nan=False)
    """How many times as long."""


class HttpError(RequestSpell):
    """Requests are answered with an HTTP error."""

    kind: Literal["http-error"]
    status: Annotated[int, Field(strict=True, ge=400, le=599)] = 500
    """HTTP status."""
    body: str = ""
    """Body of the answer; an error in vLLM's envelope if empty."""
    message: str = ""
    """The envelope's message, where no body is given."""


class Unauthorized(EngineSpell):
    """The key is refused with 401."""

    kind: Literal["unauthorized"]


class InvalidAdapter(RequestSpell):
    """Loads fail as with a broken artifact."""

    kind: Literal["invalid-adapter"]
    message: str = ""
    """The engine's own words, `{adapter}` is the name; those of broken safetensors if empty."""


class EngineRestart(Moment):
    """Engine containers restart in place: the pods stay, their adapters are gone."""

    on: ClassVar[str] = "engines"

    kind: Literal["engine-restart"]
    pods: Pods
    """Whose engines."""
