"""Invariant 10: answers come from the weights of the artifact that is published."""

from collections import defaultdict
from dataclasses import dataclass
from math import inf
from typing import ClassVar

from controller.api.spec import artifact_of, lora_path
from twin.evaluate.invariants.base import Kinds
from twin.evaluate.invariants.deadlines import TOLERANCE, DeadlineTracker
from twin.evaluate.invariants.state import ClusterState
from twin.trace.lines import AdapterLine, AnswerLine, ControllerLine, EngineLine, EventLine, Line, RequestLine

_COMPLETE = ("False", "Complete")
"""Condition `Progressing` of an adapter whose replicas all serve the artifact in its spec."""


@dataclass(slots=True)
class _Loaded:
    """An artifact that an engine listed under an adapter's name, from one time until another."""

    artifact: str
    since: float
    until: float = inf


class AnswersFromPublishedWeights:
    """10. No answer comes from other weights than those that the ModelAdapter published at that address names.

    An answer has to come from an artifact that the engine listed under the adapter's name at some time between
    request and answer, so a request that began before an unload may still get the former weights. Blocks of the
    prefix cache have to be those weights' own; where an engine cannot drop former ones, the operator has to say so
    in an Event, `StalePrefixCache`. An Event is best effort: one of a leader that ends during its load may be lost.
    Once Progressing has been false with the reason Complete for longer than the notice bound, requests have to be
    answered from the artifact in the spec. A new artifact that cannot be loaded leaves the former one serving; the
    reason is another one then.
    """

    kinds: ClassVar[Kinds] = frozenset({EngineLine, AdapterLine, EventLine, AnswerLine, RequestLine, ControllerLine})

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.deadlines = DeadlineTracker(10)
        self._loaded: dict[tuple[str, str], list[_Loaded]] = defaultdict(list)
        self._settled: dict[str, tuple[str, float]] = {}
        """Adapter to the artifact of its spec, and since when the status says that it is complete."""
        self._excused: set[tuple[str, str]] = set()
        self._sent: dict[tuple[str, str], tuple[str, float]] = {}
        """Place to the replica that sent the last load there, and its time in seconds."""

    def see(self, line: Line) -> None:
        match line:
            case EngineLine():
                self._engine(line)
            case AdapterLine():
                self._adapter(line)
            case EventLine(reason="StalePrefixCache"):
                namespace = line.object.split("/")[0]
                pods = [pod for pod in self.state.about if pod.startswith(f"{namespace}/")]
                for pod in pods:
                    if f"pod {pod.split('/')[1]} " in line.note:
                        self._excused.add((line.object, pod))
                        self._check_prefixes((line.object, pod), line.t, "")
            case RequestLine(event="sent", verb="load"):
                self._sent[f"{line.object.split('/')[0]}/{line.adapter}", line.object] = line.by, line.t
            case ControllerLine() if line.event not in ("started", "leading"):
                bound = self.state.detection_bound(line.t)
                self._excused |= {
                    place for place, (by, t) in self._sent.items() if by == line.by and line.t - t <= bound
                }
            case AnswerLine():
                self.deadlines.checked += 1
                if fault := self._fault(line):
                    message = f"{line.pod} answered from {fault}"
                    self.deadlines.violate(line.t, line.object, message, (self.state.index,))
                foreign = line.prefix_weights if line.prefix_weights != line.weights else ""
                self._check_prefixes((line.object, line.pod), line.t, foreign)

    def _check_prefixes(self, place: tuple[str, str], t: float, foreign: str) -> None:
        """Check the prefixes of the last answer; the Event for them may come within the notice bound."""
        wrong = bool(foreign) and place not in self._excused
        message = f"{place[1]} answers with cached prefixes of {foreign}"
        self.deadlines.check(place, wrong, t, self.state.detection_bound(t), place[0], message, (self.state.index,))

    def _engine(self, line: EngineLine) -> None:
        if line.event in ("started", "stopped"):
            for place in [place for place in self._loaded if place[1] == line.object]:
                self._end(place, line.t)
                self._excused.discard(place)
                self._check_prefixes(place, line.t, "")
            return
        place = f"{line.object.split('/')[0]}/{line.adapter}", line.object
        self._end(place, line.t)
        if line.event == "loaded":
            self._loaded[place].append(_Loaded(line.digest or artifact_of(line.root), line.t))

    def _end(self, place: tuple[str, str], t: float) -> None:
        for loaded in self._loaded[place]:
            loaded.until = min(loaded.until, t)

    def _adapter(self, line: AdapterLine) -> None:
        artifact = line.digest or artifact_of(lora_path(line.artifact))
        settled = line.conditions.get("Progressing") == _COMPLETE
        current = self._settled.get(line.object)
        if line.event == "deleted" or line.deleting or not settled:
            self._settled.pop(line.object, None)
        elif current is None or current[0] != artifact:
            self._settled[line.object] = artifact, line.t

    def _fault(self, line: AnswerLine) -> str:
        """Return what is wrong with the weights of an answer; empty if they are right."""
        state, place = self.state, (line.object, line.pod)
        listed = {
            loaded.artifact
            for loaded in self._loaded[place]
            if loaded.until >= line.sent - TOLERANCE and loaded.since <= line.t + TOLERANCE
        }
        if line.weights not in listed:
            return f"weights {line.weights}, while the engine listed {' and '.join(sorted(listed)) or 'none'}"
        artifact, since = self._settled.get(line.object, (line.weights, line.t))
        if (
            line.weights != artifact
            and line.sent > since
            and state.visible_for(since, line.sent) > state.detection_bound(line.sent)
        ):
            return f"weights {line.weights}, though it says that it serves {artifact}"
        return ""
