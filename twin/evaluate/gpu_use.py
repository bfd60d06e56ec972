"""GPU hours that pods hold, from their assignment to a node to their end."""

from collections.abc import Mapping

from twin.trace.lines import PodLine

_HOUR = 3600.0


class GpuUse:
    """Accumulates the pods of a trace; `gpus`: those of one pod, by the name of its workload or of the pod itself."""

    def __init__(self, gpus: Mapping[str, int]) -> None:
        self._gpus = gpus
        self._since: dict[str, tuple[float, int]] = {}
        self._total = 0.0

    def see(self, line: PodLine) -> None:
        """Add a change of a pod."""
        if line.event == "deleted":
            start, gpus = self._since.pop(line.object, (line.t, 0))
            self._total += gpus * (line.t - start)
        elif line.node and line.object not in self._since:
            name = line.workload or line.object.partition("/")[2]
            self._since[line.object] = line.t, self._gpus.get(name, 0)

    def hours(self, end: float) -> float:
        """Return the GPU hours until a time of the trace, in seconds."""
        return (self._total + sum(gpus * (end - start) for start, gpus in self._since.values())) / _HOUR
