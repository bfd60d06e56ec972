"""The operator's settings by the names that users know, with the defaults of the resource's design."""

from dataclasses import dataclass, field

from controller.backoff import Backoff


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Leader election, in seconds; the defaults are those of client-go's own users (15, 10, 2)."""

    duration: float = 15.0
    renew: float = 10.0
    """Give up leading when this long no renewal succeeded."""
    retry: float = 2.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All times in seconds."""

    policy: str = "default"
    """For adapters whose `schedulerName` is `default`."""
    policies: tuple[str, ...] = ()
    """Further ones that a `schedulerName` may name, as `module:Class`."""
    scrape_interval: float = 15.0
    """How often engines' metrics are read, while a policy in use needs them."""
    backoff: Backoff = field(default_factory=Backoff)
    stable_for: float = 5.0
    """How long a pod must have been Ready before a new load (seed document, "Stability requirements")."""
    unready_grace: float = 0.0
    """How long a replica on an unready pod is kept before another pod takes its place."""
    pod_cooldown: float = 300.0
    """How long a pod is left aside for an adapter after its last retry, and a final error is taken as such."""
    max_concurrent_reconciles: int = 16
    max_requests_per_pod: int = 2
    """Loads and unloads under way on one engine."""
    audit_interval: float = 60.0
    list_timeout: float = 30.0
    load_timeout: float = 300.0
    graceful_shutdown_timeout: float = 10.0
    """How long a replica that is told to stop waits for what is under way (a pod has 30 until it is killed)."""
    sync_period: float = 36000.0
    """How often every adapter is looked at without cause; 0 is never (10 h: controller-runtime's `SyncPeriod`)."""
    enable_runtime_sidecar: bool = True
    """Whether pods that have the runtime sidecar are spoken to through it."""
    elect: bool = False
    """Whether to act only as the holder of a Lease."""
    lease: LeaseSettings = field(default_factory=LeaseSettings)
    namespace: str = "default"
    """Where the Lease is."""
