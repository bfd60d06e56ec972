"""What is wrong with the API server at the moment, as the controller's replicas meet it.

`twin/faults` adds and removes; `StoreClient` asks about each request, watch and piece of news. The store itself, and
so all other parts of the cluster, knows nothing of it.
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

Undo = Callable[[], object]


@dataclass(frozen=True, slots=True)
class ApiRule:
    """One fault that answers requests with an error. Empty `verbs` or `resources` (plurals) stand for all."""

    code: int
    probability: float
    rng: np.random.Generator
    verbs: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    retry_after: float | None = None
    after: bool = False
    """Whether a write is done all the same."""

    def strikes(self, verb: str, resource: str) -> bool:
        """Whether it hits this request; draws only if it might."""
        if (self.verbs and verb not in self.verbs) or (self.resources and resource not in self.resources):
            return False
        return self.probability >= 1 or self.rng.random() < self.probability

    def error(self, plural: str, group: str, name: str) -> ApiError:
        """What the server answers."""
        if self.code == 409:
            return conflict(plural, group, name, STALE)
        if self.code == 429:
            message = "the server has received too many requests and has asked us to try again later"
            return ApiError(429, "TooManyRequests", message, retry_after=self.retry_after)
        reason = {500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}.get(self.code, "InternalError")
        return ApiError(self.code, reason, "etcdserver: request timed out")


class ApiFaults:
    """All faults of the API server; each is known by its number in the scenario."""

    def __init__(self, env: simpy.Environment, store: Store) -> None:
        self._env = env
        self._store = store
        self._rules: dict[int, ApiRule] = {}
        self._factors: dict[int, float] = {}
        self._lags: dict[int, tuple[float, float]] = {}
        self._watch_unavailable: set[int] = set()
        self._floor = 0
        self._leases: dict[str, simpy.Event] = {}
        self._watches: dict[Watch, None] = {}
        self._times: list[float] = []
        self._revisions: list[int] = []

    # -- verbs for faults

    def add(self, fault: int, rule: ApiRule) -> Undo:
        """Puts a rule into force; returns what takes it away again."""
        self._rules[fault] = rule
        return partial(self._rules.pop, fault, None)

    def slow_down(self, fault: int, factor: float) -> Undo:
        """Everything takes `factor` times as long; returns what ends that."""
        self._factors[fault] = factor
        return partial(self._factors.pop, fault, None)

    def lag(self, fault: int, seconds: float, until: float) -> Undo:
        """Lists and watches are `seconds` behind, `until` then; `keep_history` must have been called at the start."""
        self._lags[fault] = (seconds, until)
        return partial(self._lags.pop, fault, None)

    def break_watches(self, fault: int) -> Undo:
        """Open watches break off and none can be opened; returns what ends that."""
        self._watch_unavailable.add(fault)
        self._fail_watches(self.broken())
        return partial(self._watch_unavailable.discard, fault)

    def expire_watches(self) -> None:
        """Open watches end with 410, and none can be opened from a version before this one."""
        self._floor = int(self._store.resource_version)
        self._fail_watches(self.compacted())

    def drop_lease_responses(self, replica: str) -> Undo:
        """The replica gets no answer about Leases; returns what ends that."""
        over = self._leases.setdefault(replica, self._env.event())

        def end() -> None:
            if self._leases.pop(replica, None) is not None:
                over.succeed()

        return end

    def keep_history(self) -> None:
        """Keeps, from now on, when the store came to which revision."""
        self._times, self._revisions = [self._env.now], [int(self._store.resource_version)]
        self._store.subscribe(self._note)

    # -- questions of a replica's cluster

    @property
    def factor(self) -> float:
        """How many times as long a request takes."""
        return float(np.prod(list(self._factors.values()))) if self._factors else 1.0

    @property
    def watch_unavailable(self) -> bool:
        """Whether no watch can be opened."""
        return bool(self._watch_unavailable)

    def watch_expired(self, version: str) -> bool:
        """Whether no watch can be opened from there any more. A cache that lags behind still has what it shows."""
        return not self._lags and int(version or self._floor) < self._floor

    def verdict(self, verb: str, resource: str) -> ApiRule | None:
        """The fault that a request meets now, if any."""
        return next((rule for rule in self._rules.values() if rule.strikes(verb, resource)), None)

    def lease_dropped(self, replica: str) -> simpy.Event | None:
        """Set if the replica gets no answer about Leases: what happens when it does again."""
        return self._leases.get(replica)

    def list_revision(self) -> int | None:
        """The revision that lists show, if they lag."""
        behind = max((lag for lag, _ in self._lags.values()), default=0.0)
        if not behind:
            return None
        place = bisect_right(self._times, self._env.now - behind) - 1
        return self._revisions[max(place, 0)]

    def delay(self, change: Change) -> float:
        """Seconds for which a change is not shown yet."""
        if not self._lags:
            return 0.0
        place = bisect_right(self._revisions, int(change.object["metadata"]["resourceVersion"]) - 1)
        made = self._times[min(place, len(self._times) - 1)]
        due = max(min(made + lag, until) for lag, until in self._lags.values())
        return max(due - self._env.now, 0.0)

    def watch_opened(self, watch: Watch) -> None:
        self._watches[watch] = None

    def watch_closed(self, watch: Watch) -> None:
        self._watches.pop(watch, None)

    def broken(self) -> ApiError:
        """How a watch ends whose connection is gone."""
        return ApiError(0, "", "the connection was reset by peer")

    def compacted(self) -> ApiError:
        """How a watch ends whose version is too old."""
        return expired("too old resource version: the changes after it have been compacted away")

    def _fail_watches(self, error: ApiError) -> None:
        for watch in list(self._watches):
            watch.fail(error)

    def _note(self, change: Change) -> None:
        self._times.append(self._env.now)
        self._revisions.append(int(change.object["metadata"]["resourceVersion"]))
