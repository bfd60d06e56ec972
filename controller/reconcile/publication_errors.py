"""Refused writes of Services and EndpointSlices: what the API server said, and when each is tried again.

Quotas, admission policies, missing permissions and names that belong to others are refused in the same way until a
person acts. The words go into the adapter's conditions; its other work goes on.
"""

from dataclasses import dataclass

from controller.backoff import Backoff
from controller.client.interface import AlreadyExists, ClientError, Forbidden, Invalid
from controller.clock import Clock

REFUSALS = (Forbidden, Invalid, AlreadyExists)
"""Errors that the same request would meet again."""
_BACKOFF = Backoff(base=5.0, factor=2.0, cap=300.0)


@dataclass(frozen=True, slots=True)
class PublicationError:
    """The last refusal for one adapter.

    Attributes:
        reason: reason of the condition, in CamelCase.
        message: the server's words, and the next step.
        retry_at: time of the next write, in seconds since 1970.
        failures: refusals in a row.
    """

    reason: str
    message: str
    retry_at: float
    failures: int


class PublicationErrors:
    """The last refusals, by adapter key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._errors: dict[str, PublicationError] = {}

    def get(self, key: str) -> PublicationError | None:
        """Return the last refusal, unless a write has succeeded since."""
        return self._errors.get(key)

    def record(self, key: str, error: ClientError) -> None:
        """Record a refusal."""
        before = self._errors.get(key)
        failures = 1 if before is None else before.failures + 1
        retry_at = self._clock.now().timestamp() + (error.retry_after or _BACKOFF.delay(failures))
        reason, step = _advice(error)
        self._errors[key] = PublicationError(reason, f"{error}; {step}", retry_at, failures)

    def forget(self, key: str) -> None:
        """Drop the refusal: a write succeeded, or the adapter is gone."""
        self._errors.pop(key, None)


def _advice(error: ClientError) -> tuple[str, str]:
    """Return the condition's reason and what the user can do."""
    match error:
        case AlreadyExists():
            return "NameTaken", "delete that object or rename the adapter"
        case Forbidden() if "quota" in str(error):
            return "QuotaExceeded", "raise the ResourceQuota of the namespace"
        case Forbidden():
            return "PublicationForbidden", "grant the permission, or change the admission policy that denies it"
    return "PublicationInvalid", "the API server will refuse it until its rules or the adapter change"
