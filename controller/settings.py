"""Settings of the operator, with the defaults of the resource's design. All times are in seconds."""

from dataclasses import dataclass, field
from typing import Literal

from controller.backoff import Backoff

Switch = Literal["exhausted", "eager"]
"""When another pod takes the place of one that fails: after its last retry, or as soon as it fails."""
Measure = Literal["adapters", "requests"]
"""Load that rebalancing makes even."""


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Leader election; the defaults are those of client-go (15, 10 and 2 seconds).

    Attributes:
        duration: time after which other replicas may take a Lease that was not renewed.
        renew: time without a successful renewal after which the leader gives up.
        retry: delay between attempts to acquire or renew the Lease.
    """

    duration: float = 15.0
    renew: float = 10.0
    retry: float = 2.0


@dataclass(frozen=True, slots=True)
class RebalanceSettings:
    """Moves of replicas from pods with many adapters, or much load, to others.

    Attributes:
        algorithm: `none`, or the name of an algorithm that plans the moves.
        by: `adapters` makes the numbers of adapters even; `requests` the requests in flight, by engines' metrics.
        tolerance: share of the even load by which a pod may differ from it.
        interval: time between plans while there is nothing to move.
        max_concurrent: moves under way at once.
        max_per_minute: moves begun within a minute.
    """

    algorithm: str = "none"
    by: Measure = "adapters"
    tolerance: float = 0.1
    interval: float = 30.0
    max_concurrent: int = 2
    max_per_minute: int = 10

    @property
    def by_requests(self) -> bool:
        """True if engines' metrics are needed."""
        return self.algorithm != "none" and self.by == "requests"


@dataclass(frozen=True, slots=True)
class ActivatorSettings:
    """The activator, which holds requests for adapters that are loaded on demand.

    Attributes:
        ip: address at which clients reach it, published in EndpointSlices.
        port: its port.
        timeout: time for which it holds a request while the adapter is loaded.
    """

    ip: str
    port: int
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one operator.

    Attributes:
        policy: placement policy of adapters whose `schedulerName` is `default`.
        policies: further policies that a `schedulerName` may name, as `module:Class`.
        scrape_interval: time between reads of an engine's metrics, while a policy in use or autoscaling needs them.
        autoscaling_budget: replicas above their minimum that all adapters with autoscaling may have in total; 0 sets no
            limit.
        rebalance: moves of replicas that are placed.
        activator: None if this operator has no activator.
        backoff: delays between attempts to load an adapter on one pod.
        retry_switch: `exhausted` waits for the last retry on a pod; `eager` moves to a healthy candidate at once.
        stable_for: time that a pod must have been Ready before a new load (seed document, "Stability requirements").
        unready_grace: time that a replica on an unready pod is kept before another pod is chosen.
        pod_cooldown: time that a pod is not used for an adapter after its last retry failed, or after a final error.
        max_concurrent_reconciles: number of workers.
        max_requests_per_pod: loads and unloads in flight on one engine.
        audit_interval: time between checks of the adapters that an engine lists.
        list_timeout: timeout of a request for an engine's list of adapters.
        load_timeout: timeout of a load without `additionalConfig.timeout`.
        graceful_shutdown_timeout: time for requests in flight at a stop (a pod has 30 seconds until it is killed).
        sync_period: time between full resyncs; 0 disables them (10 h: controller-runtime's `SyncPeriod`).
        enable_runtime_sidecar: send requests through the runtime sidecar of pods that have one.
        elect: act only while holding the Lease.
        lease: timing of leader election.
        namespace: namespace of the Lease.
    """

    policy: str = "default"
    policies: tuple[str, ...] = ()
    scrape_interval: float = 15.0
    autoscaling_budget: int = 0
    rebalance: RebalanceSettings = field(default_factory=RebalanceSettings)
    activator: ActivatorSettings | None = None
    backoff: Backoff = field(default_factory=Backoff)
    retry_switch: Switch = "exhausted"
    stable_for: float = 5.0
    unready_grace: float = 0.0
    pod_cooldown: float = 300.0
    max_concurrent_reconciles: int = 16
    max_requests_per_pod: int = 2
    audit_interval: float = 60.0
    list_timeout: float = 30.0
    load_timeout: float = 300.0
    graceful_shutdown_timeout: float = 10.0
    sync_period: float = 36000.0
    enable_runtime_sidecar: bool = True
    elect: bool = False
    lease: LeaseSettings = field(default_factory=LeaseSettings)
    namespace: str = "default"
