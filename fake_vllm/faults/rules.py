"""Faults of an engine's requests: rules, and the effect of the rules on one request.

Rules are added and removed at run time. The transport (the simulated network, the kubelet's probes, `server/asgi.py`)
calls `FaultRules.effect` before the engine gets the request, and applies the effect. Faults of the engine itself, such
as a restart, are not here: the server or the simulated container carries them out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from types import MappingProxyType
from typing import Literal

from fake_vllm.faults.metrics_page import METRICS, with_value
from fake_vllm.router import (
    CHANGES,
    GENERATING,
    LOADING,
    PROBED,
    Response,
    Stream,
    error_response,
    load_error,
    unauthorized,
)
from formats.durations import parse_duration
from formats.errors import FormatError

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
CATALOGUE: Mapping[str, FaultKind] = MappingProxyType({kind.name: kind for kind in _KINDS})

NO_MEMORY = "CUDA out of memory. Tried to allocate 80.00 MiB."
_BROKEN = "Error while deserializing header: invalid header length"  # safetensors


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
        if self.kind in ALTERING and path != METRICS:
            return False
        return not self.adapters or any(fnmatchcase(adapter, pattern) for pattern in self.adapters)


def caller_of(path: str, agent: str) -> str:
    """Return the caller of a request on a real socket, derived from its path and its user agent.

    Health routes and the kubelet's user agent are `probes`, generating routes are `traffic`, all others `controller`.
    """
    if path in PROBED or agent.startswith("kube-probe/"):
        return "probes"
    return "traffic" if path in GENERATING else "controller"


@dataclass(frozen=True, slots=True)
class FaultEffect:
    """Effect of the faults on one request.

    `refuse`: no connection. `reset`: closed without a response, before the engine starts or `after` its work. `hang`:
    no response. `respond`: `response`, without the engine. `slow`: the engine responds, in `factor` times the time.
    `alter`: the engine responds, and `alter` returns the response to send instead.
    """

    kind: Literal["refuse", "reset", "hang", "slow", "respond", "alter"]
    factor: float = 1.0
    response: Response | None = None
    after: bool = False
    alter: Callable[[Response], Response] | None = None

    def altered(self, response: Response | Stream) -> Response | Stream:
        """Return the response to send."""
        return response if self.alter is None or isinstance(response, Stream) else self.alter(response)


class FaultRules:
    """Active rules of one engine, oldest first."""

    def __init__(self) -> None:
        self.on_change: list[Callable[[], None]] = []
        """Called after a rule was added or removed."""
        self._rules: dict[int, FaultRule] = {}
        self._stale: dict[int, Response] = {}
        """Pages that stale metrics repeat, by handle."""
        self._next = 1

    @property
    def rules(self) -> tuple[FaultRule, ...]:
        """Rules in the order in which they were added."""
        return tuple(self._rules.values())

    @property
    def affects_probes(self) -> bool:
        """True if a rule applies to probes, so a probe has to evaluate the rules."""
        return any("probes" in rule.callers for rule in self._rules.values())

    @property
    def probes_are_random(self) -> bool:
        """True if the result of a probe is random, so each probe has to be made."""
        return any("probes" in rule.callers and rule.probability < 1 for rule in self._rules.values())

    def add(self, rule: FaultRule) -> int:
        """Add a rule; return the handle to remove it."""
        handle = self._next
        self._next += 1
        self._rules[handle] = rule
        self._notify()
        return handle

    def remove(self, handle: int) -> None:
        """Remove a rule.

        Raises:
            KeyError: if there is no rule with this handle.
        """
        if handle not in self._rules:
            raise KeyError(f"no active fault has handle {handle}; it may have been removed already")
        del self._rules[handle]
        self._stale.pop(handle, None)
        self._notify()

    def effect(self, caller: str, path: str, adapter: str, draw: Callable[[], float]) -> FaultEffect | None:
        """Return the effect on a request, None if no rule applies.

        The first rule that applies decides, except that `slow` is combined with what follows. `draw` returns numbers in
        [0, 1); it is called only for rules that apply and have a probability, so other rules do not shift the stream.
        """
        factor = 1.0
        for handle, rule in self._rules.items():
            if not rule.applies(caller, path, adapter) or (rule.probability < 1 and draw() >= rule.probability):
                continue
            if rule.kind in ALTERING:
                return FaultEffect("alter", factor, alter=partial(self._alter, handle, rule))
            if rule.kind != "slow":
                return _effect(rule, path, adapter, factor)
            factor *= rule.factor
        return FaultEffect("slow", factor) if factor != 1.0 else None

    def _alter(self, handle: int, rule: FaultRule, response: Response) -> Response:
        if rule.kind == "metrics-wrong":
            return with_value(response, rule.value)
        return self._stale.setdefault(handle, response)

    def _notify(self) -> None:
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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and text.strip() == text


def _http_error(rule: FaultRule) -> Response:
    if rule.body:
        kind = "application/json" if rule.body.lstrip().startswith(("{", "[")) else "text/plain; charset=utf-8"
        response = Response(rule.status, {"content-type": kind}, rule.body.encode())
    else:
        type = "InternalServerError" if rule.status >= 500 else "BadRequestError"
        response = error_response(rule.status, type, rule.message or "injected fault")
    if not rule.retry_after:
        return response
    headers = {**response.headers, "retry-after": _retry_after(rule.retry_after)}
    return Response(response.status, headers, response.body)


def _retry_after(text: str) -> str:
    """Return the header's value: the seconds of a duration, any other text as it is (a date, `inf`)."""
    try:
        return f"{parse_duration(text):.0f}"
    except FormatError:
        return text
