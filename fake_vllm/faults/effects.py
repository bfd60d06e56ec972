"""Effects of fault rules on one request.

Rules are added and removed at run time. The transport (the simulated network, the kubelet's probes, `server/asgi.py`)
calls `FaultRules.effect` before the engine gets the request, and applies the effect.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from fake_vllm.faults.metrics_page import with_value
from fake_vllm.faults.rules import ALTERING, FaultRule
from fake_vllm.router import Response, Stream, error_response, load_error, unauthorized
from formats.durations import parse_duration
from formats.errors import FormatError

NO_MEMORY = "CUDA out of memory. Tried to allocate 80.00 MiB."
_BROKEN = "Error while deserializing header: invalid header length"  # safetensors


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
