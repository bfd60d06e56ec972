"""Record of adapters on demand: requests that an activator holds, and the last use of an adapter that becomes idle."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from twin.apiserver import Change, Store
from twin.trace.lines import HeldLine, IdleLine
from twin.trace.recorder import Recorder

ADAPTERS = "modeladapters.model.aibrix.ai"
_IDLE_SECONDS = 600.0
"""Default of `spec.activation.idleSeconds`."""


@dataclass(slots=True)
class _Use:
    """Requests for one adapter that engines have received."""

    idle: bool = False
    """True while its phase is Idle."""
    started: dict[int, float] = field(default_factory=dict)
    """Times at which those in progress were sent, by number."""
    last: tuple[float, float] | None = None
    """Start and end of the request that has ended last."""


class OnDemandRecord:
    """Follows the adapters on demand in a store."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._recorder = recorder
        self._uses: dict[str, _Use] = {}
        self._numbers = 0
        store.subscribe(self._changed, ADAPTERS)

    @contextmanager
    def using(self, adapter: str) -> Iterator[None]:
        """Note a request that is sent to an engine, until it has ended."""
        use = self._uses.get(adapter)
        if use is None:
            yield
            return
        number, start = self._number(), self._recorder.now()
        use.started[number] = start
        try:
            yield
        finally:
            del use.started[number]
            use.last = start, self._recorder.now()

    def held(self, adapter: str) -> int:
        """Record that an activator has got a request; return its number."""
        number = self._number()
        self._recorder.emit(HeldLine(t=self._recorder.now(), object=adapter, id=number, event="held"))
        return number

    def released(self, adapter: str, number: int, waited: float, cause: str) -> None:
        """Record that an activator has passed a request on, or why not."""
        line = HeldLine(
            t=self._recorder.now(), object=adapter, id=number, event="released", seconds=round(waited, 6), cause=cause
        )
        self._recorder.emit(line)

    def answered(self, adapter: str, number: int, first_token: float) -> None:
        """Record the time to the first token of a request that was held."""
        line = HeldLine(
            t=self._recorder.now(), object=adapter, id=number, event="answered", seconds=round(first_token, 6)
        )
        self._recorder.emit(line)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _changed(self, change: Change) -> None:
        obj = change.object
        meta, activation = obj["metadata"], obj["spec"].get("activation") or {}
        key = f"{meta['namespace']}/{meta['name']}"
        if change.type == "DELETED" or activation.get("mode") != "OnDemand":
            self._uses.pop(key, None)
            return
        use = self._uses.setdefault(key, _Use())
        before, use.idle = use.idle, (obj.get("status") or {}).get("phase") == "Idle"
        if use.idle and not before and (use.last is not None or use.started):
            self._recorder.emit(self._idle_line(key, use, obj["spec"], activation.get("idleSeconds", _IDLE_SECONDS)))

    def _idle_line(self, key: str, use: _Use, spec: dict[str, object], idle_seconds: float) -> IdleLine:
        started, ended = use.last if use.last is not None else (None, None)
        return IdleLine(
            t=self._recorder.now(),
            object=key,
            idle_seconds=idle_seconds,
            in_progress_since=min(use.started.values(), default=None),
            last_started=started,
            last_ended=ended,
            pinned=bool(spec.get("pinned")),
        )
