"""Faults of pods and nodes."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from twin.scenario.faults.window import InstantFault, LastingFault
from twin.scenario.sections.images import RegistryHost
from twin.scenario.sections.targets import Nodes, Pods
from twin.scenario.units import PositiveDuration


class ReadinessFlap(LastingFault):
    """Pods alternate between unready and ready; their engines keep working.

    Readiness is forced to false for `unready_for`, then follows the probe for `ready_for`, starting unready. Engines
    and adapters are not affected, so moving an adapter to another pod gains nothing.
    """

    on: ClassVar[str] = "pods"

    kind: Literal["readiness-flap"]
    pods: Pods
    """Pods that are affected."""
    ready_for: PositiveDuration = 8.0
    """Length of each ready phase."""
    unready_for: PositiveDuration = 4.0
    """Length of each unready phase; the fault starts with one."""


class NodeDown(LastingFault):
    """Nodes lose power: kubelet and engines stop without notice.

    Connections get no response, and pod statuses stay unchanged for the node controller's grace period (50 s). Then the
    node's pods are marked unready; after their toleration (300 s) they are deleted and stay Terminating until the node
    is back. When the fault ends the node boots, and its pods restart with new addresses.
    """

    on: ClassVar[str] = "nodes"

    kind: Literal["node-down"]
    nodes: Nodes
    """Nodes that are affected."""


class PodKill(InstantFault):
    """Pods are deleted immediately; their workload creates new ones.

    As `kubectl delete pod --force --grace-period=0`: object, engine and address disappear at the same time, and
    requests in progress are aborted.
    """

    kind: Literal["pod-kill"]
    pods: Pods
    """Pods that are deleted."""


class Rollout(InstantFault):
    """A Deployment, StatefulSet or DaemonSet is restarted, as by `kubectl rollout restart`.

    Pods are replaced as maxSurge and maxUnavailable allow, those of a StatefulSet one by one from the last to the
    first; old pods terminate with their grace period.
    """

    kind: Literal["rollout"]
    deployment: Annotated[str, Field(min_length=1)]
    """Name of the Deployment, StatefulSet or DaemonSet."""


class PodStuckTerminating(InstantFault):
    """Pods are deleted but stay Terminating, and their engines keep serving.

    The containers ignore SIGTERM, as with a hung mount: the pod has a deletion timestamp but stays Ready, and its
    engine keeps responding. The Deployment creates a replacement at once. The pod disappears after `duration`, or
    earlier by `kubectl delete --force` or the fault `pod-kill`.
    """

    on: ClassVar[str] = "pods"

    kind: Literal["pod-stuck-terminating"]
    pods: Pods
    """Pods that are deleted."""
    duration: PositiveDuration = 300.0
    """Time until the pods disappear."""


class NodeLost(LastingFault):
    """The kubelets of nodes do not reach the API server; their containers run on and answer.

    After the node controller's grace period (50 s) the node is NotReady with the taint `unreachable`, and its pods are
    marked unready. After their toleration (300 s) they are deleted, but no kubelet ends them: they stay Terminating,
    and their engines keep serving until the node is back. Nodes of a zone are tainted ten seconds apart, and not at all
    while most nodes of a small zone, or all of the cluster, are lost.
    """

    on: ClassVar[str] = "nodes"

    kind: Literal["node-lost"]
    nodes: Nodes
    """Nodes that are lost."""


class NodeNotReady(LastingFault):
    """Kubelets report their nodes as not ready, as when a network plugin fails; containers run on and answer.

    New pods avoid the node at once (taint `not-ready`). Its pods stay Ready, so that requests still reach them, until
    their toleration (300 s) ends: then they are evicted with their grace period.
    """

    on: ClassVar[str] = "nodes"

    kind: Literal["node-not-ready"]
    nodes: Nodes
    """Nodes that are not ready."""


class ImageRegistryDown(LastingFault):
    """Registries of container images do not respond: pods whose image is not on their node do not start.

    Their containers wait with ErrImagePull and ImagePullBackOff, and the kubelet tries again after 10 s, doubling up to
    five minutes. Images are on every node unless `cluster.images.pull` is set; only the policy `Always` needs the
    registry then.
    """

    on: ClassVar[str] = "images"

    kind: Literal["image-registry-down"]
    registries: tuple[RegistryHost, ...] = ()
    """Hosts of registries; that of Docker Hub is `docker.io`. All if absent."""


class NodeDrain(LastingFault):
    """Nodes are drained, as by `kubectl drain`, and uncordoned when the fault ends.

    The node is cordoned, and all of its pods except those of DaemonSets are evicted with their grace period, as their
    disruption budgets allow: others are tried again every five seconds until the fault ends. Replacement pods that fit
    on no other node stay Pending.
    """

    on: ClassVar[str] = "nodes"

    kind: Literal["node-drain"]
    nodes: Nodes
    """Nodes that are drained."""
