"""Interface of an invariant, and the base class of those that are checked for each adapter."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Protocol, get_args

from twin.evaluate.invariants.deadlines import DeadlineTracker
from twin.evaluate.invariants.state import ClusterState
from twin.trace.lines import AdapterLine, ControllerLine, EngineLine, FaultLine, Line, PodLine, RequestLine, SliceLine

Kinds = frozenset[type[Line]]
EVERY_LINE: Kinds = frozenset(get_args(Line))


class Invariant(Protocol):
    """Check of one invariant.

    Attributes:
        kinds: lines that `see` is called with, each after it has been applied to the state. Others do not concern it.
    """

    kinds: ClassVar[Kinds]
    deadlines: DeadlineTracker

    def see(self, line: Line) -> None: ...


class AdapterInvariant(ABC):
    """Base of the invariants of one adapter: the adapter is checked again when a line may concern it."""

    kinds: ClassVar[Kinds] = frozenset(
        {AdapterLine, SliceLine, EngineLine, PodLine, RequestLine, FaultLine, ControllerLine}
    )
    number: ClassVar[int]

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.deadlines = DeadlineTracker(self.number)

    def see(self, line: Line) -> None:
        for adapter in self._concerned(line):
            self._check(adapter, line.t)

    def _concerned(self, line: Line) -> Iterable[str]:  # noqa: ARG002 - a subclass reads it
        return self.state.concerned

    @abstractmethod
    def _check(self, adapter: str, t: float) -> None: ...

    def _check_pods(self, adapter: str, pods: set[str], previous: set[str], what: str, t: float) -> None:
        """Check that each pod has the adapter: within `notice` if the API server shows otherwise, else `audit`."""
        state = self.state
        notice, audit, context = state.detection_bound(t), state.audit_bound(t), (state.index,)
        for pod in sorted(previous | pods):
            lacks = pod in pods and not state.holds(pod, adapter)
            shown = state.pods.get(pod)
            restarted = (
                shown is not None and state.published.get((adapter, pod), shown.line.engine) != shown.line.engine
            )
            visible = lacks and (state.is_unready(pod) or restarted)
            hidden = lacks and not state.is_disturbed(pod)
            message = f"{what} names {pod}, where it is not loaded," if lacks else ""
            self.deadlines.check((adapter, pod, "shown"), visible, t, notice, adapter, message, context)
            self.deadlines.check((adapter, pod, "hidden"), hidden, t, audit, adapter, message, context)
