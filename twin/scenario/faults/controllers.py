"""Faults of the controller's replicas."""

from typing import ClassVar, Literal

from pydantic import model_validator

from twin.scenario.faults.window import InstantFault, LastingFault
from twin.scenario.sections.base_model import Count, ScenarioModel, Whole
from twin.scenario.units import Duration, PositiveDuration, value_error


class ControllerCrash(ScenarioModel):
    """A controller replica crashes, at a time or at one of its writes, and is restarted.

    Responses to its requests in flight are lost, and the new process has no memory of the old one: all state must be
    stored in the objects. `before_write` and `after_write` choose whether the write at which it crashes is stored.
    """

    on: ClassVar[str] = "controller"

    kind: Literal["controller-crash"]
    at: Duration | None = None
    """Time of the crash."""
    before_write: Count | None = None
    """Alternatively: immediately before the Nth write is sent to the API server."""
    after_write: Count | None = None
    """Alternatively: after the Nth write has been stored and before its response arrives."""
    restart_after: Duration = 5.0
    """Time until the restart."""
    replica: Whole | None = None
    """Index of the replica, from 0; the leader if absent."""

    @model_validator(mode="after")
    def _timed(self) -> "ControllerCrash":
        times = [n for n in ("at", "before_write", "after_write") if getattr(self, n) is not None]
        if len(times) != 1:
            message = f"has both {' and '.join(times)}" if times else "has no time"
            raise value_error(message, "allowed: one of at, before_write, after_write")
        return self


class LeaderLoss(InstantFault):
    """The leader gets no responses for its Lease until another replica holds it; all its other requests work.

    Renewals fail without a response, as behind a broken load balancer. The leader has to stop by itself before its
    lease expires, because the API server and the engines still accept its requests. Requires `controller.replicas` of
    2 or more. Ends when another replica holds the Lease, or after two minutes.
    """

    on: ClassVar[str] = "controller"

    kind: Literal["leader-loss"]


class ClockSkew(LastingFault):
    """The wall clock of a replica is wrong, and is corrected when the fault ends.

    Only the current time as the operator sees it is wrong: timers are not affected, and neither are timestamps that
    the cluster sets. Pod stability and waits that span a restart depend on the wall clock and are off by the same
    amount.
    """

    on: ClassVar[str] = "controller"

    kind: Literal["clock-skew"]
    ahead: PositiveDuration | None = None
    """Amount by which the clock is ahead."""
    behind: PositiveDuration | None = None
    """Alternatively: amount by which the clock is behind."""
    replica: Whole | None = None
    """Index of the replica, from 0; all replicas if absent."""

    @model_validator(mode="after")
    def _one_way(self) -> "ClockSkew":
        if (self.ahead is None) == (self.behind is None):
            both = self.ahead is not None
            message = "is both ahead and behind" if both else "is neither ahead nor behind"
            raise value_error(message, "allowed: one of them, such as ahead: 30s")
        return self

    @property
    def seconds(self) -> float:
        """Return the offset in seconds: positive if ahead, negative if behind."""
        return self.ahead if self.ahead is not None else -(self.behind or 0.0)
