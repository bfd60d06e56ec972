"""Faults of the way between the controller and the engines."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from twin.scenario.faults.window import LastingFault
from twin.scenario.sections.distributions import Distribution
from twin.scenario.sections.targets import Nodes, Pods
from twin.scenario.units import value_error

Caller = Literal["controller", "traffic"]


class NetworkFault(LastingFault):
    """One of the way to some pods, or to all that are on some nodes. Probes come from a pod's own node."""

    on: ClassVar[str] = "network"

    pods: Pods | None = None
    """To which pods."""
    nodes: Nodes | None = None
    """Or: to all pods on which nodes."""
    hits: Annotated[tuple[Caller, ...], Field(min_length=1)] = ("controller",)
    """Whose requests."""

    @model_validator(mode="after")
    def _one_end(self) -> "NetworkFault":
        if (self.pods is None) == (self.nodes is None):
            said = "names both pods and nodes" if self.pods is not None else "names neither pods nor nodes"
            raise value_error(said, "allowed: one of them")
        return self


class Partition(NetworkFault):
    """Nothing gets through: connections to the engines time out, and answers under way never come.

    Only the way between the callers in `hits` and the engines is cut: the API server is reached as ever, the kubelet's
    probes come from the pod's own node, and so everything looks ready. What is sent waits, as packets that are sent
    again: it gets through when the partition ends, if the caller still waits then.
    """

    kind: Literal["partition"]


class NetworkLatency(NetworkFault):
    """Requests to the engines and their answers are late.

    Drawn for each request. It comes on top of the network's own millisecond and is paid once a request, there and back
    together. Each pod's delays come from a stream of their own.
    """

    kind: Literal["latency"]
    extra: Distribution
    """How much longer a request and its answer are under way."""
