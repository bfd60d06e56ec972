"""Kinds of faults of an engine's requests, and the rule that a user writes; `effects.py` applies rules to requests.

Faults of the engine itself, such as a restart, are not here: the server or the simulated container carries them out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType

from fake_vllm.http.paths import CHANGES, GENERATING, LOADING, PROBED

CALLERS = ("controller", "probes", "traffic")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a fault; type and default as text, for lists and messages."""

    name: str
    type: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault and its parameters."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]


_COMMON = (
    Parameter("callers", "list of " + ", ".join(CALLERS), "[controller]", "clients whose requests are affected"),
    Parameter("probability", "number from 0 to 1", "1", "share of their requests that are affected"),
)
_ADAPTERS = Parameter("adapters", "list of names, * allowed", "all", "only loads and unloads of these adapters")

_KINDS = (
    FaultKind("connection-refused", "the port is closed", _COMMON),
    FaultKind(
        "connection-reset",
        "the connection is closed before the response",
        (
            *_COMMON,
            _ADAPTERS,
            Parameter(
                "after", "true or false", "false", "the engine does the work first, so only the response is lost"
            ),
        ),
    ),
    FaultKind("timeout", "the request is accepted, but neither processed nor answered", (*_COMMON, _ADAPTERS)),
    FaultKind(
        "slow",
        "the engine takes longer",
        (*_COMMON, _ADAPTERS, Parameter("factor", "number above 0", "1", "multiplies the time")),
    ),
    FaultKind(
        "http-error",
        "the response is an HTTP error",
        (
            *_COMMON,
            _ADAPTERS,
            Parameter("status", "HTTP status from 400 to 599", "500", "status of the response"),
            Parameter("body", "text", "vLLM's error envelope", "body of the response"),
            Parameter("message", "text", "injected fault", "message in the envelope, if there is no body"),
            Parameter("retry_after", "text", "none", "Retry-After: a duration such as 24h, or the header's own text"),
        ),
    ),
    FaultKind("unauthorized", "the API key is refused for all paths under /v1", _COMMON),
    FaultKind(
        "invalid-adapter",
        "loads fail at once with 500 and the engine's text about invalid weights",
        (
            *_COMMON,
            _ADAPTERS,
            Parameter(
                "message",
                "text",
                "a broken safetensors file",
                "engine's message; {adapter} stands for the name",
            ),
        ),
    ),
    FaultKind("out-of-memory", "loads fail because the GPU has no memory left", (*_COMMON, _ADAPTERS)),
    FaultKind("metrics-stale", "/metrics repeats the first page that it returns during the fault", _COMMON),
    FaultKind(
        "metrics-wrong",
        "each of the engine's values in /metrics is the same wrong one",
        (*_COMMON, Parameter("value", "number, also NaN or +Inf", "NaN", "value of each series")),
    ),
)
ALTERING = ("metrics-stale", "metrics-wrong")
"""Kinds that change what the engine responds."""
_METRICS = "/metrics"
CATALOGUE: Mapping[str, FaultKind] = MappingProxyType({kind.name: kind for kind in _KINDS})


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One active fault; `CATALOGUE` has the parameters of each kind."""

    kind: str
    callers: tuple[str, ...] = ("controller",)
    probability: float = 1.0
    adapters: tuple[str, ...] = ()
    factor: float = 1.0
    status: int = 500
    body: str = ""
    message: str = ""
    retry_after: str = ""
    after: bool = False
    value: str = "NaN"

    def __post_init__(self) -> None:
        if self.kind not in CATALOGUE:
            raise ValueError(f"unknown engine fault {self.kind!r}; allowed: {', '.join(CATALOGUE)}")
        if not self.callers:
            raise ValueError(f"{self.kind}: no callers; allowed: some of {', '.join(CALLERS)}")
        for caller in self.callers:
            if caller not in CALLERS:
                raise ValueError(f"{self.kind}: {caller!r} is not one of {', '.join(CALLERS)}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"{self.kind}: the probability is {self.probability}; it must be between 0 and 1")
        if not 0 < self.factor < float("inf"):
            raise ValueError(f"{self.kind}: the factor is {self.factor}; it must be above 0")
        if not 400 <= self.status <= 599:
            raise ValueError(f"{self.kind}: the status is {self.status}; it must be between 400 and 599")
        if not _is_number(self.value):
            raise ValueError(f"{self.kind}: the value is {self.value!r}; it must be a number, NaN, +Inf or -Inf")
        if not (self.retry_after.isascii() and (self.retry_after + " ").isprintable()):
            raise ValueError(f"{self.kind}: retry_after is {self.retry_after!r}; it must be printable ASCII")

    @property
    def is_total(self) -> bool:
        """True if the rule applies to every request of every caller, with probability 1."""
        return set(self.callers) == set(CALLERS) and self.probability == 1 and not self.adapters

    def applies(self, caller: str, path: str, adapter: str) -> bool:
        """Return whether the rule is about this request, without regard to its probability."""
        if caller not in self.callers:
            return False
        if self.kind == "unauthorized" and not path.startswith("/v1") and path not in CHANGES:
            return False
        if self.kind in ("invalid-adapter", "out-of-memory") and path not in LOADING:
            return False
        if self.kind in ALTERING and path != _METRICS:
            return False
        return not self.adapters or any(fnmatchcase(adapter, pattern) for pattern in self.adapters)


def caller_of(path: str, agent: str) -> str:
    """Return the caller of a request on a real socket, derived from its path and its user agent.

    Health routes and the kubelet's user agent are `probes`, generating routes are `traffic`, all others `controller`.
    """
    if path in PROBED or agent.startswith("kube-probe/"):
        return "probes"
    return "traffic" if path in GENERATING else "controller"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and text.strip() == text
