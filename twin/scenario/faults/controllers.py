"""Faults of the controller's own replicas."""

from typing import ClassVar, Literal

from pydantic import model_validator

from twin.scenario.faults.window import InstantFault, LastingFault
from twin.scenario.sections.base_model import Count, ScenarioModel, Whole
from twin.scenario.units import Duration, PositiveDuration, value_error


class ControllerCrash(ScenarioModel):
    """A controller replica dies without a word, at a time or beside one of its writes, and starts again.

    What it has in flight reaches nobody's ears, and the process that comes back remembers nothing: all that matters
    must be on the objects. Its write may or may not have been stored, which `before_write` and `after_write` tell
    apart.
    """

    on: ClassVar[str] = "controller"

    kind: Literal["controller-crash"]
    at: Duration | None = None
    """When."""
    before_write: Count | None = None
    """Or: just before it would send its Nth write to the API server."""
    after_write: Count | None = None
    """Or: when its Nth write is stored and the answer has not come yet."""
    restart_after: Duration = 5.0
    """How long it is gone."""
    replica: Whole | None = None
    """Which one, from 0; the one that leads if absent."""

    @model_validator(mode="after")
    def _timed(self) -> "ControllerCrash":
        given = [n for n in ("at", "before_write", "after_write") if getattr(self, n) is not None]
        if len(given) != 1:
            said = f"has both {' and '.join(given)}" if given else "has no time"
            raise value_error(said, "allowed: one of at, before_write, after_write")
        return self


class LeaderLoss(InstantFault):
    """The replica that leads gets no answer about its Lease any more, until another has it; all else it can do.

    Renewals fail without an answer, as behind a broken load balancer. The replica has to stop acting by itself before
    its lease runs out, for the API server and the engines still take what it sends. Needs `controller.replicas` of two
    or more. It ends when another replica holds the Lease, or after two minutes.
    """

    on: ClassVar[str] = "controller"

    kind: Literal["leader-loss"]


class ClockSkew(LastingFault):
    """The wall clock of a replica jumps, and jumps back when it ends.

    Only what the operator calls now is wrong: waiting is not affected, nor is anything that the cluster stamps.
    Stability of pods and waits across a restart are told by the wall clock and so are off by as much.
    """

    on: ClassVar[str] = "controller"

    kind: Literal["clock-skew"]
    ahead: PositiveDuration | None = None
    """By how much it is ahead."""
    behind: PositiveDuration | None = None
    """Or: by how much it is behind."""
    replica: Whole | None = None
    """Which one, from 0; all if absent."""

    @model_validator(mode="after")
    def _one_way(self) -> "ClockSkew":
        if (self.ahead is None) == (self.behind is None):
            both = self.ahead is not None
            said = "is both ahead and behind" if both else "is neither ahead nor behind"
            raise value_error(said, "allowed: one of them, such as ahead: 30s")
        return self

    @property
    def seconds(self) -> float:
        """Ahead of the world, negative if behind."""
        return self.ahead if self.ahead is not None else -(self.behind or 0.0)
