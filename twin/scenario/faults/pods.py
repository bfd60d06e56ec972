"""Faults of pods and of the nodes that they run on."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from twin.scenario.faults.timing import Moment, Spell
from twin.scenario.quantities import PositiveDuration
from twin.scenario.targets import Nodes, Pods


class ReadinessFlap(Spell):
    """Pods turn unready and ready again, in turns; their engines work on."""

    on: ClassVar[str] = "pods"

    kind: Literal["readiness-flap"]
    pods: Pods
    """Which pods flap."""
    up: PositiveDuration = 8.0
    """How long they are ready."""
    down: PositiveDuration = 4.0
    """How long they are not; each turn begins with this."""


class NodeDown(Spell):
    """Nodes lose power: kubelet and engines are gone, and nobody says so."""

    on: ClassVar[str] = "nodes"

    kind: Literal["node-down"]
    nodes: Nodes
    """Which nodes."""


class PodKill(Moment):
    """Pods are gone at once; their Deployment makes others."""

    kind: Literal["pod-kill"]
    pods: Pods
    """Which pods."""


class Rollout(Moment):
    """A Deployment is rolled out anew, as by `kubectl rollout restart`."""

    kind: Literal["rollout"]
    deployment: Annotated[str, Field(min_length=1)]
    """Its name."""


class PodStuckTerminating(Moment):
    """Pods are deleted and do not go: they stay terminating, and their engines answer on."""

    on: ClassVar[str] = "pods"

    kind: Literal["pod-stuck-terminating"]
    pods: Pods
    """Which pods."""
    lasts: PositiveDuration = 300.0
    """How long until they are gone."""


class NodeDrain(Spell):
    """Nodes are drained as by `kubectl drain`: no new pods, and theirs are evicted; in use again when it ends."""

    on: ClassVar[str] = "nodes"

    kind: Literal["node-drain"]
    nodes: Nodes
    """Which nodes."""
