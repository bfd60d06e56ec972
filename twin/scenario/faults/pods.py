"""Faults of pods and of the nodes that they run on."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from twin.scenario.faults.window import InstantFault, LastingFault
from twin.scenario.sections.targets import Nodes, Pods
from twin.scenario.units import PositiveDuration


class ReadinessFlap(LastingFault):
    """Pods turn unready and ready again, in turns; their engines work on.

    Readiness fails by force while it is down, and is the probe's own again while it is up. Engines and adapters are not
    touched, so whatever is moved meanwhile is moved for nothing. Each pod begins with being down.
    """

    on: ClassVar[str] = "pods"

    kind: Literal["readiness-flap"]
    pods: Pods
    """Which pods flap."""
    up: PositiveDuration = 8.0
    """How long they are ready."""
    down: PositiveDuration = 4.0
    """How long they are not; each turn begins with this."""


class NodeDown(LastingFault):
    """Nodes lose power: kubelet and engines are gone, and nobody says so.

    Nothing is reported: connections get no answer, statuses stay as they were until the node controller's grace period
    (40 s) is over. Then the node's pods are marked unready, and after their toleration (300 s) they are deleted, and
    stay terminating until the node is back. When it ends the node boots, and its pods start anew with new addresses.
    """

    on: ClassVar[str] = "nodes"

    kind: Literal["node-down"]
    nodes: Nodes
    """Which nodes."""


class PodKill(InstantFault):
    """Pods are gone at once; their Deployment makes others.

    As `kubectl delete pod --force --grace-period=0`: object, engine and address are gone in the same moment. Nobody
    drains, and requests under way break off.
    """

    kind: Literal["pod-kill"]
    pods: Pods
    """Which pods."""


class Rollout(InstantFault):
    """A Deployment is rolled out anew, as by `kubectl rollout restart`.

    New pods come as maxSurge and maxUnavailable allow, old ones go with their grace period.
    """

    kind: Literal["rollout"]
    deployment: Annotated[str, Field(min_length=1)]
    """Its name."""


class PodStuckTerminating(InstantFault):
    """Pods are deleted and do not go: they stay terminating, and their engines answer on.

    The containers ignore SIGTERM, as with a hung mount or a process that cannot be killed: the pod stays Ready in its
    status while it has a deletion timestamp, and its engine goes on to answer. Its Deployment makes another pod at
    once. When the time is over, the pod goes. `kubectl delete --force`, or the fault `pod-kill`, ends it sooner.
    """

    on: ClassVar[str] = "pods"

    kind: Literal["pod-stuck-terminating"]
    pods: Pods
    """Which pods."""
    lasts: PositiveDuration = 300.0
    """How long until they are gone."""


class NodeDrain(LastingFault):
    """Nodes are drained as by `kubectl drain`: no new pods, and theirs are evicted; in use again when it ends.

    The node is cordoned and all of its pods are deleted with their grace period, all at once: disruption budgets are
    not simulated. What has no room elsewhere stays Pending. When it ends the node is uncordoned.
    """

    on: ClassVar[str] = "nodes"

    kind: Literal["node-drain"]
    nodes: Nodes
    """Which nodes."""
