"""Faults of the network between the engines and their clients."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from twin.scenario.faults.window import LastingFault
from twin.scenario.sections.distributions import Distribution
from twin.scenario.sections.targets import Nodes, Pods
from twin.scenario.units import value_error

Caller = Literal["controller", "traffic"]


class NetworkFault(LastingFault):
    """Base of the network faults: towards some pods, or towards all pods of some nodes. Probes are not affected."""

    on: ClassVar[str] = "network"

    pods: Pods | None = None
    """Pods that are affected."""
    nodes: Nodes | None = None
    """Alternatively: nodes whose pods are affected."""
    callers: Annotated[tuple[Caller, ...], Field(min_length=1)] = ("controller",)
    """Clients whose requests are affected."""

    @model_validator(mode="after")
    def _one_end(self) -> "NetworkFault":
        if (self.pods is None) == (self.nodes is None):
            message = "names both pods and nodes" if self.pods is not None else "names neither pods nor nodes"
            raise value_error(message, "allowed: one of them")
        return self


class Partition(NetworkFault):
    """No packets pass: connections to the engines time out, and outstanding responses do not arrive.

    Only the network between `callers` and the engines is partitioned. The API server stays reachable, and the kubelet's
    probes come from the pod's own node, so the pods stay ready. Packets are retransmitted: a request arrives when the
    partition ends, if its client is still waiting.
    """

    kind: Literal["partition"]


class NetworkLatency(NetworkFault):
    """Requests to the engines are delayed.

    The delay is drawn once for each request and covers both directions. It is added to the network's own latency of
    1 ms. Each pod has its own random stream.
    """

    kind: Literal["latency"]
    extra: Distribution
    """Additional round-trip time of a request."""
