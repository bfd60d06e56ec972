"""State of one adapter on one pod: presence in its engine, and time of the next attempt. Pure.

The state persisted on the object takes precedence over what this process has observed: an announced attempt counts as
an attempt, whether or not it was sent. Observations only make the state more exact (when an attempt ended, and how).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from controller.api.annotations import Attempt, Placement
from controller.api.spec import artifact_of, is_aibrix_folder, lora_path
from controller.cache.pod_view import PodView
from controller.engine.errors import Scope
from controller.reconcile.snapshot import Snapshot
from controller.requests.outcomes import SEND_WITHIN, RequestOutcome
from controller.settings import Settings

_EPSILON = 1e-6
"""Seconds: a time that is this close is due. Annotations have microseconds."""
_SAME_TIME = 1e-5
"""Seconds: times of an attempt that differ by less are the same, one of them rounded by the annotation."""


class AdapterPresence(Enum):
    """Content of a pod's engine under the adapter's name."""

    GONE = "gone"
    """The pod, or the incarnation that was loaded, no longer exists."""
    UNKNOWN = "unknown"
    """Not listed since this controller started, or the last answer was not clear."""
    ABSENT = "absent"
    DESIRED = "desired"
    """The artifact that the spec names."""
    OTHER = "other"
    """Another artifact."""


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """One adapter on one pod, at one instant."""

    pod: str
    view: PodView | None
    presence: AdapterPresence
    placement: Placement | None
    announced: Attempt | None
    """Last attempt announced on the object, unless its load is known to have succeeded."""
    attempt: Attempt | None
    """The same if it belongs to the current series; None if no attempt counts."""
    outcome: RequestOutcome | None
    """Outcome of the last request, unless the spec or the Secret has changed since a final error."""
    last: RequestOutcome | None
    """Outcome of the current incarnation's last request, whatever has changed since."""
    busy: str
    """Verb of the request in flight, or empty."""
    next_try: float
    """Time from which a load may be sent, in seconds since 1970; 0 if at once."""
    cooldown_until: float
    """End of the cooldown, in which the pod is not selected for this adapter; 0 without a cooldown."""
    yields_until: float
    """Time until which another pod is preferred, in seconds since 1970; 0 if none is.

    It is the end of the cooldown, or the time of the next attempt: after an error that another pod may not have, and
    with `retry_switch: eager` after each."""
    attempts_expire_at: float
    """Time from which the current series may be dropped if the pod is no longer used."""
    elsewhere: bool = False
    """True if the last load failed with an error that another pod may not have, so that any other pod is preferred."""
    unsent: bool = False
    """True if the request of the last announced attempt was never sent."""
    maybe_on_new_incarnation: bool = False
    """True if a load that was sent to the previous incarnation may have reached the current one.

    The controller may learn of a restart late, and the address stays the same. The inventory of the current
    incarnation decides.
    """
    restarted: "ReplicaState | None" = None
    """For a placement on a former pod or incarnation: the state of the current one, which was never used."""

    @property
    def current(self) -> "ReplicaState":
        """The state of the current incarnation."""
        return self.restarted or self

    @property
    def reachable(self) -> bool:
        """True if the pod exists and is not being deleted."""
        return self.view is not None and not self.view.terminating

    @property
    def confirmed_absent(self) -> bool:
        """True if the engine neither has the adapter nor may still load it.

        An inventory without it is not enough: a load that was abandoned may still end. An unload settles it, since
        engines process loads and unloads of one name in turn; so does a clear refusal of every attempt, and an engine
        without the route.
        """
        if self.presence is AdapterPresence.GONE:
            return not self.maybe_on_new_incarnation
        done = self.last
        if self.presence is not AdapterPresence.ABSENT or self.busy or done is None:
            return False
        if done.error is None:
            return done.verb == "unload"
        if done.error.no_route:
            return True
        return done.verb == "load" and not done.doubtful and done.failures >= self.used_attempts

    @property
    def used_attempts(self) -> int:
        """Number of attempts of the current series whose requests may have been sent and are not in flight."""
        if self.attempt is None:
            return 0
        return self.attempt.retries + (0 if self.unsent or self.busy == "load" else 1)

    @property
    def failed_load(self) -> RequestOutcome | None:
        """The outcome, if it is that of a failed load."""
        outcome = self.outcome
        return outcome if outcome is not None and outcome.verb == "load" and outcome.error is not None else None

    @property
    def failures(self) -> int:
        """Number of consecutive loads that failed since this controller started."""
        outcome = self.failed_load
        return outcome.failures if outcome is not None else 0

    @property
    def failed_unload(self) -> RequestOutcome | None:
        """The outcome, if it is that of a failed unload."""
        outcome = self.outcome
        return outcome if outcome is not None and outcome.verb == "unload" and outcome.error is not None else None

    def in_cooldown(self, now: float) -> bool:
        """Return whether the pod must not be selected for this adapter now."""
        return self.cooldown_until > now + _EPSILON

    def yields(self, now: float) -> bool:
        """Return whether another pod should take its place now, if there is one."""
        return self.yields_until > now + _EPSILON

    def retry_due(self, now: float) -> bool:
        """Return whether a load may be sent now."""
        return self.next_try <= now + _EPSILON


def replica_states(snapshot: Snapshot, pods: Iterable[str], now: float, settings: Settings) -> dict[str, ReplicaState]:
    """Return the states of the adapter on these pods, by name."""
    return {pod: _Evaluation(snapshot, pod, now, settings).state() for pod in pods}


class _Evaluation:
    """Evaluates one pod."""

    def __init__(
        self, snapshot: Snapshot, pod: str, now: float, settings: Settings, *, ignore_placement: bool = False
    ) -> None:
        persisted = snapshot.persisted
        self.snapshot = snapshot
        self.pod = pod
        self.now = now
        self.settings = settings
        self.view = snapshot.pods.get(pod)
        self.placement = None if ignore_placement else persisted.placements.get(pod)
        self.artifact = artifact_of(lora_path(snapshot.adapter.spec.artifact_url))
        self.last = snapshot.outcomes.get(pod)
        """Outcome of the last request, of any incarnation."""
        self.outcome = self.last if self._outcome_matters() else None
        # An attempt is announced only on a pod that is not an instance: on an instance it has succeeded.
        self.announced = None if pod in snapshot.adapter.status.instances else persisted.attempt(pod)
        unsent = snapshot.unsent.get(pod)
        self.unsent = (
            self.announced is not None and unsent is not None and abs(self.announced.announced - unsent) < _SAME_TIME
        )
        self.ended = self._attempt_end()

    def state(self) -> ReplicaState:
        presence = self._presence()
        attempt = self.announced
        if attempt is not None and (self._secret_changed() or not self._continues_series(attempt)):
            attempt = None
        busy = self.snapshot.in_flight.get(self.pod, "")
        succeeding = presence is AdapterPresence.DESIRED or busy == "load"
        next_try, cooldown_until = self._schedule(attempt, succeeding=succeeding)
        elsewhere = self._failed_here() and not succeeding
        eager = self.settings.retry_switch == "eager" and attempt is not None and not succeeding and not self.unsent
        return ReplicaState(
            pod=self.pod,
            view=self.view,
            presence=presence,
            placement=self.placement,
            announced=self.announced,
            attempt=attempt,
            outcome=self.outcome,
            last=self.last if self._of_this_incarnation() else None,
            busy=busy,
            next_try=next_try,
            cooldown_until=cooldown_until,
            yields_until=max(cooldown_until, next_try if eager or elsewhere else 0.0),
            elsewhere=elsewhere,
            attempts_expire_at=self.ended + self.settings.pod_cooldown if attempt is not None else 0.0,
            unsent=self.unsent,
            maybe_on_new_incarnation=self._maybe_on_new_incarnation(),
            restarted=self._restarted() if presence is AdapterPresence.GONE and self.view is not None else None,
        )

    def _failed_here(self) -> bool:
        """Return whether the last load failed with an error that is tried elsewhere first."""
        outcome = self.outcome
        return outcome is not None and outcome.verb == "load" and outcome.error is not None and outcome.error.elsewhere

    def _restarted(self) -> ReplicaState:
        return _Evaluation(self.snapshot, self.pod, self.now, self.settings, ignore_placement=True).state()

    def _of_this_incarnation(self) -> bool:
        """Return whether the last request was sent to the current incarnation."""
        return self.view is not None and self.last is not None and self.last.engine == self.view.engine

    def _outcome_matters(self) -> bool:
        """An outcome is void for another incarnation; a final error also once the spec or the Secret has changed."""
        outcome, snapshot = self.last, self.snapshot
        if outcome is None or not self._of_this_incarnation():
            return False
        unchanged = (outcome.generation, outcome.secret) == (snapshot.adapter.metadata.generation, snapshot.secret)
        return unchanged or not outcome.is_final

    def _secret_changed(self) -> bool:
        """Return whether the Secrets have changed since a refusal: a new series of attempts begins at once."""
        outcome = self.last
        if outcome is None or not self._of_this_incarnation():
            return False
        return outcome.is_final and outcome.secret != self.snapshot.secret

    def _placed_on(self, view: PodView) -> bool:
        """Return whether the placement is on the pod's current incarnation."""
        placement = self.placement
        return placement is not None and placement.uid == view.uid and placement.engine == view.engine

    def _presence(self) -> AdapterPresence:
        view, name = self.view, self.snapshot.adapter.metadata.name
        if view is None or (self.placement is not None and not self._placed_on(view)):
            return AdapterPresence.GONE
        inventory = self.snapshot.inventory(view)
        if inventory is None:
            return self._presence_by_outcome()
        if name in inventory.unclear:
            return AdapterPresence.UNKNOWN
        root = inventory.models.get(name)
        if root is None:
            return AdapterPresence.ABSENT
        held = artifact_of(root)
        if self.placement is not None and is_aibrix_folder(root, name):
            held = self.placement.artifact
        return AdapterPresence.DESIRED if held == self.artifact else AdapterPresence.OTHER

    def _presence_by_outcome(self) -> AdapterPresence:
        """Return the presence without an inventory, by the last request."""
        outcome, placement = self.last, self.placement
        if outcome is None or placement is None or not self._of_this_incarnation():
            return AdapterPresence.UNKNOWN
        if outcome.error is not None:
            refused = outcome.verb == "load" and not outcome.error.ambiguous
            return AdapterPresence.ABSENT if refused else AdapterPresence.UNKNOWN
        if outcome.verb == "load" and placement.artifact == self.artifact:
            return AdapterPresence.DESIRED
        return AdapterPresence.ABSENT if outcome.verb == "unload" else AdapterPresence.UNKNOWN

    def _maybe_on_new_incarnation(self) -> bool:
        view, placement, sent = self.view, self.placement, self.last
        if view is None or placement is None or view.terminating:
            return False
        if placement.uid != view.uid or placement.engine == view.engine:
            return False
        if sent is None or (sent.verb, sent.engine) != ("load", placement.engine):
            return False
        doubtful = sent.error is not None and (sent.error.ambiguous or sent.doubtful)
        if sent.error is not None and not doubtful:
            return False
        inventory, name = self.snapshot.inventory(view), self.snapshot.adapter.metadata.name
        if inventory is None:
            return not self.snapshot.did_not_answer(view)
        return doubtful or name in inventory.models or name in inventory.unclear

    def _attempt_end(self) -> float:
        """Return when the attempt ended: as observed, or (after a restart) as late as it can have been sent."""
        attempt, outcome = self.announced, self.outcome
        if attempt is None:
            return 0.0
        if outcome is not None and outcome.verb == "load" and outcome.finished_at >= attempt.announced - _EPSILON:
            return outcome.finished_at
        return attempt.announced + SEND_WITHIN

    def _continues_series(self, attempt: Attempt) -> bool:
        """Return whether the next attempt continues the series of an announced one."""
        view, placement, settings = self.view, self.placement, self.settings
        if view is None or placement is None or not self._placed_on(view) or placement.artifact != self.artifact:
            return False
        if view.ready and view.changed > attempt.announced:
            return False
        within = self.now < self.ended + settings.pod_cooldown - _EPSILON
        return within or not settings.backoff.exhausted(attempt.retries + 1)

    def _schedule(self, attempt: Attempt | None, *, succeeding: bool) -> tuple[float, float]:
        """Return (when a load may be sent, end of the cooldown).

        `succeeding`: the last attempt has not failed, or not yet.
        """
        outcome, settings, ended = self.outcome, self.settings, self.ended
        failed = outcome.error if outcome is not None and outcome.verb == "load" else None
        refused_until, cooldown = 0.0, 0.0
        if failed is not None and not failed.retriable and outcome is not None:
            refused_until = outcome.finished_at + settings.pod_cooldown
            if failed.scope is Scope.POD:
                cooldown = refused_until  # an error of the adapter itself says nothing about the pod
        if attempt is None:
            return refused_until, cooldown
        if self.unsent:
            return refused_until, cooldown  # it was due when it was announced
        failures = attempt.retries + 1
        if settings.backoff.exhausted(failures) and not succeeding:
            until = max(ended + settings.pod_cooldown, refused_until)
            return until, until
        delay = settings.backoff.delay(failures, salt=f"{self.snapshot.adapter.metadata.uid}/{self.pod}")
        if failed is not None:
            delay = max(delay, failed.retry_after)
        return max(ended + delay, refused_until), cooldown
