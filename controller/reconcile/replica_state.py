"""How one pod stands towards one adapter: what its engine holds, and when it may be tried again. Pure.

What is remembered on the object counts more than what this process has seen: an announced attempt is an attempt,
sent or not. What this process has seen only makes the answer more exact (when an attempt ended, and how).
"""

from dataclasses import dataclass
from enum import Enum

from controller.api.annotations import Attempt, Placement
from controller.api.spec import artifact_of, lora_path
from controller.cache.pod_view import PodView
from controller.engine.errors import Scope
from controller.reconcile.snapshot import Snapshot
from controller.requests.outcomes import SEND_WITHIN, RequestOutcome
from controller.settings import Settings

_NOW = 1e-6
"""Seconds: what is due within this is due. Annotations keep microseconds."""


class AdapterPresence(Enum):
    """What a pod's engine has under the adapter's name."""

    GONE = "gone"
    """The pod, or the incarnation that was loaded, is no more."""
    UNKNOWN = "unknown"
    """Not asked since this controller started, or the last answer leaves it open."""
    ABSENT = "absent"
    WANTED = "wanted"
    """The artifact that the spec names."""
    OTHER = "other"
    """Another artifact."""


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """One pod, one adapter, now."""

    pod: str
    view: PodView | None
    presence: AdapterPresence
    placement: Placement | None
    attempt: Attempt | None
    """The attempt announced last in the running series; None if none counts any more."""
    outcome: RequestOutcome | None
    busy: str
    """Verb of the request under way, or empty."""
    next_try: float
    """When a load may be sent, seconds since 1970; 0 if at once."""
    cooldown_until: float
    """The pod is left aside for this adapter until then; 0 if it is not."""
    attempts_expire_at: float
    """Until when the running series has to be remembered if the pod is not used any more."""
    maybe_on_new_incarnation: bool = False
    """Whether a load that was sent to a former incarnation may have reached the present one.

    News of a restart may be late, and who has none of it sends to the same address. What the present incarnation lists
    settles it.
    """

    @property
    def reachable(self) -> bool:
        """Whether requests make sense: the pod is there and not on its way out."""
        return self.view is not None and not self.view.terminating

    @property
    def confirmed_absent(self) -> bool:
        """Whether the engine is known not to hold the adapter, nor to be about to.

        That it does not list it is not enough: a load that this or a former process gave up may still end. An unload
        settles it, since engines take loads and unloads of one name in turn; so does a clear no to every attempt.
        """
        if self.presence is AdapterPresence.GONE:
            return not self.maybe_on_new_incarnation
        done = self.outcome
        if self.presence is not AdapterPresence.ABSENT or self.busy or done is None:
            return False
        if done.error is None:
            return done.verb == "unload"
        tried = 0 if self.attempt is None else self.attempt.retries + 1
        return done.verb == "load" and not done.doubtful and done.failures >= tried

    def in_cooldown(self, now: float) -> bool:
        return self.cooldown_until > now + _NOW

    def retry_due(self, now: float) -> bool:
        return self.next_try <= now + _NOW


def replica_state(snapshot: Snapshot, pod: str, now: float, settings: Settings) -> ReplicaState:
    """How `pod` stands towards the adapter that was observed."""
    view = snapshot.pods.get(pod)
    placement = snapshot.persisted.placements.get(pod)
    outcome = snapshot.outcomes.get(pod)
    afresh = view is not None and outcome is not None and _mended(snapshot, view, outcome)
    if view is None or (outcome is not None and not _still_matters(snapshot, view, outcome)):
        outcome = None
    holding = _holding(snapshot, view, placement, outcome)
    attempt = snapshot.persisted.attempt(pod)
    last = _end(attempt, outcome)
    if attempt is not None and (afresh or not _counts(snapshot, view, placement, attempt, last, now, settings)):
        attempt = None
    hopeful = holding is AdapterPresence.WANTED or snapshot.busy.get(pod) == "load"
    next_try, cooldown_until = _when(snapshot, pod, attempt, outcome, last, settings, hopeful=hopeful)
    return ReplicaState(
        pod=pod,
        view=view,
        presence=holding,
        placement=placement,
        attempt=attempt,
        outcome=outcome,
        busy=snapshot.busy.get(pod, ""),
        next_try=next_try,
        cooldown_until=cooldown_until,
        attempts_expire_at=last + settings.pod_cooldown if attempt is not None else 0.0,
        maybe_on_new_incarnation=view is not None and placement is not None and _astray(snapshot, view, placement),
    )


def _still_matters(snapshot: Snapshot, view: PodView, outcome: RequestOutcome) -> bool:
    """An outcome is void for another incarnation; a final error also once the spec or the Secret has changed."""
    if outcome.engine != view.engine:
        return False
    final = outcome.error is not None and not outcome.error.retriable
    return not final or (outcome.generation, outcome.secret) == (snapshot.adapter.metadata.generation, snapshot.secret)


def _mended(snapshot: Snapshot, view: PodView, outcome: RequestOutcome) -> bool:
    """Whether the adapter was refused with Secrets that are others now: a new series of attempts begins at once."""
    final = outcome.error is not None and not outcome.error.retriable
    return final and outcome.engine == view.engine and outcome.secret != snapshot.secret


def _holding(
    snapshot: Snapshot, view: PodView | None, placement: Placement | None, outcome: RequestOutcome | None
) -> AdapterPresence:
    if view is None or (placement is not None and (placement.uid != view.uid or placement.engine != view.engine)):
        return AdapterPresence.GONE
    inventory = snapshot.inventory(view)
    if inventory is None:
        if outcome is None or placement is None:
            return AdapterPresence.UNKNOWN
        if outcome.error is not None:
            refused = outcome.verb == "load" and not outcome.error.ambiguous
            return AdapterPresence.ABSENT if refused else AdapterPresence.UNKNOWN
        wanted = placement.artifact == artifact_of(lora_path(snapshot.adapter.spec.artifact_url))
        if outcome.verb == "load" and wanted:
            return AdapterPresence.WANTED
        return AdapterPresence.ABSENT if outcome.verb == "unload" else AdapterPresence.UNKNOWN
    name = snapshot.adapter.metadata.name
    if name in inventory.unclear:
        return AdapterPresence.UNKNOWN
    root = inventory.models.get(name)
    if root is None:
        return AdapterPresence.ABSENT
    wanted = artifact_of(root) == artifact_of(lora_path(snapshot.adapter.spec.artifact_url))
    return AdapterPresence.WANTED if wanted else AdapterPresence.OTHER


def _astray(snapshot: Snapshot, view: PodView, placement: Placement) -> bool:
    """Whether what was sent last was a load for a former incarnation, and the present one may have got it."""
    sent = snapshot.outcomes.get(view.name)
    if placement.uid != view.uid or placement.engine == view.engine or view.terminating:
        return False
    if sent is None or (sent.verb, sent.engine) != ("load", placement.engine):
        return False
    doubtful = sent.error is not None and (sent.error.ambiguous or sent.doubtful)
    if sent.error is not None and not doubtful:
        return False
    known, name = snapshot.inventory(view), snapshot.adapter.metadata.name
    if known is None:
        return not snapshot.did_not_answer(view)
    return doubtful or name in known.models or name in known.unclear


def _end(attempt: Attempt | None, outcome: RequestOutcome | None) -> float:
    """When the attempt ended: seen, or (after a restart) as late as it can have been sent."""
    if attempt is None:
        return 0.0
    if outcome is not None and outcome.verb == "load" and outcome.finished_at >= attempt.announced - _NOW:
        return outcome.finished_at
    return attempt.announced + SEND_WITHIN


def _counts(
    snapshot: Snapshot,
    view: PodView | None,
    placement: Placement | None,
    attempt: Attempt,
    ended: float,
    now: float,
    settings: Settings,
) -> bool:
    """Whether an announced attempt still belongs to a series that the next one continues."""
    if view is None or placement is None or placement.uid != view.uid or placement.engine != view.engine:
        return False
    if placement.artifact != artifact_of(lora_path(snapshot.adapter.spec.artifact_url)):
        return False
    if view.ready and view.changed > attempt.announced:
        return False
    return now < ended + settings.pod_cooldown - _NOW or not settings.backoff.exhausted(attempt.retries + 1)


def _when(
    snapshot: Snapshot,
    pod: str,
    attempt: Attempt | None,
    outcome: RequestOutcome | None,
    ended: float,
    settings: Settings,
    *,
    hopeful: bool,
) -> tuple[float, float]:
    """(when a load may be sent, until when the pod is aside). Hopeful: the last attempt has not failed, or not yet."""
    failed = outcome.error if outcome is not None and outcome.verb == "load" else None
    final_until, left_until = 0.0, 0.0
    if failed is not None and not failed.retriable and outcome is not None:
        final_until = outcome.finished_at + settings.pod_cooldown
        if failed.scope is Scope.POD:
            left_until = final_until  # what is wrong with the adapter itself is no reason to leave the pod
    if attempt is None:
        return final_until, left_until
    if outcome is not None and outcome.verb == "withdrawn" and outcome.finished_at >= attempt.announced - _NOW:
        return 0.0, 0.0  # it was due when it was announced
    failures = attempt.retries + 1
    if settings.backoff.exhausted(failures) and not hopeful:
        aside = max(ended + settings.pod_cooldown, final_until)
        return aside, aside
    salt = f"{snapshot.adapter.metadata.uid}/{pod}"
    wait = settings.backoff.wait(failures, salt=salt)
    if failed is not None:
        wait = max(wait, failed.retry_after)
    return max(ended + wait, final_until), left_until
