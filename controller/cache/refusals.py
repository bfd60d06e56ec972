"""Refused writes of one kind: what the API server said about each adapter, and when it is tried again.

Quotas, admission policies, missing permissions and names that belong to others are refused in the same way until a
person acts. The words go to the adapter; its other work goes on. Nothing announces the end of a refusal.
Each adapter is tried again every 30 seconds (controller-runtime waits up to 1000 seconds). With more than 300 refused
adapters the delay grows, and all together send ten requests a second. The first success shows the end to the others: it
wakes two that were refused for the same reason, and each of these wakes two more.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice

from structlog.typing import FilteringBoundLogger

from controller.backoff import Backoff
from controller.client.interface import AlreadyExists, ClientError, Forbidden, Invalid
from controller.clock import Clock

REFUSALS = (Forbidden, Invalid, AlreadyExists)
"""Errors that the same request would meet again."""
_BACKOFF = Backoff(base=5.0, factor=2.0, cap=30.0)
_PER_ADAPTER = 0.1
"""Seconds that each refused adapter adds to the shortest delay, so that all together send ten requests a second."""
_WOKEN = 2
"""Adapters that are tried at once after a success, since the end of a quota may be the end for one of them only."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The last refusal for one adapter.

    Attributes:
        reason: reason of the condition, in CamelCase.
        message: the server's words, and the next step.
        retry_at: time of the next write, in seconds since 1970.
        failures: refusals in a row.
        withdrawal: True if the withdrawal of endpoints that no longer serve was refused; otherwise it does not wait.
    """

    reason: str
    message: str
    retry_at: float
    failures: int
    withdrawal: bool = False


class RefusedWrites:
    """The last refusals, by adapter key. `wake` queues a key; each refusal is a warning in `log`."""

    def __init__(self, clock: Clock, wake: Callable[[str], None], log: FilteringBoundLogger) -> None:
        self._clock = clock
        self._log = log
        self._wake = wake
        self._errors: dict[str, Refusal] = {}

    def get(self, key: str) -> Refusal | None:
        """Return the last refusal, unless a write has succeeded since."""
        return self._errors.get(key)

    def record(self, key: str, error: ClientError, *, withdrawal: bool = False) -> None:
        """Record a refusal."""
        self._log.warning("the API server refused a write", adapter=key, error=str(error))
        before = self._errors.pop(key, None)
        failures = 1 if before is None else before.failures + 1
        delay = error.retry_after or max(_BACKOFF.delay(failures), _PER_ADAPTER * len(self._errors))
        reason, step = _advice(error)
        retry_at = self._clock.now().timestamp() + delay
        self._errors[key] = Refusal(reason, f"{error}; {step}", retry_at, failures, withdrawal)

    def succeeded(self, key: str, *, withdrawal: bool = False) -> None:
        """Drop the refusal, and try others that were refused for the same reason in the namespace.

        A withdrawal says nothing about another write that was refused.
        """
        ended = self._errors.get(key)
        if ended is None or (withdrawal and not ended.withdrawal):
            return
        del self._errors[key]
        namespace, now = key.split("/")[0], self._clock.now().timestamp()
        alike = (
            other
            for other, error in self._errors.items()
            if error.reason == ended.reason and error.retry_at > now and other.split("/")[0] == namespace
        )
        for other in list(islice(alike, _WOKEN)):  # no further: thousands may have been refused
            self._errors[other] = replace(self._errors[other], retry_at=0.0)
            self._wake(other)

    def forget(self, key: str) -> None:
        """Drop the refusal of an adapter that is gone."""
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
