"""Record of the weights that make users' answers: a line for each change, and one a minute while answers go on."""

from twin.trace.lines import AnswerLine
from twin.trace.recorder import Recorder
from twin.world.network.engine_host import EngineHost

INTERVAL = 60.0
"""Seconds between two lines of the same adapter, pod and weights."""


class WeightsRecord:
    """Weights of the last recorded answer, by adapter and pod."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._last: dict[tuple[str, str], tuple[float, str, str, str]] = {}

    def see(self, adapter: str, host: EngineHost | None, sent: float, weights: str, prefix_weights: str) -> None:
        """Record an answer that has arrived.

        Args:
            adapter: `namespace/name`.
            host: the pod that answered.
            sent: time at which the request was sent, in seconds since the start of the run.
            weights: digest of the weights.
            prefix_weights: digest of the weights that made the blocks in the prefix cache; empty without any.
        """
        if host is None:
            return
        place = adapter, host.pod
        now, last = self._recorder.now(), self._last.get(place)
        if (
            last is not None
            and last[1:] == (host.container_id, weights, prefix_weights or weights)
            and now - last[0] < INTERVAL
        ):
            return
        self._last[place] = now, host.container_id, weights, prefix_weights or weights
        self._recorder.emit(
            AnswerLine(
                t=now,
                object=adapter,
                pod=host.pod,
                engine=host.container_id,
                sent=round(sent, 6),
                weights=weights,
                prefix_weights=prefix_weights,
            )
        )
