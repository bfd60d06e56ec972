"""How one pod stands towards one adapter: what its engine holds, and when it may be tried again. Pure.

What is remembered on the object counts more than what this process has seen: an announced attempt is an attempt,
sent or not. What this process has seen only makes the answer more exact (when an attempt ended, and how).
"""

from dataclasses import dataclass
from enum import Enum

from controller.api.annotations import Attempt, Placement
from controller.api.spec import artifact_of, lora_path
from controller.engine.errors import Scope
from controller.reconcile.snapshot import Observed, Outcome, PodView
from controller.settings import Settings

SEND_WITHIN = 1.0
"""Seconds from an announcement in which its request is sent; later ones are announced anew.

So the start of an attempt is known to a restarted controller within this much, and waits can be kept across it."""

_NOW = 1e-6
"""Seconds: what is due within this is due. Annotations keep microseconds."""


class Holding(Enum):
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
class Standing:
    """One pod, one adapter, now."""

    pod: str
    view: PodView | None
    holding: Holding
    placement: Placement | None
    attempt: Attempt | None
    """The attempt announced last in the running series; None if none counts any more."""
    outcome: Outcome | None
    busy: str
    """Verb of the request under way, or empty."""
    next_try: float
    """When a load may be sent, seconds since 1970; 0 if at once."""
    aside_until: float
    """The pod is left aside for this adapter until then; 0 if it is not."""
    counted_until: float
    """Until when the running series has to be remembered if the pod is not used any more."""
    astray: bool = False
    """Whether a load that was sent to a former incarnation may have reached the present one.

    News of a restart may be late, and who has none of it sends to the same address. What the present incarnation lists
    settles it.
    """

    @property
    def usable(self) -> bool:
        """Whether requests make sense: the pod is there and not on its way out."""
        return self.view is not None and not self.view.terminating

    @property
    def clean(self) -> bool:
        """Whether the engine is known not to hold the adapter, nor to be about to.

        That it does not list it is not enough: a load that this or a former process gave up may still end. An unload
        settles it, since engines take loads and unloads of one name in turn; so does a clear no to every attempt.
        """
        if self.holding is Holding.GONE:
            return not self.astray
        done = self.outcome
        if self.holding is not Holding.ABSENT or self.busy or done is None:
            return False
        if done.error is None:
            return done.verb == "unload"
        tried = 0 if self.attempt is None else self.attempt.retries + 1
        return done.verb == "load" and not done.doubtful and done.failures >= tried

    def aside(self, now: float) -> bool:
        return self.aside_until > now + _NOW

    def due(self, now: float) -> bool:
        return self.next_try <= now + _NOW


def standing(seen: Observed, pod: str, now: float, settings: Settings) -> Standing:
    """How `pod` stands towards the adapter that was observed."""
    view = seen.pods.get(pod)
    placement = seen.remembered.placements.get(pod)
    outcome = seen.outcomes.get(pod)
    afresh = view is not None and outcome is not None and _mended(seen, view, outcome)
    if view is None or (outcome is not None and not _still_matters(seen, view, outcome)):
        outcome = None
    holding = _holding(seen, view, placement, outcome)
    attempt = seen.remembered.attempt(pod)
    last = _end(attempt, outcome)
    if attempt is not None and (afresh or not _counts(seen, view, placement, attempt, last, now, settings)):
        attempt = None
    hopeful = holding is Holding.WANTED or seen.busy.get(pod) == "load"
    next_try, aside_until = _when(seen, pod, attempt, outcome, last, settings, hopeful=hopeful)
    return Standing(
        pod=pod,
        view=view,
        holding=holding,
        placement=placement,
        attempt=attempt,
        outcome=outcome,
        busy=seen.busy.get(pod, ""),
        next_try=next_try,
        aside_until=aside_until,
        counted_until=last + settings.pod_cooldown if attempt is not None else 0.0,
        astray=view is not None and placement is not None and _astray(seen, view, placement),
    )


def _still_matters(seen: Observed, view: PodView, outcome: Outcome) -> bool:
    """An outcome is void for another incarnation; a final error also once the spec or the Secret has changed."""
    if outcome.engine != view.engine:
        return False
    final = outcome.error is not None and not outcome.error.retriable
    return not final or (outcome.generation, outcome.secret) == (seen.adapter.metadata.generation, seen.secret)


def _mended(seen: Observed, view: PodView, outcome: Outcome) -> bool:
    """Whether the adapter was refused with Secrets that are others now: a new series of attempts begins at once."""
    final = outcome.error is not None and not outcome.error.retriable
    return final and outcome.engine == view.engine and outcome.secret != seen.secret


def _holding(seen: Observed, view: PodView | None, placement: Placement | None, outcome: Outcome | None) -> Holding:
    if view is None or (placement is not None and (placement.uid != view.uid or placement.engine != view.engine)):
        return Holding.GONE
    inventory = seen.inventory(view)
    if inventory is None:
        if outcome is None or placement is None:
            return Holding.UNKNOWN
        if outcome.error is not None:
            refused = outcome.verb == "load" and not outcome.error.ambiguous
            return Holding.ABSENT if refused else Holding.UNKNOWN
        wanted = placement.artifact == artifact_of(lora_path(seen.adapter.spec.artifact_url))
        if outcome.verb == "load" and wanted:
            return Holding.WANTED
        return Holding.ABSENT if outcome.verb == "unload" else Holding.UNKNOWN
    name = seen.adapter.metadata.name
    if name in inventory.unclear:
        return Holding.UNKNOWN
    root = inventory.models.get(name)
    if root is None:
        return Holding.ABSENT
    wanted = artifact_of(root) == artifact_of(lora_path(seen.adapter.spec.artifact_url))
    return Holding.WANTED if wanted else Holding.OTHER


def _astray(seen: Observed, view: PodView, placement: Placement) -> bool:
    """Whether what was sent last was a load for a former incarnation, and the present one may have got it."""
    sent = seen.outcomes.get(view.name)
    if placement.uid != view.uid or placement.engine == view.engine or view.terminating:
        return False
    if sent is None or (sent.verb, sent.engine) != ("load", placement.engine):
        return False
    doubtful = sent.error is not None and (sent.error.ambiguous or sent.doubtful)
    if sent.error is not None and not doubtful:
        return False
    known, name = seen.inventory(view), seen.adapter.metadata.name
    if known is None:
        return not seen.silent(view)
    return doubtful or name in known.models or name in known.unclear


def _end(attempt: Attempt | None, outcome: Outcome | None) -> float:
    """When the attempt ended: seen, or (after a restart) as late as it can have been sent."""
    if attempt is None:
        return 0.0
    if outcome is not None and outcome.verb == "load" and outcome.at >= attempt.announced - _NOW:
        return outcome.at
    return attempt.announced + SEND_WITHIN


def _counts(
    seen: Observed,
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
    if placement.artifact != artifact_of(lora_path(seen.adapter.spec.artifact_url)):
        return False
    if view.ready and view.changed > attempt.announced:
        return False
    return now < ended + settings.pod_cooldown - _NOW or not settings.backoff.exhausted(attempt.retries + 1)


def _when(
    seen: Observed,
    pod: str,
    attempt: Attempt | None,
    outcome: Outcome | None,
    ended: float,
    settings: Settings,
    *,
    hopeful: bool,
) -> tuple[float, float]:
    """(when a load may be sent, until when the pod is aside). Hopeful: the last attempt has not failed, or not yet."""
    failed = outcome.error if outcome is not None and outcome.verb == "load" else None
    final_until, left_until = 0.0, 0.0
    if failed is not None and not failed.retriable and outcome is not None:
        final_until = outcome.at + settings.pod_cooldown
        if failed.scope is Scope.POD:
            left_until = final_until  # what is wrong with the adapter itself is no reason to leave the pod
    if attempt is None:
        return final_until, left_until
    if outcome is not None and outcome.verb == "withdrawn" and outcome.at >= attempt.announced - _NOW:
        return 0.0, 0.0  # it was due when it was announced
    failures = attempt.retries + 1
    if settings.backoff.exhausted(failures) and not hopeful:
        aside = max(ended + settings.pod_cooldown, final_until)
        return aside, aside
    salt = f"{seen.adapter.metadata.uid}/{pod}"
    wait = settings.backoff.wait(failures, salt=salt)
    if failed is not None:
        wait = max(wait, failed.retry_after)
    return max(ended + wait, final_until), left_until
