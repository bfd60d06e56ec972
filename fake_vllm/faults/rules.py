"""What goes wrong with an engine, as seen by who asks it.

Rules are added and removed at run time; the face that carries the request (the simulated network, the
kubelet's probes, `app.py`) asks for a verdict before the engine sees the request, and does what it says.
Faults that happen to the engine itself, a restart say, are not here: those are verbs of whoever runs it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal

from fake_vllm.router import CHANGES, GENERATING, LOADING, PROBED, Response, error_response, load_error, unauthorized

CALLERS = ("controller", "probes", "traffic")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting of a fault; type and default as text, for catalogues and messages."""

    name: str
    type: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault, for those who list and validate them."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]


_COMMON = (
    Parameter("callers", "list of " + ", ".join(CALLERS), "[controller]", "who meets the fault"),
    Parameter("probability", "number from 0 to 1", "1", "share of the requests that meet it"),
)
_ADAPTERS = Parameter("adapters", "list of names, * allowed", "all", "only loads and unloads of these adapters")

_KINDS = (
    FaultKind("connection-refused", "nothing listens on the port", _COMMON),
    FaultKind(
        "connection-reset",
        "the connection is closed half-way, without an answer",
        (
            *_COMMON,
            _ADAPTERS,
            Parameter(
                "after", "true or false", "false", "the engine does the work all the same; only the answer is lost"
            ),
        ),
    ),
    FaultKind("timeout", "the request is accepted and never answered, nor worked on", (*_COMMON, _ADAPTERS)),
    FaultKind(
        "slow",
        "the engine takes longer",
        (*_COMMON, _ADAPTERS, Parameter("factor", "number above 0", "1", "multiplies the time")),
    ),
    FaultKind(
        "http-error",
        "an HTTP error is answered instead",
        (
            *_COMMON,
            _ADAPTERS,
            Parameter("status", "HTTP status from 400 to 599", "500", "the answer's status"),
            Parameter("body", "text", "vLLM's error envelope", "the answer's body"),
            Parameter("message", "text", "injected fault", "the envelope's message, where no body is given"),
        ),
    ),
    FaultKind("unauthorized", "the key is refused for everything under /v1", _COMMON),
    FaultKind(
        "invalid-adapter",
        "loads fail at once with 500, the engine's own text naming the adapter's weights",
        (
            *_COMMON,
            _ADAPTERS,
            Parameter("message", "text", "a broken safetensors file", "what the engine says; {adapter} is the name"),
        ),
    ),
    FaultKind("out-of-memory", "loads fail, as the GPU has no memory left for another adapter", (*_COMMON, _ADAPTERS)),
)
CATALOGUE: Mapping[str, FaultKind] = MappingProxyType({kind.name: kind for kind in _KINDS})

NO_MEMORY = "CUDA out of memory. Tried to allocate 80.00 MiB."
_BROKEN = "Loading lora {adapter} failed: Error while deserializing header: invalid header length"


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One fault in force; see `CATALOGUE` for which kind minds which setting."""

    kind: str
    callers: tuple[str, ...] = ("controller",)
    probability: float = 1.0
    adapters: tuple[str, ...] = ()
    factor: float = 1.0
    status: int = 500
    body: str = ""
    message: str = ""
    after: bool = False

    def __post_init__(self) -> None:
        if self.kind not in CATALOGUE:
            raise ValueError(f"no fault of engines is called {self.kind!r}; there are {', '.join(CATALOGUE)}")
        if not self.callers:
            raise ValueError(f"{self.kind}: no callers; name some of {', '.join(CALLERS)}")
        for caller in self.callers:
            if caller not in CALLERS:
                raise ValueError(f"{self.kind}: {caller!r} is not one of {', '.join(CALLERS)}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"{self.kind}: the probability is {self.probability}; it must be between 0 and 1")
        if not 0 < self.factor < float("inf"):
            raise ValueError(f"{self.kind}: the factor is {self.factor}; it must be above 0")
        if not 400 <= self.status <= 599:
            raise ValueError(f"{self.kind}: the status is {self.status}; it must be between 400 and 599")

    @property
    def is_total(self) -> bool:
        """Whether it hits everybody, whatever is asked, and nothing is left to chance."""
        return set(self.callers) == set(CALLERS) and self.probability == 1 and not self.adapters

    def applies(self, caller: str, path: str, adapter: str) -> bool:
        """Whether this request is one of those that the rule is about, chance aside."""
        if caller not in self.callers:
            return False
        if self.kind == "unauthorized" and not path.startswith("/v1") and path not in CHANGES:
            return False
        if self.kind in ("invalid-adapter", "out-of-memory") and path not in LOADING:
            return False
        return not self.adapters or any(fnmatchcase(adapter, pattern) for pattern in self.adapters)


def caller_of(path: str, agent: str) -> str:
    """Who asks, told by what he asks for, where nobody says so: on a real socket.

    Probes look at the health, or say that they are the kubelet's; traffic wants answers; the rest is for those
    who look after adapters.
    """
    if path in PROBED or agent.startswith("kube-probe/"):
        return "probes"
    return "traffic" if path in GENERATING else "controller"


@dataclass(frozen=True, slots=True)
class FaultEffect:
    """What becomes of one request.

    `refuse`: no connection. `reset`: closed without an answer, `after` the engine has done the work or before
    it starts. `hang`: never answered. `respond`: answered with `response`, the engine unasked. `slow`: answered
    by the engine, in `factor` times the time.
    """

    kind: Literal["refuse", "reset", "hang", "slow", "respond"]
    factor: float = 1.0
    response: Response | None = None
    after: bool = False


class FaultRules:
    """The rules in force at one engine, oldest first."""

    def __init__(self) -> None:
        self.on_change: list[Callable[[], None]] = []
        """Called after each rule that came or went."""
        self._rules: dict[int, FaultRule] = {}
        self._next = 1

    @property
    def rules(self) -> tuple[FaultRule, ...]:
        """Rules in the order in which they were added."""
        return tuple(self._rules.values())

    @property
    def affects_probes(self) -> bool:
        """Whether any rule hits probes, so that whoever probes must ask."""
        return any("probes" in rule.callers for rule in self._rules.values())

    @property
    def probes_are_random(self) -> bool:
        """Whether a probe's outcome is a matter of chance, so that each probe must really be made."""
        return any("probes" in rule.callers and rule.probability < 1 for rule in self._rules.values())

    def add(self, rule: FaultRule) -> int:
        """Put a rule into force; returns the handle that takes it away again."""
        handle = self._next
        self._next += 1
        self._rules[handle] = rule
        self._tell()
        return handle

    def remove(self, handle: int) -> None:
        """Take a rule out of force.

        Raises:
            KeyError: if it is not in force.
        """
        if handle not in self._rules:
            raise KeyError(f"no fault with handle {handle} is in force; it may have been removed already")
        del self._rules[handle]
        self._tell()

    def effect(self, caller: str, path: str, adapter: str, draw: Callable[[], float]) -> FaultEffect | None:
        """What becomes of a request; None if nothing is wrong.

        The first rule that strikes decides, except that slowness adds up with what follows. `draw` gives numbers
        in [0, 1) and is asked only for rules that apply and are chancy, so that other rules don't shift a stream.
        """
        factor = 1.0
        for rule in self._rules.values():
            if not rule.applies(caller, path, adapter) or (rule.probability < 1 and draw() >= rule.probability):
                continue
            if rule.kind != "slow":
                return _effect(rule, path, adapter, factor)
            factor *= rule.factor
        return FaultEffect("slow", factor) if factor != 1.0 else None

    def _tell(self) -> None:
        for callback in list(self.on_change):
            callback()


def _effect(rule: FaultRule, path: str, adapter: str, factor: float) -> FaultEffect:
    match rule.kind:
        case "connection-refused":
            return FaultEffect("refuse", factor)
        case "connection-reset":
            return FaultEffect("reset", factor, after=rule.after)
        case "timeout":
            return FaultEffect("hang", factor)
        case "unauthorized":
            return FaultEffect("respond", factor, unauthorized())
        case "invalid-adapter":
            message = (rule.message or _BROKEN).replace("{adapter}", adapter)
            return FaultEffect("respond", factor, load_error(path, message))
        case "out-of-memory":
            return FaultEffect("respond", factor, load_error(path, NO_MEMORY))
        case _:
            return FaultEffect("respond", factor, _http_error(rule))


def _http_error(rule: FaultRule) -> Response:
    if rule.body:
        kind = "application/json" if rule.body.lstrip().startswith(("{", "[")) else "text/plain; charset=utf-8"
        return Response(rule.status, {"content-type": kind}, rule.body.encode())
    type = "InternalServerError" if rule.status >= 500 else "BadRequestError"
    return error_response(rule.status, type, rule.message or "injected fault")
