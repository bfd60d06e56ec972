"""Present faults of the API server, as the controller's replicas see them.

`twin/faults` adds and removes them; `StoreClient` consults them for each request, watch and change. The store itself,
and so all other parts of the cluster, are not affected.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import simpy

from twin.apiserver import ApiError, Change, Store
from twin.apiserver.meta.errors import STALE, conflict, expired
from twin.apiserver.storage.watch import Watch
from twin.world.api_refusals import Refusal, RefusedRequest

Undo = Callable[[], object]


@dataclass(frozen=True, slots=True)
class ApiRule:
    """A fault that answers requests with an error. Empty `verbs` or `resources` (plurals) match all."""

    code: int
    probability: float
    rng: np.random.Generator
    verbs: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    retry_after: float | None = None
    after: bool = False
    """True if a write is carried out before the error is sent."""
    refusal: Refusal | None = None
    """Makes the error of a request that is refused by rule."""

    def matches(self, verb: str, resource: str) -> bool:
        """Return True if the fault applies to this request; draws a random number only if it might."""
        if (self.verbs and verb not in self.verbs) or (self.resources and resource not in self.resources):
            return False
        return self.probability >= 1 or self.rng.random() < self.probability

    def error(self, request: RefusedRequest) -> ApiError:
        """Return the server's error."""
        if self.refusal is not None:
            return self.refusal.error(request)
        if self.code == 409:
            return conflict(request.plural, request.group, request.name, STALE)
        if self.code == 429:
            message = "the server has received too many requests and has asked us to try again later"
            return ApiError(429, "TooManyRequests", message, retry_after=self.retry_after)
        reason = {500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}.get(self.code, "InternalError")
        return ApiError(self.code, reason, "etcdserver: request timed out")


class ApiFaults:
    """All active faults of the API server, by their index in the scenario."""

    def __init__(self, env: simpy.Environment, store: Store) -> None:
        self._env = env
        self._store = store
        self._rules: dict[int, ApiRule] = {}
        self._factors: dict[int, float] = {}
        self._lags: dict[int, tuple[float, float]] = {}
        self._frozen: dict[int, float] = {}
        self._watch_unavailable: set[int] = set()
        self._floor = 0
        self._leases: dict[str, simpy.Event] = {}
        self._watches: dict[Watch, None] = {}
        self._times: list[float] = []
        self._revisions: list[int] = []

    # -- called by faults

    def add(self, fault: int, rule: ApiRule) -> Undo:
        """Activate a rule; return the function that deactivates it."""
        self._rules[fault] = rule
        return partial(self._rules.pop, fault, None)

    def slow_down(self, fault: int, factor: float) -> Undo:
        """Multiply the duration of all requests by `factor`; return the function that ends that."""
        self._factors[fault] = factor
        return partial(self._factors.pop, fault, None)

    def lag(self, fault: int, seconds: float, until: float) -> Undo:
        """Make lists and watches lag by `seconds` until time `until`; requires `keep_history` at the start."""
        self._lags[fault] = (seconds, until)
        return partial(self._lags.pop, fault, None)

    def break_watches(self, fault: int) -> Undo:
        """Break all open watches and refuse new ones; return the function that ends that."""
        self._watch_unavailable.add(fault)
        self._fail_watches(self.connection_lost())
        return partial(self._watch_unavailable.discard, fault)

    def freeze_watches(self, fault: int, until: float) -> Undo:
        """Keep all watches silent until time `until`; return the function that ends that."""
        self._frozen[fault] = until
        return partial(self._frozen.pop, fault, None)

    def roll_back_versions(self) -> None:
        """Give all objects new and lower versions, and break all open watches."""
        self._store.restart_versions()
        self._floor = 0
        if self._times:
            self._times, self._revisions = [self._env.now], [int(self._store.resource_version)]
        self._fail_watches(self.connection_lost())

    def expire_watches(self) -> None:
        """End open watches with 410, and refuse new ones from a resource version before the present one."""
        self._floor = int(self._store.resource_version)
        self._fail_watches(self.version_expired())

    def drop_lease_responses(self, replica: str) -> Undo:
        """Drop all responses about Leases to a replica; return the function that ends that."""
        ended = self._leases.setdefault(replica, self._env.event())

        def end() -> None:
            if self._leases.pop(replica, None) is not None:
                ended.succeed()

        return end

    def keep_history(self) -> None:
        """Record from now on when the store reached which revision."""
        self._times, self._revisions = [self._env.now], [int(self._store.resource_version)]
        self._store.subscribe(self._note)

    # -- called by clients

    @property
    def factor(self) -> float:
        """Factor by which requests are slower."""
        return float(np.prod(list(self._factors.values()))) if self._factors else 1.0

    @property
    def watch_unavailable(self) -> bool:
        """True if no watch can be opened."""
        return bool(self._watch_unavailable)

    def watch_expired(self, version: str) -> bool:
        """Return True if a watch from that resource version is refused. A lagging cache still has what it shows."""
        return not self._lags and int(version or self._floor) < self._floor

    def matching_rule(self, verb: str, resource: str) -> ApiRule | None:
        """Return the fault that applies to a request now, if any."""
        return next((rule for rule in self._rules.values() if rule.matches(verb, resource)), None)

    def lease_dropped(self, replica: str) -> simpy.Event | None:
        """Return the event at which the replica gets responses about Leases again; None if it gets them now."""
        return self._leases.get(replica)

    def list_revision(self) -> int | None:
        """Return the revision that lists show if they lag."""
        behind = max((lag for lag, _ in self._lags.values()), default=0.0)
        if not behind:
            return None
        index = bisect_right(self._times, self._env.now - behind) - 1
        return self._revisions[max(index, 0)]

    def delay(self, change: Change) -> float:
        """Return the seconds for which a change is not shown yet."""
        frozen = max(self._frozen.values(), default=0.0) - self._env.now if self._frozen else 0.0
        if not self._lags:
            return max(frozen, 0.0)
        index = bisect_right(self._revisions, int(change.object["metadata"]["resourceVersion"]) - 1)
        written_at = self._times[min(index, len(self._times) - 1)]
        due = max(min(written_at + lag, until) for lag, until in self._lags.values())
        return max(due - self._env.now, frozen, 0.0)

    def watch_opened(self, watch: Watch) -> None:
        self._watches[watch] = None

    def watch_closed(self, watch: Watch) -> None:
        self._watches.pop(watch, None)

    def connection_lost(self) -> ApiError:
        """Return the error of a watch whose connection is lost."""
        return ApiError(0, "", "the connection was reset by peer")

    def version_expired(self) -> ApiError:
        """Return the error of a watch whose resource version is too old."""
        return expired("too old resource version: the changes after it have been compacted away")

    def _fail_watches(self, error: ApiError) -> None:
        for watch in list(self._watches):
            watch.fail(error)

    def _note(self, change: Change) -> None:
        self._times.append(self._env.now)
        self._revisions.append(int(change.object["metadata"]["resourceVersion"]))
